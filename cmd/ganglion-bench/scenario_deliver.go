package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

// publishOnly is n publishers and nobody who listens. Messages count when the
// server has answered a PING behind them: one per 8 chunks, so that the PONGs
// cost nothing.
func publishOnly(n, size int) scenario {
	return scenario{
		name:   fmt.Sprintf("pub%d/%s", n, sizeName(size)),
		about:  fmt.Sprintf("publish only, %d publishers, %d B", n, size),
		floors: cpuAndRate(0.40, 1.8),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) { return publishLeg(s, st.opts, n, size) })
		},
	}
}

func publishLeg(s *session, o options, n, size int) (leg, error) {
	conns, err := s.dialN(n)
	if err != nil {
		return leg{}, err
	}
	var pubs []publisher
	var wins []*window
	for i, c := range conns {
		one := chunkOf(fmt.Sprintf("pub.only.%d", i), size)
		round := slices.Repeat([]chunk{one}, 8)
		round[7].b = append(bytes.Clone(one.b), "PING\r\n"...)
		win := newWindow(windowPerSub, len(one.b)/one.n)
		c.onPong = func() { win.delivered(8 * one.n) }
		wins = append(wins, win)
		pubs = append(pubs, publisher{c: c, chunks: round, win: win, fanout: 1, whole: true})
	}
	if err := s.attach(conns...); err != nil {
		return leg{}, err
	}
	return s.full(o, pubs, wins, nil)
}

// full measures a load at full speed, then verifies it.
func (s *session) full(o options, pubs []publisher, wins []*window, receivers []*conn) (leg, error) {
	l := startLoad(s, pubs)
	defer l.wg.Wait()
	defer l.stop.Store(true)
	res, err := s.measure(o, sum(wins))
	if err != nil {
		return leg{}, err
	}
	return res, l.finish(receivers)
}

// oneToOne is n publishers on n subjects with one subscriber each.
func oneToOne(n, size int) scenario {
	return scenario{
		name:   fmt.Sprintf("%d:%d/%s", n, n, sizeName(size)),
		about:  fmt.Sprintf("%d publishers, %d subjects, one subscriber each, %d B", n, n, size),
		floors: deliverFloors(size),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) { return s.pairsLeg(st.opts, n, size) })
		},
	}
}

func (s *session) pairsLeg(o options, n, size int) (leg, error) {
	t, err := s.pairsOf(n, size)
	if err != nil {
		return leg{}, err
	}
	return s.full(o, t.pubs, t.wins, t.subs)
}

// topology is connections with their subscriptions made and readers attached,
// ready for load.
type topology struct {
	pubs []publisher
	subs []*conn
	wins []*window
}

// pairsOf makes n publishers with a subscriber each.
func (s *session) pairsOf(n, size int) (*topology, error) {
	t := &topology{}
	for i := range n {
		one, err := s.fan(fmt.Sprintf("one.to.one.%d", i), "", size, 1, 1, min(windowPerSub, windowTotal/n))
		if err != nil {
			return nil, err
		}
		t.pubs = append(t.pubs, one.pubs...)
		t.subs = append(t.subs, one.subs...)
		t.wins = append(t.wins, one.wins...)
	}
	return t, t.attach(s)
}

// fan makes np publishers and ns subscribers of one subject, all in one
// window; readers are not attached yet.
func (s *session) fan(subject, queue string, size, np, ns, bytes int) (*topology, error) {
	return s.fanTo(s, subject, queue, size, np, ns, bytes)
}

// fanTo is fan with the subscribers at another server.
func (s *session) fanTo(far *session, subject, queue string, size, np, ns, bytes int) (*topology, error) {
	head := msgHead(subject, "1", "", size)
	win := newWindow(bytes, msgSize(head, size))
	t := &topology{wins: []*window{win}}
	sub := fmt.Sprintf("SUB %s %s 1\r\n", subject, queue)
	fanout := int64(ns)
	if queue == "" {
		sub = fmt.Sprintf("SUB %s 1\r\n", subject)
	} else {
		fanout = 1
	}
	for range ns {
		c, err := far.dial()
		if err != nil {
			return nil, err
		}
		if err := c.flush([]byte(sub)); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		c.sink = &counter{control: &c.control, size: msgSize(head, size), head: []byte(head), add: win.delivered}
		t.subs = append(t.subs, c)
	}
	for range np {
		c, err := s.dial()
		if err != nil {
			return nil, err
		}
		t.pubs = append(t.pubs, publisher{c: c, chunks: []chunk{s.chunk(subject, size)}, win: win, fanout: fanout})
	}
	return t, nil
}

// chunk is what a publisher of the session writes.
func (s *session) chunk(subject string, size int) chunk {
	if s.srv.relay {
		return relayed(subject, size)
	}
	return s.srv.over.encode(chunkOf(subject, size))
}

// attach starts one reader for all subscribers and one for all publishers,
// which receive PINGs only.
func (t *topology) attach(s *session) error { return t.attachTo(s, s) }

// attachTo is attach where the subscribers are those of far.
func (t *topology) attachTo(s, far *session) error {
	if err := far.attach(t.subs...); err != nil {
		return err
	}
	var conns []*conn
	for _, p := range t.pubs {
		conns = append(conns, p.c)
	}
	return s.attach(conns...)
}

// fanOut is one publisher and n subscribers of its subject.
func fanOut(n int, floors []floor) scenario {
	return scenario{
		name:   fmt.Sprintf("1:%d", n),
		about:  fmt.Sprintf("fan-out to %d subscribers, 128 B; a message is a delivery", n),
		floors: floors,
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) {
				return s.fanLeg(st.opts, "", 1, n)
			})
		},
	}
}

// queueGroup is 4 publishers on one subject and 4 members of one queue group.
func queueGroup() scenario {
	return scenario{
		name:   "queue4:4",
		about:  "4 publishers on one subject, 4 queue members, 128 B",
		floors: cpuAndRate(0.40, 1.6),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) {
				return s.fanLeg(st.opts, "workers", 4, 4)
			})
		},
	}
}

func (s *session) fanLeg(o options, queue string, np, ns int) (leg, error) {
	t, err := s.fan("fan.out", queue, 128, np, ns, min(windowTotal, ns*windowPerSub))
	if err != nil {
		return leg{}, err
	}
	if err := t.attach(s); err != nil {
		return leg{}, err
	}
	return s.full(o, t.pubs, t.wins, t.subs)
}
