package wasm_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"ganglion/plugins/wasm"
)

// BenchmarkRunaway is how long guests that would run for ever do run, at default
// limits, and how long a garbage collection waits for them.
func BenchmarkRunaway(b *testing.B) {
	for _, tt := range []struct{ name, payload string }{
		{"loop", "l"}, {"fill", "f"}, {"recursion", "c"}, {"grow", "G"}, {"log storm", "m"}, {"clock storm", "M"}, {"kv storm", "k"}, {"emit storm", "e"}, {"large values", "K"}, {"lines", "W"}, {"randomness", "Q"}, {"waits", "w"}, {"pointer chase", "P"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			p := pool(b, host(b, wasm.Fuel), "guest", "", wasm.Limits{}, &house{})
			stop := make(chan struct{})
			var wg sync.WaitGroup
			var longest time.Duration
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						start := time.Now()
						runtime.GC()
						longest = max(longest, time.Since(start))
					}
				}
			})
			for b.Loop() {
				ask(b, p, tt.payload)
			}
			close(stop)
			wg.Wait()
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/runaway")
			b.ReportMetric(float64(longest.Microseconds())/1000, "max-gc-ms")
		})
	}
}
