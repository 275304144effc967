package broker

import (
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// trimEvery is how often it is looked whether a burst of connections is over.
	trimEvery = 5 * time.Second
	// trimBurst is from how many connections that came or went on their garbage
	// is worth a collection, and trimQuiet how few in trimEvery are the end of it.
	trimBurst = 400
	trimQuiet = 100
)

// burst notices the end of a burst of events.
type burst struct {
	seen    uint64 // events counted so far
	pending uint64 // of them since the last end
}

// over takes the total of events and reports whether a burst has ended.
func (b *burst) over(total uint64) bool {
	n := max(total, b.seen) - b.seen
	b.seen += n
	b.pending += n
	if b.pending < trimBurst || n > trimQuiet {
		return false
	}
	b.pending = 0
	return true
}

// trim gives memory back after bursts of connections: what handshakes leave
// behind would otherwise stay with the process until the next collection, which
// on an edge of idle devices may take minutes.
func (b *Broker) trim(stop <-chan struct{}) {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var came burst
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if came.over(b.clients.Turnover()) {
				// What lies in pools survives one collection, and a stack that was
				// deep loses half with each.
				runtime.GC()
				debug.FreeOSMemory()
			}
		}
	}
}
