package plugins

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/subject"
	"ganglion/core/wire"
	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

const (
	maxMetrics = 64
	maxHops    = 3
	emitQueue  = 4096
	maxQueued  = 32 << 20 // bytes of payload that wait
)

// services are what one version of a plugin may call (wasm.Services).
type services struct {
	m     *Manager
	slot  *slot
	emits []string // patterns of what it may emit to
	store *store   // nil for none
	clock bool
	rate  int // bytes of log a second

	mu      sync.Mutex
	budget  float64
	filled  time.Time
	lost    int // lines since the last that was logged
	burst   float64
	dropped atomic.Uint64
}

// Log passes a line on as long as there are not too many.
func (s *services) Log(level slog.Level, text string) {
	s.mu.Lock()
	now := time.Now()
	s.budget = min(s.burst, s.budget+now.Sub(s.filled).Seconds()*float64(s.rate))
	s.filled = now
	cost := float64(len(text) + 16)
	if s.budget < cost {
		s.lost++
		s.mu.Unlock()
		s.dropped.Add(1)
		return
	}
	s.budget -= cost
	lost := s.lost
	s.lost = 0
	s.mu.Unlock()
	attrs := []any{"plugin", s.slot.name, "text", text}
	if lost > 0 {
		attrs = append(attrs, "lines_lost", lost)
	}
	s.m.o.Log.Log(context.Background(), level, "plugin says", attrs...)
}

// Count adds to a counter.
func (s *services) Count(name []byte, n int64) bool {
	m := s.slot.metric(name, "counter")
	if m != nil {
		m.n.Add(n)
	}
	return m != nil
}

// Gauge sets a gauge.
func (s *services) Gauge(name []byte, v float64) bool {
	m := s.slot.metric(name, "gauge")
	if m != nil {
		m.n.Store(int64(math.Float64bits(v)))
	}
	return m != nil
}

// Store returns where the plugin keeps values.
func (s *services) Store() wasm.Store {
	if s.store == nil {
		return nil
	}
	return s.store
}

// Clock reports whether the plugin may know the time.
func (s *services) Clock() bool { return s.clock }

// Emit queues a message.
func (s *services) Emit(e *wasm.Emit) int32 {
	switch {
	case !subject.ValidPublish(e.Subject) || len(e.Reply) > 0 && !subject.ValidPublish(e.Reply) || !validHeaders(e.Headers):
		return abi.ErrInvalid
	case e.Account == "" || !allowed(s.emits, e.Subject) || int(e.Hops) >= maxHops: // outside of a message there is no account to emit in
		s.slot.denied.Add(1)
		return abi.ErrDenied
	case len(e.Headers)+len(e.Payload) > s.m.maxPayload():
		return abi.ErrTooLarge
	}
	x := emitted{account: e.Account, hops: int(e.Hops) + 1}
	x.msg = wire.Msg{Subject: bytes.Clone(e.Subject), Reply: bytes.Clone(e.Reply), Data: slices.Concat(e.Headers, e.Payload), HdrLen: len(e.Headers)}
	if !s.m.queue(x) {
		return abi.ErrFull
	}
	s.slot.emitted.Add(1)
	return 0
}

// queue has x published later; false when too much waits already.
func (m *Manager) queue(x emitted) bool {
	n := int64(len(x.msg.Data))
	if m.queued.Add(n) > maxQueued {
		m.queued.Add(-n)
		return false
	}
	select {
	case m.emitting <- x:
		return true
	default:
		m.queued.Add(-n)
		return false
	}
}

// emitted is a message on its way.
type emitted struct {
	account string
	hops    int
	msg     wire.Msg
}

// allowed reports whether subj is one that patterns name. What is the system's own
// is so by a pattern that says "$" only.
func allowed(patterns []string, subj []byte) bool {
	for _, p := range patterns {
		if subject.MatchBytes(p, subj) && (p[0] != '*' && p[0] != '>' || subj[0] != '$' && subj[0] != '_') {
			return true
		}
	}
	return false
}

// validHeaders reports whether b is a header block, or nothing.
func validHeaders(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	const end = "\r\n\r\n"
	return bytes.HasPrefix(b, []byte("NATS/1.0")) && bytes.HasSuffix(b, []byte(end)) && bytes.Index(b, []byte(end)) == len(b)-len(end)
}

// metric is a number that a plugin keeps.
type metric struct {
	kind string // counter or gauge
	n    atomic.Int64
}

// metric returns the plugin's metric of that name and kind; nil when it can't be.
func (s *slot) metric(name []byte, kind string) *metric {
	if len(name) > 64 {
		return nil
	}
	s.metricsMu.RLock()
	m := s.metrics[string(name)]
	s.metricsMu.RUnlock()
	if m == nil {
		if !validMetric(name) {
			return nil
		}
		s.metricsMu.Lock()
		defer s.metricsMu.Unlock()
		if m = s.metrics[string(name)]; m == nil {
			if len(s.metrics) >= maxMetrics {
				return nil
			}
			m = &metric{kind: kind}
			s.metrics[string(name)] = m
		}
	}
	if m.kind != kind {
		return nil
	}
	return m
}

func validMetric(name []byte) bool {
	if len(name) == 0 || len(name) > 64 || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}
