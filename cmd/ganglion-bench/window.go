package main

import (
	"context"
	"sync/atomic"
)

// window bounds what is published but not yet delivered, counted in deliveries.
// TCP alone would not do: a server reads on while its subscribers' queues grow.
type window struct {
	limit int64
	wake  chan struct{}

	sent    atomic.Int64
	done    atomic.Int64
	waiting atomic.Int32
}

// Limits on encoded bytes in flight. The sum over all subscribers stays below
// half a nats-server subscriber's max_pending (where it starts to stall
// producers), so that not even the whole lagging at one of them gets it cut.
// Twice as much was tried: queues then outgrow the caches now and then, and legs scatter.
const (
	windowPerSub = 4 << 20
	windowTotal  = 16 << 20
)

// newWindow allows bytes in flight, in messages of size bytes.
func newWindow(bytes, size int) *window {
	return &window{limit: int64(max(1, bytes/size)), wake: make(chan struct{}, 64)}
}

func (w *window) fits(n int64) bool {
	out := w.sent.Load() - w.done.Load()
	return out == 0 || out+n <= w.limit
}

// reserve waits until n more deliveries fit. Publishers that share a window may overshoot
// by a chunk each, which the limits have room for.
func (w *window) reserve(ctx context.Context, n int64) error {
	for !w.fits(n) {
		w.waiting.Add(1)
		if !w.fits(n) { // again, now that delivered is bound to see us
			select {
			case <-w.wake:
			case <-ctx.Done():
				w.waiting.Add(-1)
				return context.Cause(ctx)
			}
		}
		w.waiting.Add(-1)
	}
	w.sent.Add(n)
	return nil
}

// delivered counts n deliveries. It wakes waiting publishers only when a quarter
// of the window is free, because each wake-up costs more than a chunk.
func (w *window) delivered(n int) {
	done := w.done.Add(int64(n))
	if w.waiting.Load() == 0 || w.sent.Load()-done > w.limit*3/4 {
		return
	}
	for range w.waiting.Load() {
		select {
		case w.wake <- struct{}{}:
		default:
			return
		}
	}
}
