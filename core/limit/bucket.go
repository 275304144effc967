package limit

import (
	"math"
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

// Set gives the bucket another rate and burst. Tokens that are there stay, as far
// as the burst lets them; a bucket that had no rate is full.
func (b *Bucket) Set(rate, burst float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		b.tokens = burst
	}
	b.rate, b.burst = rate, burst
	b.tokens = min(b.tokens, burst)
}

// Lease takes need tokens, and of what is left then up to more as well: all of it
// when alone is true, an eighth otherwise, so that others find some. It returns
// how many it took, 0 when need are not there. More than the burst is there when
// the bucket is full; the bucket then owes the rest.
func (b *Bucket) Lease(now time.Time, need, more float64, alone bool) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return need + more
	}
	b.refill(now)
	if b.tokens < min(need, b.burst) {
		return 0
	}
	b.tokens -= need
	rest := max(b.tokens, 0)
	if !alone {
		rest /= 8
	}
	more = min(more, rest)
	b.tokens -= more
	return need + more
}

// Reserve takes n tokens, there or not, and returns how long after now they are
// the caller's: those who reserved before are served first. If that is longer
// than most it takes none and returns false.
func (b *Bucket) Reserve(now time.Time, n float64, most time.Duration) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return 0, true
	}
	b.refill(now)
	wait := time.Duration(0)
	if lack := (n - b.tokens) / b.rate * float64(time.Second); lack > 0 {
		wait = time.Duration(min(lack, math.MaxInt64/2))
	}
	if wait > most {
		return wait, false
	}
	b.tokens -= n
	return wait, true
}

// Give puts back n tokens that were leased or reserved and not needed.
func (b *Bucket) Give(n float64) {
	b.mu.Lock()
	b.tokens = min(b.burst, b.tokens+n)
	b.mu.Unlock()
}

// Burst returns how many tokens the bucket holds at most; 0 when it has no rate.
func (b *Bucket) Burst() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return 0
	}
	return b.burst
}

// Full reports whether the bucket holds its burst, so that a new one in its place
// would be the same.
func (b *Bucket) Full(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate <= 0 {
		return true
	}
	b.refill(now)
	return b.tokens >= b.burst
}

func (b *Bucket) refill(now time.Time) {
	if !b.last.IsZero() && now.After(b.last) {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	}
	if b.last.IsZero() || now.After(b.last) {
		b.last = now
	}
}
