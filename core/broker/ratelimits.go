package broker

import (
	"ganglion/core/client"
	"ganglion/core/monitor"
)

// RateCounters count what Options.RateLimits did.
type RateCounters = client.RateCounters

// RateCounters returns what Options.RateLimits, and limits in users' JWTs, did.
func (b *Broker) RateCounters() RateCounters { return b.clients.RateCounters() }

// rateLimits is RateCounters for monitoring; nil where there are no limits and
// never were any.
func (b *Broker) rateLimits() *monitor.RateLimits {
	n := b.RateCounters()
	if b.clients.Settings().RateLimits == nil && n == (RateCounters{}) {
		return nil
	}
	return &monitor.RateLimits{Throttled: n.Throttled, Dropped: n.Dropped, Disconnected: n.Disconnected, Delayed: n.Delayed, Refused: n.Refused}
}
