package plugins

import (
	"context"
	"errors"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/plugins/wasm"
)

const (
	// tripAfter is how many faults in a row take a plugin out of service.
	tripAfter = 5
	// It comes back after backoffFirst, and after twice as long each time that it
	// fails again, at most backoffMost.
	backoffFirst, backoffMost = time.Second, time.Minute
)

// slot is what stays of a plugin from version to version.
type slot struct {
	m    *Manager
	name string

	current atomic.Pointer[version] // nil when there is none

	calls                       atomic.Uint64
	verdicts                    [4]atomic.Uint64
	faults, emitted, denied     atomic.Uint64
	passed, closed, quarantined atomic.Uint64 // messages by error policy
	inARow                      atomic.Int32
	tripped                     atomic.Bool
	latency                     histogram
	store                       store
	metricsMu                   sync.RWMutex
	metrics                     map[string]*metric

	mu        sync.Mutex
	trips     int // in a row
	until     time.Time
	lastFault string
	lastEvent time.Time
	timer     *time.Timer
	ended     bool
}

// fault counts what went wrong, and takes the plugin out of service when it is too
// much.
func (s *slot) fault(v *version, err error) {
	s.faults.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastFault = err.Error()
	if now := time.Now(); now.Sub(s.lastEvent) >= time.Second { // a flood of faults is no flood of events
		s.lastEvent = now
		s.m.o.Log.Warn("plugin failed", "plugin", s.name, "version", v.pool.Module().Manifest.Version, "error", err, "faults", s.faults.Load())
		s.m.event(Event{Kind: "fault", Plugin: s.name, Reason: err.Error()})
	}
	if errors.Is(err, wasm.ErrPlugin) || s.current.Load() != v {
		return // it says that it can't, which anybody's message may lead to; or it is the old one
	}
	n := s.inARow.Add(1)
	if n == 1 { // it worked in between
		s.trips = 0
	}
	if n < tripAfter || s.tripped.Load() || s.ended {
		return
	}
	s.trips++
	wait := min(backoffFirst<<min(s.trips-1, 10), backoffMost)
	s.until = time.Now().Add(wait)
	s.tripped.Store(true)
	s.m.o.Log.Error("plugin is taken out of service", "plugin", s.name, "faults_in_a_row", n, "for", wait, "error", err)
	s.m.event(Event{Kind: "trip", Plugin: s.name, Reason: err.Error()})
	s.timer = time.AfterFunc(wait, s.recover)
}

// recover puts the plugin into service again: one more fault takes it out.
func (s *slot) recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.tripped.Load() {
		return
	}
	if v := s.current.Load(); v != nil {
		v.pool.Retry()
	}
	s.inARow.Store(tripAfter - 1)
	s.tripped.Store(false)
	s.m.o.Log.Info("plugin is in service again", "plugin", s.name)
	s.m.event(Event{Kind: "recover", Plugin: s.name})
}

// reset forgets faults: a new version is there.
func (s *slot) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips = 0
	s.inARow.Store(0)
	s.tripped.Store(false)
	if s.timer != nil {
		s.timer.Stop()
	}
}

// end stops what runs.
func (s *slot) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// histogram counts durations by powers of two of nanoseconds.
type histogram struct {
	counts [40]atomic.Uint64
	sum    atomic.Uint64
}

func (h *histogram) add(d time.Duration) {
	h.counts[min(bits.Len64(uint64(max(d, 0))), len(h.counts)-1)].Add(1)
	h.sum.Add(uint64(d))
}

// quantile returns a duration that the part q of those counted does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	var all uint64
	for i := range h.counts {
		all += h.counts[i].Load()
	}
	if all == 0 {
		return 0
	}
	want, seen := uint64(q*float64(all)), uint64(0)
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen > want || seen == all {
			return time.Duration(uint64(1)<<i - 1)
		}
	}
	return 0
}

// tick calls the plugins that want it.
func (s *slot) tick(_ context.Context, now time.Time) {
	v := s.current.Load()
	if v == nil || s.tripped.Load() {
		return
	}
	i, err := v.pool.Lease(0)
	if err != nil {
		return
	}
	if !i.Ticks() {
		v.pool.Release(i)
		return
	}
	if err := i.Tick(now); err != nil {
		v.pool.Fail(i)
		s.fault(v, err)
		return
	}
	v.pool.Release(i)
}
