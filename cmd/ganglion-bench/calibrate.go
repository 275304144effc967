package main

import (
	"runtime"
	"sync"
	"time"
)

// calibrate times a fixed piece of arithmetic on all cores at once. It notices
// a slower clock, and a host that runs somebody else on our cores; the median of
// three forgives a single interruption. Memory is left to probe_linux.go:
// copying was tried here, and scattered by more than the legs themselves.
func calibrate() time.Duration {
	var times []float64
	for range 3 {
		t := time.Now()
		var wg sync.WaitGroup
		for i := range runtime.NumCPU() {
			wg.Go(func() { calibrationSink[i%len(calibrationSink)] = xorshift(10_000_000) })
		}
		wg.Wait()
		times = append(times, float64(time.Since(t)))
	}
	return time.Duration(median(times))
}

// calibrationSink keeps the compiler from dropping the work.
var calibrationSink [256]uint64

// xorshift runs the generator of that name n times: a chain of dependent
// operations that no compiler shortens.
func xorshift(n int) uint64 {
	x := uint64(88172645463325252)
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}
