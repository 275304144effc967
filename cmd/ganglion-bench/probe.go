package main

import (
	"context"
	"runtime"
	"time"
)

// A probe looks at the speed of the cores while a leg runs. Virtual machines
// need it: a host may put our cores on two threads of one physical core for some seconds. Each
// alone is then as fast as ever, and no counter of ours (steal, load) shows anything, but with both
// busy every message costs up to twice the CPU time. Measured here, most of
// the scatter between legs was that.
//
// The probe is a burst of arithmetic that fills the execution units of a core,
// timed by its thread's CPU clock, so that only sharing of the core slows it and preemption does not.
// A burst every 10 ms takes 0.3 % of a core.
const (
	probeEvery = 10 * time.Millisecond
	probeSteps = 10_000
)

// burst is how long one probe took.
func burst() time.Duration {
	probeSink += wide(probeSteps / 4) // warms the caches that sleeping has cooled
	from := threadCPU()
	probeSink += wide(probeSteps)
	return threadCPU() - from
}

var probeSink uint64 // only ever touched by one probe at a time

// wide is arithmetic with many independent chains.
func wide(n int) uint64 {
	a, b, c, d, e, f := uint64(1), uint64(2), uint64(3), uint64(4), uint64(5), uint64(6)
	for i := range uint64(n) {
		a += i ^ b>>1
		b += i
		c ^= i + c<<1
		d += i | 1
		e ^= i >> 2
		f += i ^ 5
	}
	return a ^ b ^ c ^ d ^ e ^ f
}

// startProbe probes until ctx ends, then sends the median of all bursts in ns.
func startProbe(ctx context.Context) <-chan float64 {
	out := make(chan float64, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var bursts []float64
		for ctx.Err() == nil {
			nap(probeEvery)
			bursts = append(bursts, float64(burst()))
		}
		out <- median(bursts)
	}()
	return out
}
