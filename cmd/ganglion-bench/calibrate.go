package main

import (
	"runtime"
	"sync"
	"time"
)

// calibrate times a fixed piece of work on all cores at once: arithmetic, which
// notices a slower clock or a host that runs somebody else on our cores, and
// copying, which notices a neighbour who takes caches and memory. The median
// of three forgives a single interruption.
func calibrate() time.Duration {
	var times []float64
	for range 3 {
		t := time.Now()
		var wg sync.WaitGroup
		for i := range runtime.NumCPU() {
			wg.Go(func() { calibrationSink[i%len(calibrationSink)] = xorshift(4_000_000) + copying(16) })
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

// copying copies n times 4 MiB, more than a core's own caches hold.
func copying(n int) uint64 {
	buf := make([]byte, 8<<20)
	from, to := buf[:4<<20], buf[4<<20:]
	for i := range n {
		from[i] = byte(i)
		copy(to, from)
	}
	return uint64(to[n-1])
}
