package client

import (
	"math"
	"sync/atomic"
	"time"

	"ganglion/core/limit"
)

// meter measures one session against its limits. It is made when there are some.
type meter struct {
	throttled, dropped atomic.Uint64
	paused             atomic.Bool  // copy of held
	until              atomic.Int64 // unix nanoseconds; when held ends

	// Owned by the reader of the moment.
	rates    *limit.Scopes         // those that the gauges are of
	own      *limit.Group          // of this connection
	pub, sub []gauge               // for messages, for SUBs
	doors    []door                // that a CONNECT goes through
	release  []func(now time.Time) // what Table.Acquire gave
	now      time.Time             // of the read
	charged  float64               // bytes of the last message; negative for none
	held     bool                  // throttled, or delayed: suspended until until
	throttle bool                  // a gauge throttles
	most     int                   // bytes read at a time
	read     int                   // bytes consumed since it was held last
	told     *limit.Bucket         // nil until a message is dropped
}

// door is a bucket of connections.
type door struct {
	bucket *limit.Bucket
	action limit.Action
}

// gauge is a bucket and what a session has of it in hand.
type gauge struct {
	bucket  *limit.Bucket
	left    float64
	ahead   bool    // left was waited for: it stays in hand
	alone   bool    // nobody else takes from the bucket
	bytes   bool    // counts bytes, not messages
	quantum float64 // what to wait for beside what is needed
	action  limit.Action
}

func (g *gauge) cost(size float64) float64 {
	if g.bytes {
		return size
	}
	return 1
}

// add has mt take from the buckets of g.
func (mt *meter) add(g *limit.Group, r limit.Rates, alone bool) {
	x := gauge{alone: alone, action: r.Action}
	part := sharedQuantum
	if alone {
		part = ownQuantum
	}
	put := func(list *[]gauge, b, own *limit.Bucket, rate float64, bytes bool) {
		if rate > 0 {
			x.bucket, x.bytes, x.quantum = b, bytes, rate*part
			if most := own.Burst(); most > 0 { // waiting for more would keep it from others
				x.quantum = min(x.quantum, max(most-1, 0))
			}
			if !bytes {
				x.quantum = math.Floor(x.quantum)
			}
			*list = append(*list, x)
			mt.throttle = mt.throttle || x.action <= limit.Throttle
		}
	}
	put(&mt.pub, &g.Messages, &mt.own.Messages, r.Messages, false)
	put(&mt.pub, &g.Bytes, &mt.own.Bytes, r.Bytes, true)
	put(&mt.sub, &g.Subscriptions, &mt.own.Subscriptions, r.Subscriptions, false)
}

// door has a CONNECT counted by g.
func (mt *meter) door(g *limit.Group, r limit.Rates) {
	if r.Connects > 0 {
		mt.doors = append(mt.doors, door{&g.Connects, r.Action})
	}
}

// drop gives back all that mt has.
func (mt *meter) drop(now time.Time) {
	mt.settle(false)
	for _, f := range mt.release {
		f(now)
	}
	clear(mt.release)
	clear(mt.pub)
	clear(mt.sub)
	clear(mt.doors)
	mt.release, mt.pub, mt.sub, mt.doors = mt.release[:0], mt.pub[:0], mt.sub[:0], mt.doors[:0]
	mt.throttle = false
}

// settle gives back what was leased, after a read, and what was waited for as
// well unless held is true.
func (mt *meter) settle(held bool) {
	for _, list := range [2][]gauge{mt.pub, mt.sub} {
		for i := range list {
			if g := &list[i]; g.left > 0 && !(held && g.ahead) {
				g.bucket.Give(g.left)
				g.left, g.ahead = 0, false
			}
		}
	}
}

// charge takes what an op costs from each of gauges, or from none and returns the
// first that lacks it.
func (mt *meter) charge(gauges []gauge, size float64) *gauge {
	for i := range gauges {
		g := &gauges[i]
		if cost := g.cost(size); g.left < cost && !mt.fill(g, cost) {
			mt.charged = -1
			return g
		}
	}
	for i := range gauges {
		gauges[i].left -= gauges[i].cost(size)
	}
	mt.charged = size
	return nil
}

// fill leases what g lacks for cost, and some more.
func (mt *meter) fill(g *gauge, cost float64) bool {
	more := float64(leaseMsgs)
	if g.bytes {
		more = leaseBytes
	}
	n := g.bucket.Lease(mt.now, cost-g.left, more, g.alone)
	g.left += n
	return n > 0
}

// reserve queues for what an op costs at each bucket that lacks it, and returns
// how long it takes until all have it.
func (mt *meter) reserve(gauges []gauge, size float64) time.Duration {
	var wait time.Duration
	for i := range gauges {
		g := &gauges[i]
		cost := g.cost(size)
		switch {
		case g.action > limit.Throttle:
			continue
		case g.left >= cost: // others may use what this one can't use yet
			if !g.alone && g.ahead {
				g.bucket.Give(g.left - cost)
				g.left = cost
			}
			continue
		}
		n := cost - g.left + g.quantum
		d, _ := g.bucket.Reserve(mt.now, n, math.MaxInt64)
		g.left += n
		g.ahead = true
		wait = max(wait, d)
	}
	return wait
}
