package conn

import (
	"context"
	"sync"
	"time"
)

const (
	// wheelTick is the resolution of keep-alives and auth timeouts.
	wheelTick  = 25 * time.Millisecond
	wheelSlots = 1024
)

// timer is a Conn's place on the wheel.
type timer struct {
	prev, next *Conn
	due        int64 // tick; 0 when not on the wheel
	dead       bool
}

// wheel is a timing wheel shared by all connections of a Loop: one goroutine and
// no memory beyond the links in each Conn.
type wheel struct {
	start time.Time

	mu    sync.Mutex
	now   int64 // ticks since start that have been run
	slots [wheelSlots]*Conn
	count int
	wake  chan struct{}
}

func newWheel() *wheel {
	return &wheel{start: time.Now(), wake: make(chan struct{}, 1)}
}

// Schedule has Handler.Tick called after d, or not at all when d is 0. A later
// call replaces an earlier one.
func (c *Conn) Schedule(d time.Duration) { c.loop.wheel.schedule(c, d) }

func (w *wheel) schedule(c *Conn, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(c)
	if d <= 0 || c.timer.dead {
		return
	}
	c.timer.due = max(int64((time.Since(w.start)+d)/wheelTick), w.now) + 1
	s := &w.slots[c.timer.due%wheelSlots]
	c.timer.prev, c.timer.next = nil, *s
	if *s != nil {
		(*s).timer.prev = c
	}
	*s = c
	w.count++
	if w.count == 1 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// cancel takes c off for good.
func (w *wheel) cancel(c *Conn) {
	w.mu.Lock()
	w.remove(c)
	c.timer.dead = true
	w.mu.Unlock()
}

func (w *wheel) remove(c *Conn) {
	t := &c.timer
	if t.due == 0 {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.due%wheelSlots] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.prev, t.next, t.due = nil, nil, 0
	w.count--
}

// run turns the wheel until ctx ends. It sleeps for good while the wheel is empty.
func (w *wheel) run(ctx context.Context) {
	tick := time.NewTicker(wheelTick)
	defer tick.Stop()
	var due []*Conn
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.mu.Lock()
		empty := w.count == 0
		target := int64(time.Since(w.start) / wheelTick)
		if target-w.now > wheelSlots {
			w.now = target - wheelSlots // once round visits every slot
		}
		for w.now < target {
			w.now++
			for c := w.slots[w.now%wheelSlots]; c != nil; {
				next := c.timer.next
				if c.timer.due <= w.now {
					w.remove(c)
					due = append(due, c)
				}
				c = next
			}
		}
		w.mu.Unlock()
		now := time.Now()
		for i, c := range due {
			if d := c.h.Tick(now); d > 0 {
				w.schedule(c, d)
			}
			due[i] = nil
		}
		due = due[:0]
		if empty {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-w.wake:
			}
			tick.Reset(wheelTick)
		}
	}
}
