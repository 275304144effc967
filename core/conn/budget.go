package conn

import (
	"sync"
	"sync/atomic"
)

// budget bounds the bytes queued for all connections of a Loop together.
type budget struct {
	total atomic.Int64
	limit atomic.Int64 // 0 is none
	cuts  atomic.Uint64

	mu  sync.Mutex
	set map[*Conn]struct{} // connections with something queued
}

func (b *budget) add(n int64) { b.total.Add(n) }

func (b *budget) mark(c *Conn, has bool) {
	b.mu.Lock()
	if has {
		if b.set == nil {
			b.set = make(map[*Conn]struct{})
		}
		b.set[c] = struct{}{}
	} else {
		delete(b.set, c)
		if len(b.set) == 0 {
			b.set = nil
		}
	}
	b.mu.Unlock()
}

// check cuts those with the most pending until the total is within the limit
// again. No lock is held by the caller.
func (b *budget) check(l *Loop) {
	limit := b.limit.Load()
	for limit > 0 && b.total.Load() > limit {
		b.mu.Lock()
		var worst *Conn
		var most int64
		for c := range b.set {
			if p := c.pending.Load(); p > most && c.Reason() == NotClosed {
				worst, most = c, p
			}
		}
		b.mu.Unlock()
		if worst == nil {
			return
		}
		b.cuts.Add(1)
		worst.Close(SlowPending)
	}
}
