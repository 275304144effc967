package main

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// A probe tells how far apart the cores are while a leg runs. In a virtual machine that
// is not a constant: the host moves us about, and passing a cache line from
// one core to the other and back takes about 60 ns or about 500, for seconds at a
// time. No counter shows it, a loop on one core runs as fast as ever, yet CPU
// time per message of everybody doubles. Most of the scatter between legs was
// that, so legs are compared only when their distances are alike.
//
// Two threads, each on a core of its own, meet every 50 ms and bounce a flag a few times. It costs
// some tenths of a percent of a core.
type probe struct {
	flag    atomic.Int64 // odd: the ball is with the far thread; even: with the near one
	meet    chan struct{}
	samples []time.Duration
}

const (
	probeEvery   = 50 * time.Millisecond
	probeBounces = 32
	probeWait    = 200 * time.Microsecond // for the other thread to get its core
	probeOver    = -1                     // ends a meeting

	// nearCores separates the two cases, far from both.
	nearCores = 200 * time.Nanosecond
)

// startProbe probes until ctx ends, then sends the share of meetings in which
// the cores were far apart, or a negative number if there were none.
func startProbe(ctx context.Context) <-chan float64 {
	out := make(chan float64, 1)
	if runtime.NumCPU() < 2 {
		out <- -1
		return out
	}
	p := &probe{meet: make(chan struct{})}
	go p.far()
	go func() {
		p.near(ctx)
		close(p.meet)
		out <- p.share()
	}()
	return out
}

// far and near keep their threads locked: these end with the goroutine, and so
// does their affinity.

func (p *probe) far() {
	runtime.LockOSThread()
	if setCore(0, 0) != nil {
		return
	}
	for range p.meet {
		for ball := int64(1); p.await(ball); ball += 2 {
			p.flag.Store(ball + 1)
		}
	}
}

func (p *probe) near(ctx context.Context) {
	runtime.LockOSThread()
	if setCore(0, 1) != nil {
		return
	}
	for ctx.Err() == nil {
		nap(probeEvery)
		p.flag.Store(0)
		select {
		case p.meet <- struct{}{}:
		default:
			continue // still busy with the last meeting
		}
		// The smallest is what counts: the rest waited for a core.
		best := time.Hour
		for ball := int64(1); ball < 2*probeBounces; ball += 2 {
			t := time.Now()
			p.flag.Store(ball)
			if !p.await(ball + 1) {
				break
			}
			best = min(best, time.Since(t))
		}
		p.flag.Store(probeOver)
		if best < time.Hour {
			p.samples = append(p.samples, best)
		}
	}
}

// await spins until the flag is v, gives up when the meeting is over or took
// too long.
func (p *probe) await(v int64) bool {
	for spins, end := 0, time.Now().Add(probeWait); ; spins++ {
		switch f := p.flag.Load(); {
		case f == v:
			return true
		case f == probeOver, spins%256 == 255 && time.Now().After(end):
			return false
		}
	}
}

func (p *probe) share() float64 {
	if len(p.samples) == 0 {
		return -1
	}
	n := 0
	for _, s := range p.samples {
		if s > nearCores {
			n++
		}
	}
	return float64(n) / float64(len(p.samples))
}
