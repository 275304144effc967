package router

import (
	"math/bits"
	"time"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// Outcome says what became of a published message.
type Outcome struct {
	// Receivers is how many subscriptions it was staged for.
	Receivers int
	// Verdict is other than Pass when a publish hook ended it; Err is the
	// hook's error.
	Verdict hook.Verdict
	Err     error
	// Denied says that the publisher's permissions don't allow the subject.
	Denied bool
}

// Publisher is where a message comes from.
type Publisher interface {
	account.Sink
	// Origin tells hooks about the publisher.
	Origin() *hook.Origin
	// AppendRequestor appends what a service in another account is told of who
	// asks from the account acc: a JSON object, with everything there is to say
	// when share is true.
	AppendRequestor(b []byte, acc string, share bool) []byte
	// RTT returns the round-trip time, 0 when unknown.
	RTT() time.Duration
}

// Publish stages m, published by from in acc, for everybody interested: one
// member of each queue group and every plain subscription. m and its bytes are
// borrowed until Flush. m.Subject and more of m may be changed by mappings and
// hooks. The subject, as it was before, must be allowed by may, unless that is
// nil; limits are the caller's.
func (b *Batch) Publish(from Publisher, acc *account.Account, may *permission.Set, m *wire.Msg) Outcome {
	if b.bytes >= flushBytes || b.count >= flushDeliveries {
		b.Flush()
	}
	m.Packed = nil
	if acc.Mapped() {
		if may != nil && !may.Allows(m.Subject) {
			return Outcome{Denied: true}
		}
		may = nil
		if !b.mapSubject(acc, m) {
			return Outcome{Verdict: hook.Drop}
		}
	}
	e := b.interest(acc, m.Subject)
	if may != nil && !e.allowed(b, may) {
		return Outcome{Denied: true}
	}
	if sub := e.only; sub != nil && b.over == nil {
		return Outcome{Receivers: b.deliver(from, sub, m)}
	}
	if e.nobody {
		return Outcome{}
	}
	if e.res.Chain != nil {
		return b.publishHooked(from, acc, e, m)
	}
	return Outcome{Receivers: b.fanOut(from, &e.res, m)}
}

// deliver hands m to one subscription; 1 if it was taken. Of a service in another
// account it is the number of those who took it there.
func (b *Batch) deliver(from Publisher, sub *account.Subscription, m *wire.Msg) int {
	if sub.Via != nil {
		return b.deliverVia(from, sub, m)
	}
	if b.trace != nil {
		return b.stageTraced(from, sub, m)
	}
	return b.stageFor(from, sub, m)
}

// stageFor stages m for one subscription; 1 if it was taken.
func (b *Batch) stageFor(from account.Sink, sub *account.Subscription, m *wire.Msg) int {
	st := b.stage(from, sub.Sink)
	before := st.Len()
	if !sub.Sink.Stage(st, sub, m) {
		return 0
	}
	if st.Slow {
		st.Slow, b.slow = false, true
	}
	b.staged(st.Len() - before)
	b.borrowed = b.borrowed || st.Borrows()
	return 1
}

func (b *Batch) fanOut(from Publisher, res *account.Result, m *wire.Msg) int {
	if res.Linked || b.over != nil {
		return b.fanOutLinked(from, nil, res, m)
	}
	n := 0
	for _, sub := range res.Plain {
		n += b.deliver(from, sub, m)
	}
	for i := range res.Groups {
		n += b.pick(from, res.Groups[i].Members, m)
	}
	return n
}

// pick stages m for one member, chosen anew for every message, or for the next
// that takes it.
func (b *Batch) pick(from Publisher, members []*account.Subscription, m *wire.Msg) int {
	n := len(members)
	at := 0
	if n > 1 {
		hi, _ := bits.Mul64(b.rng.Uint64(), uint64(n))
		at = int(hi)
	}
	for range n {
		if b.deliver(from, members[at], m) > 0 {
			return 1
		}
		if at++; at == n {
			at = 0
		}
	}
	return 0
}

// mapSubject applies the account's subject mapping; false when its weights drop
// the message.
func (b *Batch) mapSubject(acc *account.Account, m *wire.Msg) bool {
	if mp := acc.Map(m.Subject); mp != nil {
		b.scratch = mp.Append(b.scratch[:0], m.Subject, uint32(b.rng.Uint64()>>32))
		m.Subject = b.scratch
	}
	return len(m.Subject) > 0
}

// redeliver gives a message of a queue group to another member, or drops it when
// none is left.
func (b *Batch) redeliver(r *account.Returned) {
	var res account.Result
	acc := r.Sub.Account()
	acc.Match(b.reader, r.Msg.Subject, &res)
	for i := range res.Groups {
		g := &res.Groups[i]
		if g.Name != r.Sub.Queue() {
			continue
		}
		b.redeliverTo(g.Members, r)
		return
	}
}

func (b *Batch) redeliverTo(members []*account.Subscription, r *account.Returned) {
	n := len(members)
	at := int(b.rng.Uint64() % uint64(n))
	r.Msg.Queues = [][]byte{[]byte(r.Sub.Queue())} // for links
	for range n {
		sub := members[at]
		at = (at + 1) % n
		if sub == r.Sub {
			continue
		}
		if sub.Via != nil {
			continue // it was not this account's to give
		}
		st := b.newStage(sub.Sink)
		took := sub.Sink.Stage(st, sub, &r.Msg)
		if took {
			sub.Sink.Commit(st)
			took = st.Returned == nil
		}
		b.recycle(st)
		if took {
			return
		}
	}
}
