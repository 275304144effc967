package limit

import (
	"math"
	"sync"
	"time"
)

// Group is the buckets of one connection, user, account or address. Its buckets
// let everything pass where there is no rate.
type Group struct {
	Messages, Bytes, Subscriptions, Connects Bucket

	rates Rates // guarded by the Table; set once without
	refs  int   // guarded by the Table
}

// NewGroup returns a Group that nobody shares.
func NewGroup(r Rates) *Group {
	g := &Group{}
	g.Set(r)
	return g
}

// Set gives the group other rates. What was used up stays so.
func (g *Group) Set(r Rates) {
	if g.rates == r {
		return
	}
	g.rates = r
	set := func(b *Bucket, rate float64) { b.Set(max(rate, 0), r.burst(rate)) }
	set(&g.Messages, r.Messages)
	set(&g.Bytes, r.Bytes)
	set(&g.Subscriptions, r.Subscriptions)
	set(&g.Connects, r.Connects)
}

// full reports whether a new Group would be the same.
func (g *Group) full(now time.Time) bool {
	return g.Messages.Full(now) && g.Bytes.Full(now) && g.Subscriptions.Full(now) && g.Connects.Full(now)
}

// owed is how long the group's buckets are from full, about.
func (g *Group) owed() time.Duration {
	var d time.Duration
	for _, b := range []*Bucket{&g.Messages, &g.Bytes, &g.Subscriptions, &g.Connects} {
		b.mu.Lock()
		if b.rate > 0 {
			d = max(d, time.Duration(min((b.burst-b.tokens)/b.rate*float64(time.Second), math.MaxInt64/2)))
		}
		b.mu.Unlock()
	}
	return d
}

// maxIdle is how many groups a Table remembers that nobody uses.
const maxIdle = 16384

// Table holds the Groups that several connections share, by key. Those that
// nobody uses are forgotten when their buckets are full again, or when they
// become too many. The zero value is ready; it is safe for concurrent use.
type Table[K comparable] struct {
	mu   sync.Mutex
	used map[K]*Group
	idle map[K]*Group // used by nobody, and not full again when last looked at
}

// Acquire returns the group of key, which gets the rates r. Release it once.
func (t *Table[K]) Acquire(key K, r Rates, now time.Time) *Group {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.used[key]
	if g == nil {
		if t.used == nil {
			t.used, t.idle = map[K]*Group{}, map[K]*Group{}
		}
		if g = t.idle[key]; g != nil {
			delete(t.idle, key)
		} else {
			g = &Group{}
		}
		t.used[key] = g
		t.sweep(now)
	}
	g.refs++
	g.Set(r)
	return g
}

// Release says that the caller of Acquire needs the group of key no more.
func (t *Table[K]) Release(key K, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.used[key]
	if g == nil {
		return
	}
	if g.refs--; g.refs > 0 {
		return
	}
	delete(t.used, key)
	if !g.full(now) {
		t.idle[key] = g
	}
	t.sweep(now)
}

// sweep forgets, of a few groups that nobody uses, those that are full, and, if
// there are too many, the one that is nearest to it.
func (t *Table[K]) sweep(now time.Time) {
	var least K
	lowest, looked := time.Duration(math.MaxInt64), 0
	for key, g := range t.idle {
		if g.full(now) {
			delete(t.idle, key)
		} else if d := g.owed(); d < lowest {
			least, lowest = key, d
		}
		if looked++; looked == 16 {
			break
		}
	}
	if len(t.idle) > maxIdle {
		delete(t.idle, least)
	}
}

// Len returns how many groups are used, and how many are remembered beside them.
func (t *Table[K]) Len() (used, idle int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.used), len(t.idle)
}
