package plugintest

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"ganglion/core/subject"
	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

// Bounds on what is remembered, and the broker's on metrics and hops.
const (
	maxKept    = 10_000 // messages; lines
	maxMetrics = 64
	maxHops    = 3
)

// recorder is what the plugin's imports do (wasm.Services).
type recorder struct {
	config Config
	kv     *KV

	mu       sync.Mutex
	logs     []string
	emitted  []Message
	counters map[string]int64
	gauges   map[string]float64
}

// Log keeps a line.
func (r *recorder) Log(level slog.Level, text string) {
	if r.config.Discard {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.logs) < maxKept {
		r.logs = append(r.logs, level.String()+" "+text)
	}
}

// last is the last line, for an error to say.
func (r *recorder) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.logs) == 0 {
		return ""
	}
	return fmt.Sprintf(" (it logged: %s)", r.logs[len(r.logs)-1])
}

// Count adds to a counter.
func (r *recorder) Count(name []byte, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.counters[string(name)]; !ok && !r.room(name) {
		return false
	}
	r.counters[string(name)] += n
	return true
}

// Gauge sets a gauge.
func (r *recorder) Gauge(name []byte, v float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.gauges[string(name)]; !ok && !r.room(name) {
		return false
	}
	r.gauges[string(name)] = v
	return true
}

// room reports whether there may be a new metric of that name. The caller holds mu.
func (r *recorder) room(name []byte) bool {
	_, c := r.counters[string(name)]
	_, g := r.gauges[string(name)]
	return !c && !g && len(r.counters)+len(r.gauges) < maxMetrics && validMetric(name)
}

// validMetric reports whether name is one that monitoring can show.
func validMetric(name []byte) bool {
	if len(name) == 0 || len(name) > 64 || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	return !slices.ContainsFunc(name, func(c byte) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	})
}

// Emit keeps a message, if the plugin may emit it.
func (r *recorder) Emit(e *wasm.Emit) int32 {
	if !subject.ValidPublish(e.Subject) || len(e.Reply) > 0 && !subject.ValidPublish(e.Reply) || !validBlock(e.Headers) {
		return abi.ErrInvalid
	}
	allowed := slices.ContainsFunc(r.config.Emit, func(p string) bool {
		wild := p != "" && (p[0] == '*' || p[0] == '>')
		return subject.MatchBytes(p, e.Subject) && !(wild && (e.Subject[0] == '$' || e.Subject[0] == '_'))
	})
	if !allowed || e.Hops >= maxHops {
		return abi.ErrDenied
	}
	if r.config.Discard {
		return 0
	}
	m := Message{Boundary: abi.Publish, Subject: string(e.Subject), Reply: string(e.Reply), Headers: lines(e.Headers), Payload: string(e.Payload), Hops: int(e.Hops) + 1}
	m.Facts.Account = e.Account
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.emitted) >= maxKept {
		return abi.ErrFull
	}
	r.emitted = append(r.emitted, m)
	return 0
}

// Store returns where the plugin keeps values.
func (r *recorder) Store() wasm.Store {
	if !r.config.KV {
		return nil
	}
	return (*store)(r.kv)
}

// Clock reports whether the plugin may know the time.
func (r *recorder) Clock() bool { return r.config.Clock }

func (r *recorder) takeEmitted() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.emitted)
}

func (r *recorder) takeLogs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.logs)
}

func (r *recorder) takeCounters() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counters)
}

func (r *recorder) takeGauges() map[string]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.gauges)
}

func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs, r.emitted = nil, nil
}
