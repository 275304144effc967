package router

import (
	"math/bits"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// over is what is known of a message that came over a link.
type over struct {
	queues [][]byte // the groups here that are each to give it to a member
	local  wire.Msg // as clients here get it, if that is otherwise
	split  bool
}

// choice is a link that is to give a message to a member of a group beyond it.
type choice struct {
	sub  *account.Subscription
	name string
	done bool
}

// PublishLinked is Publish for a message that came over a link: plain
// subscriptions and the queue groups that m.Queues names get it. What links
// agreed on when they sent it holds: subjects are not mapped again.
func (b *Batch) PublishLinked(from Publisher, acc *account.Account, m *wire.Msg) Outcome {
	if b.bytes >= flushBytes || b.count >= flushDeliveries {
		b.Flush()
	}
	queues := m.Queues
	m.Packed, m.Queues = nil, nil
	e := b.interest(acc, m.Subject)
	if e.nobody {
		return Outcome{}
	}
	if sub := e.only; sub != nil && !sub.Link() { // no hooks then
		if _, _, ok := wire.SplitAck(m.Reply); !ok {
			return Outcome{Receivers: b.deliver(from, sub, m)}
		}
	}
	if chain := e.res.Chain; chain.Ins() {
		was := *m
		m.Scratch = b.scratches[:0]
		v, _ := chain.LeafIn(from.Origin(), m)
		if b.scratches, m.Scratch = m.Scratch, nil; cap(b.scratches) > keepStage {
			b.scratches = nil
		}
		if v != hook.Pass {
			b.counter.Refused.Add(1)
			return Outcome{Verdict: v}
		}
		settleChange(&was, m)
		if !sameBytes(was.Subject, m.Subject) {
			if e = b.interest(acc, m.Subject); e.nobody {
				return Outcome{}
			}
		}
	}
	b.over = &b.linked
	b.over.queues, b.over.split = queues, false
	if ack, subj, ok := wire.SplitAck(m.Reply); ok {
		b.over.split, b.over.local = true, wire.Msg{Subject: subj, Reply: ack, Data: m.Data, HdrLen: m.HdrLen}
	}
	defer func() { b.over, b.linked.queues, b.linked.local = nil, nil, wire.Msg{} }()
	if e.res.Chain.Delivers() || e.res.Chain.Outs() {
		return Outcome{Receivers: b.fanOutHooked(from, e.res.Chain, &e.res, m)}
	}
	return Outcome{Receivers: b.fanOutLinked(from, nil, &e.res, m)}
}

// fanOutLinked is fanOut where links take part: as receivers, or as where m came
// from. chain is what m meets on its way to clients, nil for nothing.
func (b *Batch) fanOutLinked(from Publisher, chain *hook.Chain, res *account.Result, m *wire.Msg) int {
	o := b.over
	b.over = nil // what m leads to in other accounts did not come over a link
	defer func() { b.over = o }()
	local := m
	if o != nil && o.split {
		local = &o.local
	}
	base, hops := len(b.views), 0
	if chain != nil {
		hops = from.Origin().Hops
	}
	// near delivers to somebody here; taken is false when another member of a
	// group may be tried.
	near := func(sub *account.Subscription) (n int, taken bool) {
		v := local
		if chain != nil {
			if v = b.viewOf(base, hops, chain, sub, local); v == nil {
				return 0, true
			}
		}
		n = b.deliver(from, sub, v)
		return n, n > 0
	}
	far := m // as links get it; nil when they don't
	if chain.Outs() && res.Linked {
		far = b.viewOut(base, hops, chain, from, m)
	}
	n := 0
	first := len(b.choices)
	for i := range res.Groups {
		g := &res.Groups[i]
		if o != nil && !named(o.queues, g.Name) {
			continue
		}
		count := len(g.Members) - g.Far
		taken := false
		if count > 0 {
			at, _ := bits.Mul64(b.rng.Uint64(), uint64(count))
			for k := 0; k < count && !taken; k++ {
				var d int
				d, taken = near(g.Members[(int(at)+k)%count])
				n += d
			}
		}
		if !taken && g.Far > 0 {
			if sub := b.choose(from, g.Members[count:]); sub != nil {
				b.choices = append(b.choices, choice{sub: sub, name: g.Name})
			}
		}
	}
	for _, sub := range res.Plain {
		if !sub.Link() {
			d, _ := near(sub)
			n += d
			continue
		}
		if far != nil {
			n += b.overLink(from, sub, first, far)
		}
	}
	for i := first; i < len(b.choices); i++ {
		if c := &b.choices[i]; !c.done && far != nil {
			n += b.overLink(from, c.sub, first, far)
		}
	}
	clear(b.choices[first:])
	b.choices = b.choices[:first]
	return n
}

// leafZone is the listener of views for links, which no listener is called.
const leafZone = "\x00leaf"

// viewOut returns m as links get it, nil when they don't.
func (b *Batch) viewOut(base, hops int, chain *hook.Chain, from Publisher, m *wire.Msg) *wire.Msg {
	for i := base; i < len(b.views); i++ {
		if v := &b.views[i]; v.listener == leafZone {
			if v.dropped {
				return nil
			}
			return &v.m
		}
	}
	b.views = append(b.views, view{listener: leafZone, m: *m})
	v := &b.views[len(b.views)-1]
	v.m.Scratch = nil
	verdict, _ := chain.LeafOut(hook.Zone{Account: from.Origin().Account, Hops: hops}, &v.m)
	v.buf, v.m.Scratch = v.m.Scratch, nil
	if v.dropped = verdict != hook.Pass; v.dropped {
		return nil
	}
	v.m.Subject = m.Subject
	settleChange(m, &v.m)
	return &v.m
}

// overLink hands m to the link of sub, with the names of the groups that it was
// chosen for.
func (b *Batch) overLink(from Publisher, sub *account.Subscription, first int, m *wire.Msg) int {
	was := m.Queues
	b.names, b.nameBytes = b.names[:0], b.nameBytes[:0]
	for i := first; i < len(b.choices); i++ {
		if c := &b.choices[i]; !c.done && c.sub.Sink == sub.Sink {
			c.done = true
			from := len(b.nameBytes)
			b.nameBytes = append(b.nameBytes, c.name...)
			b.names = append(b.names, b.nameBytes[from:len(b.nameBytes):len(b.nameBytes)])
		}
	}
	m.Queues = b.names
	n := b.deliver(from, sub, m)
	m.Queues = was
	return n
}

// choose returns one of members, all of links that take a message of from, by how
// many members the groups beyond them have; nil if there is none.
func (b *Batch) choose(from account.Sink, members []*account.Subscription) *account.Subscription {
	total := 0
	for _, sub := range members {
		if l := sub.Sink.(account.Linked); l.Takes(from) {
			total += max(l.Weight(sub), 1)
		}
	}
	if total == 0 {
		return nil
	}
	hi, _ := bits.Mul64(b.rng.Uint64(), uint64(total))
	at := int(hi)
	var last *account.Subscription
	for _, sub := range members {
		l := sub.Sink.(account.Linked)
		if !l.Takes(from) {
			continue
		}
		if at -= max(l.Weight(sub), 1); at < 0 {
			return sub
		}
		last = sub
	}
	return last
}

func named(names [][]byte, name string) bool {
	for _, n := range names {
		if string(n) == name {
			return true
		}
	}
	return false
}
