package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	churnRate = 10_000 // SUBs a second, and as many UNSUBs
	churnLive = 1_000  // subscriptions alive at a time
)

// churn is 1:1 at full speed while another connection subscribes and
// unsubscribes. Each leg runs the load twice on the same server, first
// undisturbed, so that a server's own loss is known as well.
func churn() scenario {
	return scenario{
		name:  "churn",
		about: "1:1, 128 B, beside 10,000 SUB and 10,000 UNSUB a second on other subjects, half of them wildcards",
		floors: []floor{
			atMost("x.cpu", 0.33),
			atMost("g.loss", 0.10).as("own loss"),
		},
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) { return churnLeg(s, st.opts) })
		},
	}
}

func churnLeg(s *session, o options) (leg, error) {
	t, err := s.pairsOf(1, 128)
	if err != nil {
		return leg{}, err
	}
	quiet, err := s.full(o, t.pubs, t.wins, t.subs)
	if err != nil {
		return leg{}, fmt.Errorf("without churn: %w", err)
	}
	c, err := s.dial()
	if err != nil {
		return leg{}, err
	}
	if err := s.attach(c); err != nil {
		return leg{}, err
	}

	ch, begin := &churner{c: c}, time.Now()
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { s.stop(pace(churnRate, paceStep, &stop, ch.step)) })
	defer wg.Wait()
	defer stop.Store(true)

	res, err := s.full(o, t.pubs, t.wins, t.subs)
	if err != nil {
		return leg{}, err
	}
	stop.Store(true)
	wg.Wait()
	if err := s.settle(c); err != nil { // all of it was handled, none refused
		return leg{}, fmt.Errorf("flush churn: %w", err)
	}
	res.Foreign = max(res.Foreign, quiet.Foreign)
	res.Moved = math.Abs(res.Far - quiet.Far)
	res.Extra = map[string]float64{
		"msg/s without churn": quiet.Rate,
		"loss":                1 - res.Rate/quiet.Rate,
		"SUB+UNSUB/s":         float64(ch.n) / time.Since(begin).Seconds(),
	}
	return res, nil
}

// churner subscribes, and unsubscribes what is churnLive old.
type churner struct {
	c   *conn
	n   int
	buf []byte
}

func (ch *churner) step(n int) error {
	b := ch.buf[:0]
	for range n {
		// Subjects come back after a while, as with clients that come and go.
		id := ch.n % 50_000
		b = append(b, "SUB churn."...)
		switch ch.n % 4 {
		case 0:
			b = append(b, "*."...)
			b = strconv.AppendInt(b, int64(id), 10)
		case 2:
			b = strconv.AppendInt(b, int64(id), 10)
			b = append(b, ".>"...)
		default:
			b = strconv.AppendInt(b, int64(id), 10)
			b = append(b, ".x"...)
		}
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(ch.n), 10)
		b = append(b, "\r\n"...)
		if old := ch.n - churnLive; old >= 0 {
			b = append(b, "UNSUB "...)
			b = strconv.AppendInt(b, int64(old), 10)
			b = append(b, "\r\n"...)
		}
		ch.n++
	}
	ch.buf = b
	return ch.c.write(b)
}
