package router

import (
	"math/bits"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// publishHooked runs the publish chain, matches again when the subject was
// replaced, and delivers through the deliver chain where there is one. What hooks
// replace is copied when it is staged: borrowed is the publisher's Tail alone.
func (b *Batch) publishHooked(from Publisher, acc *account.Account, e *entry, m *wire.Msg) Outcome {
	chain := e.res.Chain
	if chain.Publishes() {
		was := *m
		m.Scratch = b.scratches[:0]
		v, err := chain.Publish(from.Origin(), m)
		if b.scratches, m.Scratch = m.Scratch, nil; cap(b.scratches) > keepStage {
			b.scratches = nil
		}
		if v != hook.Pass {
			b.counter.Refused.Add(1)
			return Outcome{Verdict: v, Err: err}
		}
		settleChange(&was, m)
		if !sameBytes(was.Subject, m.Subject) {
			e = b.interest(acc, m.Subject) // matched again; its publish hooks don't run
			chain = e.res.Chain
		}
	}
	if chain.Delivers() || chain.Outs() {
		return Outcome{Receivers: b.fanOutHooked(from, chain, &e.res, m)}
	}
	return Outcome{Receivers: b.fanOut(from, &e.res, m)}
}

// settleChange drops from m what was true of it as it was published, if hooks
// changed it.
func settleChange(was, m *wire.Msg) {
	same := sameBytes(was.Data, m.Data) && was.HdrLen == m.HdrLen
	if !same {
		m.SizeArg = nil
	}
	if !same || !sameBytes(was.Reply, m.Reply) {
		m.Tail, m.Packed = nil, nil
	}
}

// sameBytes reports whether a and b are the same bytes at the same place.
func sameBytes(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// view is a message as the clients of one listener get it.
type view struct {
	listener string
	m        wire.Msg
	dropped  bool
	buf      []byte // what hooks replaced
}

// viewOf returns m as the clients of sub's listener get it, nil when they don't.
// Views from base on are of this message.
func (b *Batch) viewOf(base, hops int, chain *hook.Chain, sub *account.Subscription, m *wire.Msg) *wire.Msg {
	if sub.Listener == "" || sub.Via != nil {
		return m
	}
	for i := base; i < len(b.views); i++ {
		if v := &b.views[i]; v.listener == sub.Listener {
			if v.dropped {
				return nil
			}
			return &v.m
		}
	}
	if len(b.views) < cap(b.views) {
		b.views = b.views[:len(b.views)+1]
	} else {
		b.views = append(b.views, view{})
	}
	v := &b.views[len(b.views)-1]
	v.listener, v.m = sub.Listener, *m
	v.m.Scratch = v.buf[:0]
	verdict, _ := chain.Deliver(hook.Zone{Account: sub.Account().Name(), Listener: sub.Listener, Hops: hops}, &v.m)
	v.buf, v.m.Scratch = v.m.Scratch, nil
	if v.dropped = verdict != hook.Pass; v.dropped {
		return nil
	}
	v.m.Subject = m.Subject
	settleChange(m, &v.m)
	return &v.m
}

// fanOutHooked is fanOut with the deliver chain, run once per listener.
func (b *Batch) fanOutHooked(from Publisher, chain *hook.Chain, res *account.Result, m *wire.Msg) int {
	base, n, hops := len(b.views), 0, from.Origin().Hops
	if res.Linked || b.over != nil {
		n = b.fanOutLinked(from, chain, res, m)
		b.forgetViews(base)
		return n
	}
	for _, sub := range res.Plain {
		if v := b.viewOf(base, hops, chain, sub, m); v != nil {
			n += b.deliver(from, sub, v)
		}
	}
	for i := range res.Groups {
		members := res.Groups[i].Members
		hi, _ := bits.Mul64(b.rng.Uint64(), uint64(len(members)))
		for k := range members {
			sub := members[(int(hi)+k)%len(members)]
			v := b.viewOf(base, hops, chain, sub, m)
			if v == nil { // it was this one's: the group's copy is dropped
				break
			}
			if d := b.deliver(from, sub, v); d > 0 {
				n += d
				break
			}
		}
	}
	b.forgetViews(base)
	return n
}

// forgetViews lets go of the views of a message, those from base on.
func (b *Batch) forgetViews(base int) {
	for i := base; i < len(b.views); i++ {
		v := &b.views[i]
		v.m = wire.Msg{}
		if cap(v.buf) > keepStage {
			v.buf = nil
		}
	}
	b.views = b.views[:base]
}
