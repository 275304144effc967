package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// publisher writes its chunks round and round, as fast as its window lets it.
type publisher struct {
	c      *conn
	chunks []chunk
	win    *window
	fanout int64 // deliveries that one message causes in win
	whole  bool  // stop only after the last chunk: it carries the PING that accounts for all
}

// load is a set of publishers at full speed.
type load struct {
	s    *session
	pubs []publisher
	stop atomic.Bool
	wg   sync.WaitGroup
}

// startLoad starts one goroutine per publisher.
func startLoad(s *session, pubs []publisher) *load {
	l := &load{s: s, pubs: pubs}
	for _, p := range pubs {
		l.wg.Go(func() { s.stop(l.run(p)) })
	}
	return l
}

func (l *load) run(p publisher) error {
	for !l.stop.Load() {
		for _, c := range p.chunks {
			if err := p.win.reserve(l.s.ctx, int64(c.n)*p.fanout); err != nil {
				return err
			}
			if err := p.c.write(c.b); err != nil {
				return err
			}
			if !p.whole && l.stop.Load() {
				return nil
			}
		}
	}
	return nil
}

// finish stops the publishers and verifies that every message arrived exactly once.
func (l *load) finish(receivers []*conn) error {
	l.stop.Store(true)
	l.wg.Wait()
	if err := l.s.err(); err != nil {
		return err
	}
	var wins []*window
	seen := map[*window]bool{}
	for _, p := range l.pubs {
		if !seen[p.win] {
			seen[p.win] = true
			wins = append(wins, p.win)
		}
	}
	return verify(l.s, wins, receivers)
}

// verify waits for the last delivery, flushes the receivers, so that any
// surplus is seen too, and compares.
func verify(s *session, wins []*window, receivers []*conn) error {
	for _, w := range wins {
		if err := s.until("last delivery", func() bool { return w.done.Load() >= w.sent.Load() }); err != nil {
			return fmt.Errorf("%w: %d of %d delivered", err, w.done.Load(), w.sent.Load())
		}
	}
	if err := s.settle(receivers...); err != nil {
		return err
	}
	for _, w := range wins {
		if sent, done := w.sent.Load(), w.done.Load(); sent != done {
			return fmt.Errorf("%d deliveries expected, %d counted", sent, done)
		}
	}
	return nil
}

// usage is one look at all clocks and counters.
type usage struct {
	at                   time.Time
	messages             int64
	server, own, machine time.Duration // CPU time
	others               time.Duration // of servers that are part of the leg but not measured
}

func (s *session) look(count func() int64) (u usage, err error) {
	u.at, u.messages = time.Now(), count()
	if u.server, err = s.srv.cpu(); err != nil {
		return u, err
	}
	for _, other := range s.others {
		d, err := other.cpu()
		if err != nil {
			return u, err
		}
		if s.joint {
			u.server += d
		} else {
			u.others += d
		}
	}
	if u.own, err = processCPU(0); err != nil {
		return u, err
	}
	u.machine, err = machineCPU()
	return u, err
}

// measure lets the load run for the warm-up, then counts messages and the
// server's CPU time over the measured window.
func (s *session) measure(o options, count func() int64) (leg, error) {
	if err := s.sleep(o.warmup); err != nil {
		return leg{}, err
	}
	probing, stopProbe := context.WithCancel(s.ctx)
	defer stopProbe()
	probe := startProbe(probing)
	s.measuring.Store(true)
	from, err := s.look(count)
	if err != nil {
		return leg{}, err
	}
	if err := s.sleep(o.measured); err != nil {
		return leg{}, err
	}
	s.measuring.Store(false)
	to, err := s.look(count)
	if err != nil {
		return leg{}, err
	}
	stopProbe()
	rss, err := s.srv.rss()
	if err != nil {
		return leg{}, err
	}
	took, n := to.at.Sub(from.at).Seconds(), to.messages-from.messages
	if n == 0 {
		return leg{}, fmt.Errorf("nothing was delivered in %.1f s", took)
	}
	server, own := to.server-from.server, to.own-from.own
	foreign := to.machine - from.machine - server - own - (to.others - from.others)
	return leg{
		Messages: n, Seconds: took, Rate: float64(n) / took,
		CPU: float64(server) / float64(n), OwnCPU: float64(own) / float64(n), RSS: rss,
		Foreign: max(0, foreign.Seconds()/took), Far: <-probe,
	}, nil
}

// sum returns a count of what has been delivered in all windows.
func sum(wins []*window) func() int64 {
	return func() (n int64) {
		for _, w := range wins {
			n += w.done.Load()
		}
		return n
	}
}
