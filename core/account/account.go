package account

import (
	"slices"
	"sync"
	"sync/atomic"

	"ganglion/core/hook"
	"ganglion/core/subject"
	"ganglion/core/sublist"
)

// Global is the name of the account of everybody who names no other.
const Global = "$G"

// System is the name of the system account where no other is configured.
const System = "$SYS"

// Account is one subject space. Accounts come from a Registry or, for one alone,
// from New; they are safe for concurrent use.
type Account struct {
	name string
	list *sublist.Sublist[*Subscription]
	spec atomic.Pointer[Spec]

	mu       sync.Mutex // serialises changes of mappings
	mappings atomic.Pointer[[]*subject.Mapping]
	hooks    atomic.Pointer[hook.Table]

	// importing is held for reading while a subscription and its shadows come or
	// go, and for writing while what is imported changes.
	importing sync.RWMutex
	streams   []*stream       // guarded by importing
	services  []*Subscription // guarded by importing

	links atomic.Int64 // subscriptions of links
	watch atomic.Pointer[Watcher]

	// filtered is set once a subscription has had a filter.
	filtered atomic.Bool
	replies  atomic.Pointer[Replies]
}

// New returns an empty account.
func New(name string) *Account {
	a := &Account{name: name, list: sublist.New[*Subscription]()}
	a.spec.Store(&Spec{Name: name, Limits: NoLimits})
	return a
}

// Name returns the account's name.
func (a *Account) Name() string { return a.name }

// Spec returns what the account was made from. It must not be changed.
func (a *Account) Spec() *Spec { return a.spec.Load() }

// Result is the answer of Match: who gets a message and which hooks it meets.
// It belongs to the reader that asked and is reused by it.
type Result struct {
	sublist.Result[*Subscription]
	Chain *hook.Chain
	// Linked says that links are among them: each once among Plain, and in each
	// group behind all others (Group.Far).
	Linked bool
}

// Subscribe adds sub, whose subject must be valid.
func (a *Account) Subscribe(sub *Subscription) {
	sub.entry.Value, sub.account = sub, a
	a.importing.RLock()
	defer a.importing.RUnlock()
	if sub.deny.Load() != nil {
		a.filtered.Store(true)
	}
	a.insert(sub)
	for _, s := range a.streams {
		s.shadow(sub)
	}
}

// insert puts sub into a's list.
func (a *Account) insert(sub *Subscription) {
	if sub.Link() {
		a.links.Add(1)
	}
	a.list.Insert(&sub.entry)
	if w := a.watch.Load(); w != nil {
		(*w).Changed(sub, 1)
	}
}

// remove takes sub out of a's list; false if it was not in.
func (a *Account) remove(sub *Subscription) bool {
	if !a.list.Remove(&sub.entry) {
		return false
	}
	a.removed(sub)
	return true
}

// removed is called for what was taken out of a's list.
func (a *Account) removed(sub *Subscription) {
	if sub.Link() {
		a.links.Add(-1)
	}
	if w := a.watch.Load(); w != nil {
		(*w).Changed(sub, -1)
	}
}

// Unsubscribe takes sub out; false if it was not in.
func (a *Account) Unsubscribe(sub *Subscription) bool {
	a.importing.RLock()
	defer a.importing.RUnlock()
	if !a.remove(sub) {
		return false
	}
	sub.unshadow()
	return true
}

// UnsubscribeAll takes all of subs out.
func (a *Account) UnsubscribeAll(subs []*Subscription) {
	a.importing.RLock()
	defer a.importing.RUnlock()
	es := make([]*sublist.Entry[*Subscription], len(subs))
	for i, s := range subs {
		es[i] = &s.entry
		s.unshadow()
	}
	for _, e := range a.list.RemoveAll(es) {
		a.removed(e.Value)
	}
}

// Refiltered has everybody match anew, after subscriptions of a were given other
// filters.
func (a *Account) Refiltered() {
	a.importing.RLock()
	defer a.importing.RUnlock()
	a.filtered.Store(true)
	a.list.Invalidate()
	for _, s := range a.streams {
		s.from.filtered.Store(true)
		s.from.list.Invalidate()
	}
}

// Generation returns the counter that moves when Match on subject may have
// another answer than before.
func (a *Account) Generation(subject []byte) *atomic.Uint64 { return a.list.Generation(subject) }

// Match fills r for a message on subject, after mapping. reader is the caller's
// reader number.
func (a *Account) Match(reader int, subj []byte, r *Result) {
	if a.MatchAll(reader, subj, r) {
		r.Filter(func(s *Subscription) bool {
			if s.Via != nil {
				return s.DeniesFar(subj)
			}
			return s.Denies(subj)
		})
	}
}

// MatchAll is Match with those who must not be given the message as well, and
// reports whether there may be any.
func (a *Account) MatchAll(reader int, subj []byte, r *Result) (filtered bool) {
	a.list.Match(reader, subj, &r.Result)
	r.Chain, r.Linked = nil, false
	if a.links.Load() > 0 {
		r.order()
	}
	if hooks := a.hooks.Load(); hooks != nil {
		r.Chain = hooks.Chain(subj)
	}
	return a.filtered.Load()
}

// Filter leaves out the subscriptions that denied reports.
func (r *Result) Filter(denied func(*Subscription) bool) {
	r.Plain = slices.DeleteFunc(r.Plain, denied)
	for i := 0; i < len(r.Groups); {
		g := &r.Groups[i]
		g.Members = slices.DeleteFunc(g.Members, denied)
		if len(g.Members) > 0 {
			i++
			continue
		}
		// A group whose memory is kept for later takes the emptied one's place.
		last := len(r.Groups) - 1
		r.Groups[i], r.Groups[last] = r.Groups[last], r.Groups[i]
		r.Groups = r.Groups[:last]
	}
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

// SetHooks replaces the hooks at the account's boundaries; nil is none.
func (a *Account) SetHooks(t *hook.Table) {
	if a.hooks.Swap(t) != t {
		a.list.Invalidate()
	}
}

// Stats returns the counters of the account's interest.
func (a *Account) Stats() sublist.Stats { return a.list.Stats() }
