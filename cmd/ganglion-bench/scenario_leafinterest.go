package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	interestConns   = 2
	interestRate    = 60_000  // changes a second in all, half of them SUBs: what is reached has a floor of leafChanges
	interestLive    = 5_000   // subscriptions of a connection alive at a time
	interestChoice  = 50_000  // subjects of a connection
	interestTraffic = 25_000  // messages a second in each direction
	interestIDs     = 1000000 // the first sid and subject: all of them have seven digits
)

// leafInterest is clients at the edge that subscribe and unsubscribe, to subjects
// of their own, beside traffic in both directions. A message in the table is a
// change that the hub has applied.
func leafInterest() scenario {
	return scenario{
		name: "leaf-interest",
		about: fmt.Sprintf("leafnode link between two servers of a kind: %d changes of interest a second asked for at the edge, beside %d msg/s of 128 B in each direction; "+
			"a message is a change applied at the hub, CPU is that of both servers and all of the load", interestRate, interestTraffic),
		floors: []floor{atLeast("g.rate", leafChanges).as("changes/s")},
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.join(ctx, leafSpec{pair: true}, func(j *joined) (leg, error) { return j.interestLeg(st.opts) })
		},
	}
}

func (j *joined) interestLeg(o options) (leg, error) {
	up, err := j.edge.fanTo(j.hub, "traffic.up", "", 128, 1, 1, windowPerSub)
	if err != nil {
		return leg{}, err
	}
	down, err := j.hub.fanTo(j.edge, "traffic.down", "", 128, 1, 1, windowPerSub)
	if err != nil {
		return leg{}, err
	}
	wishes, err := j.wishers()
	if err != nil {
		return leg{}, err
	}
	if err := j.probe(j.edge, j.hub); err != nil {
		return leg{}, err
	}
	if err := j.probe(j.hub, j.edge); err != nil {
		return leg{}, err
	}
	before, err := j.idleInterest()
	if err != nil {
		return leg{}, err
	}
	if err := up.attachTo(j.edge, j.hub); err != nil {
		return leg{}, err
	}
	if err := down.attachTo(j.hub, j.edge); err != nil {
		return leg{}, err
	}

	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	for _, t := range []*topology{up, down} {
		wg.Go(func() { j.edge.stop(pace(interestTraffic, paceStep, &stop, t.pubs[0].some(j.edge.ctx))) })
	}
	for _, w := range wishes {
		wg.Go(func() { j.edge.stop(pace(interestRate/2/interestConns, paceStep, &stop, w.step)) })
	}
	res, err := j.edge.measure(o, func() int64 {
		i, err := j.interestAt(j.hubWeb)
		j.edge.stop(err)
		return i.changes()
	})
	if err != nil {
		return leg{}, err
	}
	stop.Store(true)
	wg.Wait()
	ended := time.Now()
	if err := verify(j.edge, append(up.wins, down.wins...), append(up.subs, down.subs...)); err != nil {
		return leg{}, fmt.Errorf("traffic beside: %w", err)
	}
	behind, err := j.checkWishes(wishes, before, ended)
	if err != nil {
		return leg{}, err
	}
	res.Extra = map[string]float64{"settled after ms": float64(behind) / 1e6}
	return res, nil
}

// some returns what publishes so many messages, for pace.
func (p publisher) some(ctx context.Context) func(int) error {
	one := len(p.chunks[0].b) / p.chunks[0].n
	return func(n int) error {
		for n > 0 {
			k := min(n, p.chunks[0].n)
			if err := p.win.reserve(ctx, int64(k)); err != nil {
				return err
			}
			if err := p.c.write(p.chunks[0].b[:k*one]); err != nil {
				return err
			}
			n -= k
		}
		return nil
	}
}

// idleInterest is the hub's once it no longer changes: probes leave some behind
// for a moment.
func (j *joined) idleInterest() (i interest, err error) {
	for same := 0; same < 10; same++ {
		if err := j.edge.sleep(10 * time.Millisecond); err != nil {
			return i, err
		}
		next, err := j.interestAt(j.hubWeb)
		if err != nil {
			return i, err
		}
		if next != i {
			i, same = next, 0
		}
	}
	return i, nil
}

// wisher is a connection at the edge whose subscriptions come and go.
type wisher struct {
	c    *conn
	name int
	n    int // SUBs so far
	buf  []byte
	got  atomic.Int64
}

func (j *joined) wishers() (all []*wisher, err error) {
	var conns []*conn
	for i := range interestConns {
		c, err := j.edge.dial()
		if err != nil {
			return nil, err
		}
		w := &wisher{c: c, name: i}
		head := msgHead(w.subject(0), w.sid(0), "", 0)
		c.sink = &counter{control: &c.control, size: msgSize(head, 0), head: []byte("MSG wish."), add: func(n int) { w.got.Add(int64(n)) }}
		all, conns = append(all, w), append(conns, c)
	}
	return all, j.edge.attach(conns...)
}

// subject is what the n-th SUB gets; subjects come back, which takes an LS+ after
// an LS- for the same.
func (w *wisher) subject(n int) string {
	return fmt.Sprintf("wish.%d.%d.x", w.name, interestIDs+n%interestChoice)
}

func (w *wisher) sid(n int) string { return strconv.Itoa(interestIDs + n) }

func (w *wisher) step(n int) error { return w.c.write(w.ops(n)) }

// ops subscribes n times, half of it by wildcard, and unsubscribes what is old.
func (w *wisher) ops(n int) []byte {
	b := w.buf[:0]
	for range n {
		b = append(b, "SUB "...)
		b = append(b, w.subject(w.n)...)
		if w.n%2 == 1 {
			b[len(b)-1] = '*'
		}
		b = append(append(append(b, ' '), w.sid(w.n)...), "\r\n"...)
		if old := w.n - interestLive; old >= 0 {
			b = append(append(append(b, "UNSUB "...), w.sid(old)...), "\r\n"...)
		}
		w.n++
	}
	w.buf = b
	return b
}

// live is how many subscriptions there must be.
func (w *wisher) live() int64 { return int64(min(w.n, interestLive)) }

// checkWishes compares the hub's interest with what the clients at the edge have
// left: as many subscriptions, and of one message per subject those arrive that
// somebody wants. It returns how long after begin the hub knew of the last change.
func (j *joined) checkWishes(wishes []*wisher, before interest, begin time.Time) (time.Duration, error) {
	var want int64
	for _, w := range wishes {
		if err := j.edge.settle(w.c); err != nil {
			return 0, err
		}
		want += w.live()
	}
	// While changes are on their way there are as many subscriptions as at the end.
	if err := j.probe(j.hub, j.edge); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	if _, err := j.settled(before, want, begin); err != nil {
		return 0, err
	}
	pub, err := j.hub.dial()
	if err != nil {
		return 0, err
	}
	for _, w := range wishes {
		var b []byte
		for n := range interestChoice {
			b = appendPub(b, w.subject(n), "", 0)
		}
		if err := pub.flush(b); err != nil {
			return 0, fmt.Errorf("publish to what was wanted: %w", err)
		}
	}
	for _, w := range wishes {
		if err := j.edge.until("message to the last wish", func() bool { return w.got.Load() >= w.live() }); err != nil {
			return 0, fmt.Errorf("%w: %d of %d came", err, w.got.Load(), w.live())
		}
	}
	if err := j.probe(j.hub, j.edge); err != nil { // behind all of them
		return 0, err
	}
	for _, w := range wishes {
		if err := j.edge.settle(w.c); err != nil {
			return 0, err
		}
		if got := w.got.Load(); got != w.live() {
			return 0, fmt.Errorf("%d messages came to %d subscriptions", got, w.live())
		}
	}
	return took, nil
}
