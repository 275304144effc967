// Package limit holds token buckets: how often something may happen.
package limit

import (
	"sync"
	"time"
)

// Bucket is a token bucket. The zero value lets everything pass; it is safe for
// concurrent use.
type Bucket struct {
	mu     sync.Mutex
	rate   float64 // tokens per second
	burst  float64
	tokens float64
	last   time.Time
}

// NewBucket returns a full Bucket that refills with rate tokens per second and
// holds burst at most. A rate of 0 or less lets everything pass.
func NewBucket(rate float64, burst int) *Bucket {
	if burst < 1 {
		burst = 1
	}
	return &Bucket{rate: rate, burst: float64(burst), tokens: float64(burst)}
}

// Take takes n tokens at the time now and reports whether they were there;
// otherwise it takes none.
func (b *Bucket) Take(now time.Time, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return true
	}
	b.refill(now)
	if b.tokens < float64(n) {
		return false
	}
	b.tokens -= float64(n)
	return true
}

// Wait returns how long after now n tokens will be there; 0 when they are.
func (b *Bucket) Wait(now time.Time, n int) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return 0
	}
	b.refill(now)
	if lack := float64(n) - b.tokens; lack > 0 {
		return time.Duration(lack / b.rate * float64(time.Second))
	}
	return 0
}

func (b *Bucket) refill(now time.Time) {
	if !b.last.IsZero() && now.After(b.last) {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	}
	if b.last.IsZero() || now.After(b.last) {
		b.last = now
	}
}
