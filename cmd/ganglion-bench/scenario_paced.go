package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slowPubs    = 1_000
	slowSubs    = 100
	slowRate    = 20 // messages a second of each publisher
	pacedBytes  = 128
	pacedWindow = 32 << 20
)

// slowPublishers is many publishers that send now and then: one PUB in a write.
func slowPublishers() scenario {
	return scenario{
		name:   "slowpubs",
		about:  "1,000 publishers of 20 msg/s, one PUB per write, publisher i to s.(i%100), a subscriber on each, 128 B",
		kind:   latency,
		floors: tails(0.80),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) { return slowLeg(s, st.opts) })
		},
	}
}

func slowLeg(s *session, o options) (leg, error) {
	win := newWindow(pacedWindow, pacedBytes)
	subject := func(i int) string { return fmt.Sprintf("s.%02d", i%slowSubs) }
	subs := make([]receiver, slowSubs)
	for i := range subs {
		var err error
		if subs[i], err = s.stampedSub(subject(i), win); err != nil {
			return leg{}, err
		}
	}
	pubs, err := s.dialN(slowPubs)
	if err != nil {
		return leg{}, err
	}
	if err := errors.Join(s.attach(connsOf(subs)...), s.attach(pubs...)); err != nil {
		return leg{}, err
	}
	msgs := make([][]byte, slowPubs)
	for i := range msgs {
		msgs[i] = appendPub(nil, subject(i), "", pacedBytes)
	}
	turn, order := 0, rand.New(rand.NewPCG(3, 4)).Perm(slowPubs)
	send := func(n int) error {
		for range n {
			i := order[turn%slowPubs]
			turn++
			win.sent.Add(1)
			stamp(msgs[i][len(msgs[i])-2-pacedBytes:], time.Since(epoch))
			if err := pubs[i].write(msgs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return s.paced(o, slowPubs*slowRate, slowStep, send, win, subs)
}

// receiver is a subscriber that measures latency.
type receiver struct {
	*conn
	h *hist
}

func connsOf(rs []receiver) (conns []*conn) {
	for _, r := range rs {
		conns = append(conns, r.conn)
	}
	return conns
}

func (s *session) stampedSub(subject string, win *window) (receiver, error) {
	c, err := s.dial()
	if err != nil {
		return receiver{}, err
	}
	if err := c.flush(fmt.Appendf(nil, "SUB %s 1\r\n", subject)); err != nil {
		return receiver{}, fmt.Errorf("subscribe: %w", err)
	}
	h := &hist{}
	c.sink = stampedSink(s, c, msgHead(subject, "1", "", pacedBytes), pacedBytes, h, win.delivered)
	return receiver{c, h}, nil
}

// paced measures send at a fixed rate and verifies that all arrived.
func (s *session) paced(o options, rate float64, step time.Duration, send func(int) error, win *window, subs []receiver) (leg, error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { s.stop(pace(rate, step, &stop, send)) })
	defer wg.Wait()
	defer stop.Store(true)
	res, err := s.measure(o, win.done.Load)
	if err != nil {
		return leg{}, err
	}
	stop.Store(true)
	wg.Wait()
	if err := verify(s, []*window{win}, connsOf(subs)); err != nil {
		return leg{}, err
	}
	var h hist
	for _, r := range subs {
		h.merge(r.h)
	}
	res.latency(&h)
	return res, nil
}

// halfRate is one publisher and n subscribers at half of what nats-server can
// do at most, which is measured first.
func halfRate(n int) scenario {
	var rate float64 // PUBs a second, set by prepare
	return scenario{
		name:   fmt.Sprintf("half1:%d", n),
		about:  fmt.Sprintf("1:%d at half of nats-server's maximum, in steps of 1 ms, 128 B", n),
		kind:   latency,
		floors: tails(0.80),
		prepare: func(ctx context.Context, st *stage) error {
			var rates []float64
			for range 3 {
				l, err := st.on(ctx, func(s *session) (leg, error) { return s.fanLeg(st.opts, "", 1, n) })
				if err != nil {
					return fmt.Errorf("maximum of nats-server: %w", err)
				}
				rates = append(rates, l.Rate)
			}
			rate = median(rates) / 2 / float64(n)
			return nil
		},
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) { return halfLeg(s, st.opts, n, rate) })
		},
	}
}

func halfLeg(s *session, o options, n int, rate float64) (leg, error) {
	win := newWindow(pacedWindow, pacedBytes)
	subs := make([]receiver, n)
	for i := range subs {
		var err error
		if subs[i], err = s.stampedSub("fan.out", win); err != nil {
			return leg{}, err
		}
	}
	c, err := s.dial()
	if err != nil {
		return leg{}, err
	}
	if err := errors.Join(s.attach(connsOf(subs)...), s.attach(c)); err != nil {
		return leg{}, err
	}
	batch := chunkOf("fan.out", pacedBytes)
	one := len(batch.b) / batch.n
	send := func(due int) error {
		for due > 0 {
			k := min(due, batch.n)
			if err := win.reserve(s.ctx, int64(k*n)); err != nil {
				return err
			}
			now := time.Since(epoch)
			for i := range k {
				stamp(batch.b[(i+1)*one-2-pacedBytes:], now)
			}
			if err := c.write(batch.b[:k*one]); err != nil {
				return err
			}
			due -= k
		}
		return nil
	}
	return s.paced(o, rate, paceStep, send, win, subs)
}
