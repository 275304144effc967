package account

import (
	"sync"
	"sync/atomic"

	"ganglion/core/hook"
	"ganglion/core/subject"
	"ganglion/core/sublist"
)

// Global is the name of the account of everybody who names no other.
const Global = "$G"

// Account is one subject space. Create it with New; it is safe for concurrent
// use.
type Account struct {
	name string
	list *sublist.Sublist[*Subscription]

	mu       sync.Mutex // serialises changes of the two below
	mappings atomic.Pointer[[]*subject.Mapping]
	hooks    atomic.Pointer[[]binding]
}

// binding is a hook at a boundary of this account.
type binding struct {
	pattern string
	publish hook.Publish
	deliver hook.Deliver
}

// New returns an empty account.
func New(name string) *Account {
	return &Account{name: name, list: sublist.New[*Subscription]()}
}

// Name returns the account's name.
func (a *Account) Name() string { return a.name }

// Result is the answer of Match: who gets a message and which hooks it meets.
// It belongs to the reader that asked and is reused by it.
type Result struct {
	sublist.Result[*Subscription]
	Chain *hook.Chain
}

// Subscribe adds sub, whose subject must be valid.
func (a *Account) Subscribe(sub *Subscription) {
	sub.entry.Value, sub.account = sub, a
	a.list.Insert(&sub.entry)
}

// Unsubscribe takes sub out; false if it was not in.
func (a *Account) Unsubscribe(sub *Subscription) bool { return a.list.Remove(&sub.entry) }

// UnsubscribeAll takes all of subs out.
func (a *Account) UnsubscribeAll(subs []*Subscription) {
	es := make([]*sublist.Entry[*Subscription], len(subs))
	for i, s := range subs {
		es[i] = &s.entry
	}
	a.list.RemoveAll(es)
}

// Generation returns the counter that moves when Match on subject may have
// another answer than before.
func (a *Account) Generation(subject []byte) *atomic.Uint64 { return a.list.Generation(subject) }

// Match fills r for a message on subject, after mapping. reader is the caller's
// reader number.
func (a *Account) Match(reader int, subj []byte, r *Result) {
	a.list.Match(reader, subj, &r.Result)
	r.Chain = nil
	if hs := a.hooks.Load(); hs != nil {
		r.Chain = chain(*hs, subj)
	}
}

func chain(hs []binding, subj []byte) *hook.Chain {
	var ps []hook.Publish
	var ds []hook.Deliver
	for _, h := range hs {
		if !subject.Match(h.pattern, string(subj)) {
			continue
		}
		if h.publish != nil {
			ps = append(ps, h.publish)
		}
		if h.deliver != nil {
			ds = append(ds, h.deliver)
		}
	}
	return hook.NewChain(ps, ds)
}

// Mapped reports whether the account has mappings at all.
func (a *Account) Mapped() bool { return a.mappings.Load() != nil }

// Map returns the mapping that subj falls under, nil for none.
func (a *Account) Map(subj []byte) *subject.Mapping {
	ms := a.mappings.Load()
	if ms == nil {
		return nil
	}
	for _, m := range *ms {
		if m.Match(subj) {
			return m
		}
	}
	return nil
}

// SetMappings replaces the subject mappings; the first that matches applies.
func (a *Account) SetMappings(ms []*subject.Mapping) {
	a.mu.Lock()
	if len(ms) == 0 {
		a.mappings.Store(nil)
	} else {
		a.mappings.Store(&ms)
	}
	a.mu.Unlock()
	a.list.Invalidate()
}

// HookPublish has h see messages published on subjects that pattern matches,
// behind the hooks that are there already.
func (a *Account) HookPublish(pattern string, h hook.Publish) {
	a.addHook(binding{pattern: pattern, publish: h})
}

// HookDeliver has h see messages on subjects that pattern matches before they go
// to the clients of a listener.
func (a *Account) HookDeliver(pattern string, h hook.Deliver) {
	a.addHook(binding{pattern: pattern, deliver: h})
}

func (a *Account) addHook(b binding) {
	a.mu.Lock()
	var hs []binding
	if old := a.hooks.Load(); old != nil {
		hs = append(hs, *old...)
	}
	hs = append(hs, b)
	a.hooks.Store(&hs)
	a.mu.Unlock()
	a.list.Invalidate()
}

// Stats returns the counters of the account's interest.
func (a *Account) Stats() sublist.Stats { return a.list.Stats() }
