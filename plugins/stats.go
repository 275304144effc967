package plugins

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Status is what a Manager shows of itself (/pluginz).
type Status struct {
	Dir     string         `json:"dir"`
	Plugins []PluginStatus `json:"plugins"`
	Refused []Refused      `json:"refused,omitempty"`
}

// Refused is a file that is not in force.
type Refused struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// PluginStatus is what is shown of one plugin.
type PluginStatus struct {
	Name        string             `json:"name"`
	State       string             `json:"state"` // running, tripped, disabled, missing
	Version     string             `json:"version,omitempty"`
	Description string             `json:"description,omitempty"`
	File        string             `json:"file,omitempty"`
	Hash        string             `json:"sha256,omitempty"`
	Size        int                `json:"size,omitempty"`
	Signer      string             `json:"signer,omitempty"`
	Metering    string             `json:"metering,omitempty"`
	Loaded      time.Time          `json:"loaded,omitzero"`
	Policy      string             `json:"error_policy,omitempty"`
	Bindings    []BindingStatus    `json:"bindings,omitempty"`
	Calls       uint64             `json:"calls"`
	Verdicts    map[string]uint64  `json:"verdicts"`
	Faults      uint64             `json:"faults"`
	LastFault   string             `json:"last_fault,omitempty"`
	OnError     map[string]uint64  `json:"on_error"` // messages that the error policy decided on
	Emitted     uint64             `json:"emitted"`
	EmitsDenied uint64             `json:"emits_denied"`
	LogLost     uint64             `json:"log_lines_lost"`
	Latency     map[string]string  `json:"latency"` // of some of the calls
	Instances   int                `json:"instances"`
	Memory      int64              `json:"memory"` // bytes of instances that are idle
	KVKeys      int                `json:"kv_keys"`
	KVBytes     int64              `json:"kv_bytes"`
	Metrics     map[string]float64 `json:"metrics,omitempty"`
}

// BindingStatus is a binding in force.
type BindingStatus struct {
	Boundary  string   `json:"boundary"`
	Subjects  []string `json:"subjects,omitempty"`
	PublishTo []string `json:"publish_to,omitempty"`
	Listeners []string `json:"listeners,omitempty"`
	Accounts  []string `json:"accounts,omitempty"`
	Order     int      `json:"order"`
}

// Status returns how plugins fare.
func (m *Manager) Status() Status {
	m.mu.Lock()
	slots := maps.Clone(m.slots)
	st := Status{Dir: m.opts.Dir, Plugins: []PluginStatus{}}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if f := m.files[name]; f.reason != "" {
			st.Refused = append(st.Refused, Refused{name, f.reason})
		}
	}
	disabled := maps.Clone(m.disabled)
	for name, c := range m.opts.Configure {
		disabled[name] = disabled[name] || c.Disabled
	}
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		st.Plugins = append(st.Plugins, slots[name].status(disabled[name]))
	}
	return st
}

func (s *slot) status(disabled bool) PluginStatus {
	p := PluginStatus{Name: s.name, State: "missing", Calls: s.calls.Load(), Verdicts: map[string]uint64{}, Faults: s.faults.Load(), Emitted: s.emitted.Load(), EmitsDenied: s.denied.Load(),
		OnError: map[string]uint64{"fail_open": s.passed.Load(), "fail_closed": s.closed.Load(), "quarantine": s.quarantined.Load()}, Latency: map[string]string{}}
	for i, name := range []string{"pass", "drop", "reject", "replace"} {
		p.Verdicts[name] = s.verdicts[i].Load()
	}
	for _, q := range []float64{0.5, 0.99, 0.999} {
		if d := s.latency.quantile(q); d > 0 {
			p.Latency[fmt.Sprintf("p%g", q*100)] = d.String()
		}
	}
	p.KVKeys, p.KVBytes = s.store.stats()
	s.metricsMu.RLock()
	for name, m := range s.metrics {
		if p.Metrics == nil {
			p.Metrics = map[string]float64{}
		}
		p.Metrics[name] = m.value()
	}
	s.metricsMu.RUnlock()
	s.mu.Lock()
	p.LastFault = s.lastFault
	s.mu.Unlock()
	v := s.current.Load()
	switch {
	case v == nil && disabled:
		p.State = "disabled"
		return p
	case v == nil:
		return p
	case s.tripped.Load():
		p.State = "tripped"
	default:
		p.State = "running"
	}
	mod := v.pool.Module()
	p.Version, p.Description, p.File, p.Hash, p.Size = mod.Manifest.Version, mod.Manifest.Description, v.file, mod.Hash, mod.Size
	p.Signer, p.Metering, p.Loaded, p.Policy = v.signer, string(mod.Metering), v.loaded, v.config.Policy.String()
	for _, l := range v.links {
		p.Bindings = append(p.Bindings, BindingStatus{l.b.Boundary.String(), l.b.Subjects, l.b.PublishTo, l.b.Listeners, l.b.Accounts, l.b.Order})
	}
	st := v.pool.Stats()
	p.Instances, p.Memory = st.Instances, st.Memory
	p.LogLost = v.services.dropped.Load()
	return p
}

func (m *metric) value() float64 {
	if m.kind == "gauge" {
		return math.Float64frombits(uint64(m.n.Load()))
	}
	return float64(m.n.Load())
}

// Metric is a number for a metrics page.
type Metric struct {
	Plugin  string
	Name    string
	Counter bool
	Value   float64
}

// Metrics returns what plugins count themselves.
func (m *Manager) Metrics() (list []Metric) {
	m.mu.Lock()
	slots := maps.Clone(m.slots)
	m.mu.Unlock()
	for name, s := range slots {
		s.metricsMu.RLock()
		for k, x := range s.metrics {
			list = append(list, Metric{name, k, x.kind == "counter", x.value()})
		}
		s.metricsMu.RUnlock()
	}
	slices.SortFunc(list, func(a, b Metric) int {
		return cmp.Or(cmp.Compare(a.Plugin, b.Plugin), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Disable takes a plugin out until Enable, or until the process ends.
func (m *Manager) Disable(name string) error { return m.able(name, false) }

// Enable has a plugin loaded that Disable took out.
func (m *Manager) Enable(name string) error { return m.able(name, true) }

func (m *Manager) able(name string, yes bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.slots[name] == nil {
		return fmt.Errorf("plugins: there is no plugin %q", name)
	}
	if yes && m.opts.Configure[name].Disabled {
		return fmt.Errorf("plugins: %s is disabled by the configuration", name)
	}
	m.disabled[name] = !yes
	if yes {
		m.event(Event{Kind: "enable", Plugin: name})
		for _, f := range m.files {
			f.again = f.again || m.slots[name].current.Load() == nil
		}
	}
	m.scan(true)
	m.bind()
	return nil
}

// Reload looks at the directory at once, and again at files that were refused.
func (m *Manager) Reload() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.files {
		f.again = true
	}
	m.scan(true)
	m.bind()
}
