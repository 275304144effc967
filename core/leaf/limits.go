package leaf

import (
	"fmt"
	"sync/atomic"
	"time"

	"ganglion/core/limit"
)

// Limits bound what crosses a link in a second; 0 is no bound. A second's worth may
// come at once.
type Limits struct {
	// InMessages and InBytes are what is read of the peer: above it waits.
	InMessages, InBytes int
	// OutMessages and OutBytes are what it is given: what is above is not, counts as
	// undelivered, and is counted. An uplink that is paid by the byte is not to be
	// filled by what piles up.
	OutMessages, OutBytes int
}

// Check reports a limit that makes no sense.
func (l Limits) Check() error {
	for _, v := range []struct {
		name string
		n    int
	}{{"in_messages", l.InMessages}, {"in_bytes", l.InBytes}, {"out_messages", l.OutMessages}, {"out_bytes", l.OutBytes}} {
		if v.n < 0 {
			return fmt.Errorf("limits: %s is %d; use a number above 0, or leave it out", v.name, v.n)
		}
	}
	return nil
}

// pacer keeps a link to its Limits; nil has none.
type pacer struct {
	inMsgs, inBytes, outMsgs, outBytes *limit.Bucket // nil for no limit
	dropped                            atomic.Int64
}

func newPacer(l Limits) *pacer {
	if l == (Limits{}) {
		return nil
	}
	bucket := func(n int) *limit.Bucket {
		if n == 0 {
			return nil
		}
		return limit.NewBucket(float64(n), n)
	}
	return &pacer{inMsgs: bucket(l.InMessages), inBytes: bucket(l.InBytes), outMsgs: bucket(l.OutMessages), outBytes: bucket(l.OutBytes)}
}

// maxPause bounds how long a peer that sends too much is not read at a time.
const maxPause = time.Second

// came notes what was read and returns how long nothing more is to be read.
func (p *pacer) came(now time.Time, msgs, bytes int64) (wait time.Duration) {
	for _, x := range []struct {
		b *limit.Bucket
		n int64
	}{{p.inMsgs, msgs}, {p.inBytes, bytes}} {
		if x.b == nil || x.n == 0 {
			continue
		}
		d, _ := x.b.Reserve(now, float64(x.n), time.Hour)
		wait = max(wait, d)
	}
	return min(wait, maxPause)
}

// goes reports whether a message of size bytes may go now.
func (p *pacer) goes(size int) bool {
	now := time.Now()
	if p.outBytes != nil { // a message larger than the limit goes when there is room for all of that
		size = min(size, int(p.outBytes.Burst()))
	}
	if p.outMsgs != nil && !p.outMsgs.Take(now, 1) || p.outBytes != nil && !p.outBytes.Take(now, size) {
		p.dropped.Add(1)
		return false
	}
	return true
}

// Dropped returns how many messages the link's limits kept from going.
func (l *Link) Dropped() int64 {
	if l.pace == nil {
		return 0
	}
	return l.pace.dropped.Load()
}
