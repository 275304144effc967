package auth_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ganglion/core/auth"
)

// worked is CPU time that a test counts.
type worked struct{ spent atomic.Int64 }

func (w *worked) cpu() (time.Duration, bool) { return time.Duration(w.spent.Load()), true }

// work takes d of CPU time, and as much of the clock's.
func (w *worked) work(d time.Duration) {
	time.Sleep(d) // in a bubble: the clock moves at once
	w.spent.Add(int64(d))
}

// TestPoolFlood has a flood of bcrypt take its share of the CPU and no more,
// whatever it was thought to cost, while signatures still get through.
func TestPoolFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst, took = time.Second, 60 * time.Millisecond
		share := 0.4 / float64(runtime.GOMAXPROCS(0)) // of a CPU
		var w worked
		p := auth.NewPool(auth.PoolOptions{Workers: 1, Queue: 200, Share: share, Burst: burst, CPU: w.cpu})
		ctx, cancel := context.WithCancel(t.Context())
		var refused, signatures int
		start := time.Now()
		for time.Since(start) < 20*time.Second {
			for range 20 { // 2,000 logins a second
				if err := p.Go(ctx, auth.Cost{CPU: 40 * time.Millisecond}, func(done bool) {
					if !done {
						w.work(took)
					}
				}); errors.Is(err, auth.ErrBusy) {
					refused++
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		may := burst + time.Duration(0.4*float64(20*time.Second)) + took
		flood := p.Spent()
		if flood > may || flood < may/2 {
			t.Errorf("the flood took %v of CPU in 20 s; it may take %v", flood, may)
		}
		if refused == 0 {
			t.Error("the queue is not bounded")
		}

		// With the queue full of bcrypt one place is left for a signature.
		cancel()
		time.Sleep(time.Second)
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		for range 100 {
			p.Go(ctx, auth.Cost{CPU: 40 * time.Millisecond}, func(done bool) {
				if !done {
					w.work(took)
				}
			})
		}
		time.Sleep(3 * time.Second) // the budget is spent, and half the queue there still
		from := time.Now()
		var waited time.Duration
		p.Go(ctx, auth.Cost{CPU: 100 * time.Microsecond}, func(bool) { signatures++; waited = time.Since(from) })
		time.Sleep(5 * time.Second)
		cancel()
		p.Close()
		if signatures != 1 || waited == 0 || waited > 200*time.Millisecond {
			t.Errorf("a signature waited %v behind bcrypt", waited)
		}
		t.Logf("of 40,000 logins %d were refused; they took %v of CPU, and may take %v; the signature waited %v", refused, flood, may, waited)
	})
}

// TestPoolWaits has those that wait for somebody else not hold up the rest.
func TestPoolWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := auth.NewPool(auth.PoolOptions{Workers: 1, Waiting: 3, CPU: func() (time.Duration, bool) { return 0, false }})
		release := make(chan struct{})
		var waiting, quick atomic.Int32
		for range 5 {
			if err := p.Go(t.Context(), auth.Cost{Waits: true}, func(bool) { waiting.Add(1); <-release }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := waiting.Load(); n != 3 {
			t.Errorf("%d wait at once, want 3", n)
		}
		if err := p.Go(t.Context(), auth.Cost{CPU: time.Millisecond}, func(bool) { quick.Add(1) }); err != nil {
			t.Fatal(err)
		}
		close(release)
		p.Close()
		if waiting.Load() != 5 || quick.Load() != 1 {
			t.Errorf("%d and %d were called, want 5 and 1", waiting.Load(), quick.Load())
		}
	})
}

// TestPoolClose has everything called exactly once, or refused.
func TestPoolClose(t *testing.T) {
	p := auth.NewPool(auth.PoolOptions{Workers: 2, Queue: 50})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var called, done, queued atomic.Int32
	for i := range 200 {
		ctx := t.Context()
		if i%2 == 0 {
			ctx = ended
		}
		if p.Go(ctx, auth.Cost{CPU: time.Microsecond, Waits: i%3 == 0}, func(d bool) {
			called.Add(1)
			if d {
				done.Add(1)
			}
		}) == nil {
			queued.Add(1)
		}
	}
	p.Close()
	p.Close()
	if called.Load() != queued.Load() || done.Load() == 0 {
		t.Errorf("%d were queued, %d called, %d of them done for", queued.Load(), called.Load(), done.Load())
	}
	if err := p.Go(t.Context(), auth.Cost{}, func(bool) { t.Error("runs after Close") }); !errors.Is(err, auth.ErrBusy) {
		t.Errorf("after Close: %v", err)
	}
}

// TestPoolMeasures has real work be charged as what it took.
func TestPoolMeasures(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the CPU time of a thread is not known here")
	}
	p := auth.NewPool(auth.PoolOptions{})
	a := newAuth(t, auth.Options{User: "a", Password: hash("x")})
	ran := make(chan struct{})
	if err := p.Go(t.Context(), auth.Cost{CPU: time.Nanosecond}, func(bool) {
		a.Authenticate(t.Context(), request(fields{"user": "a", "pass": "wrong"}))
		close(ran)
	}); err != nil {
		t.Fatal(err)
	}
	<-ran
	p.Close()
	if s := p.Spent(); s < 100*time.Microsecond {
		t.Errorf("bcrypt took %v", s)
	}
}
