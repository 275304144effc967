package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"ganglion/core/subject"
	"ganglion/plugins/abi"
	"ganglion/plugins/trust"
	"ganglion/plugins/wasm"
)

// loadTime bounds how long a plugin may take to compile and start.
const loadTime = 30 * time.Second

// found is a file of the directory, as it was seen last.
type found struct {
	size   int64
	mod    time.Time
	stable bool   // it looked the same twice
	done   bool   // it was loaded, or refused
	again  bool   // look anew, though it did not change
	hash   string // of what was loaded
	plugin string // name in the manifest; "" when it was refused
	reason string // why it was refused
}

// scan looks at the directory and reports whether hooks changed. At once takes
// files as they are; otherwise one must look the same twice, so that it is not
// loaded half-written. The caller holds mu.
func (m *Manager) scan(atOnce bool) (changed bool) {
	seen := map[string]bool{}
	entries, err := m.entries()
	if err != nil { // plugins stay: too many open files are no reason to let traffic through
		m.o.Log.Error("plugins can't be looked for", "dir", m.opts.Dir, "error", err)
		return false
	}
	for _, e := range entries {
		name := e.Name()
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || !info.Mode().IsRegular() {
			if f := m.files[name]; f == nil || f.reason == "" {
				next := &found{done: true, reason: "it is no regular file (a link may lead out of the directory)"}
				if f != nil {
					next.plugin, next.hash = f.plugin, f.hash
				}
				m.files[name] = next
				m.o.Log.Warn("plugin refused", "file", name, "reason", m.files[name].reason)
			}
			seen[name] = true
			continue
		}
		seen[name] = true
		f := m.files[name]
		if f == nil || f.size != info.Size() || !f.mod.Equal(info.ModTime()) {
			was := f
			f = &found{size: info.Size(), mod: info.ModTime(), stable: atOnce}
			if was != nil {
				f.plugin, f.hash = was.plugin, was.hash
			}
			m.files[name] = f
			if !atOnce {
				continue
			}
		}
		f.stable = true
		if f.done && !f.again {
			continue
		}
		changed = m.take(name, f) || changed
	}
	for name, f := range m.files {
		if !seen[name] {
			delete(m.files, name)
			if m.unload(name, f) {
				changed = true
				for _, other := range m.files { // one of them may have had the same name
					other.again = other.again || other.reason != ""
				}
			}
		}
	}
	for _, s := range m.slots {
		if v := s.current.Load(); v != nil && (m.opts.Configure[s.name].Disabled || m.disabled[s.name]) {
			s.current.Store(nil)
			m.old = append(m.old, v)
			changed = true
			m.o.Log.Info("plugin disabled", "plugin", s.name)
			m.event(Event{Kind: "disable", Plugin: s.name})
		}
	}
	return changed
}

// entries are the files in question.
func (m *Manager) entries() (list []fs.DirEntry, err error) {
	if m.opts.Dir == "" {
		return nil, nil
	}
	all, err := os.ReadDir(m.opts.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range all {
		if strings.HasSuffix(e.Name(), ".wasm") && !strings.HasPrefix(e.Name(), ".") && !e.IsDir() {
			list = append(list, e)
		}
	}
	return list, nil
}

// take loads a file, and says why not. It reports whether hooks changed.
func (m *Manager) take(name string, f *found) bool {
	again := f.again
	f.done, f.again = true, false
	start := time.Now()
	v, err := m.load(name, f, again)
	if err != nil {
		f.reason = err.Error()
		m.o.Log.Error("plugin refused", "file", name, "reason", err)
		m.event(Event{Kind: "refuse", File: name, Plugin: f.plugin, Reason: err.Error()})
		// Who is trusted no more does not stay because it was once.
		return again && errors.Is(err, errTrust) && m.unload(name, f)
	}
	f.reason = ""
	if v == nil {
		return false
	}
	s := v.slot
	kind := "load"
	old := s.current.Swap(v)
	if old != nil {
		kind = "swap"
		m.old = append(m.old, old)
	}
	if f.plugin != "" && f.plugin != s.name { // the file holds another plugin now
		m.unload(name, &found{plugin: f.plugin})
	}
	f.plugin, f.hash = s.name, v.pool.Module().Hash
	s.reset()
	mod := v.pool.Module()
	m.o.Log.Info("plugin loaded", "plugin", s.name, "version", mod.Manifest.Version, "file", name, "sha256", mod.Hash, "took", time.Since(start).Round(time.Millisecond), "metering", mod.Metering, "bindings", describe(v.links))
	m.event(Event{Kind: kind, Plugin: s.name, Version: mod.Manifest.Version, Hash: mod.Hash, File: name})
	return true
}

func describe(links []*link) string {
	var s []string
	for _, l := range links {
		s = append(s, l.b.Boundary.String()+" "+strings.Join(l.b.Subjects, ","))
	}
	return strings.Join(s, "; ")
}

// unload ends the plugin of a file that is gone.
func (m *Manager) unload(name string, f *found) bool {
	if f.plugin == "" {
		return false
	}
	s := m.slots[f.plugin]
	v := s.current.Load()
	if v == nil || v.file != name {
		return false
	}
	s.current.Store(nil)
	m.old = append(m.old, v)
	m.o.Log.Info("plugin unloaded", "plugin", s.name, "file", name)
	m.event(Event{Kind: "unload", Plugin: s.name, File: name})
	return true
}

// errTrust is wrapped by refusals of files that are not, or no more, trusted.
var errTrust = errors.New("not trusted")

// load makes a version of a file; nil when the one in force is the same.
func (m *Manager) load(name string, f *found, again bool) (*version, error) {
	most := m.most()
	code, err := read(filepath.Join(m.opts.Dir, name), max(most.Module, wasm.DefaultModule))
	if err != nil {
		return nil, err
	}
	hash := trust.Hash(code)
	key, signed, err := trust.Verify(code)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: its signature does not hold: %w", errTrust, err)
	case m.opts.RequireSigned && !signed:
		return nil, fmt.Errorf("%w: it is not signed, and require_signed is set", errTrust)
	case m.opts.RequireSigned && !slices.Contains(m.opts.TrustedKeys, key):
		return nil, fmt.Errorf("%w: it is signed by %s, which is not among trusted_keys", errTrust, key)
	}
	ctx, cancel := context.WithTimeout(m.ctx, loadTime)
	defer cancel()
	// What the module is called is known once it is compiled: what is said of it
	// by that name may change its limits.
	mod, err := m.o.Host.Compile(ctx, code, most)
	if err != nil {
		return nil, err
	}
	c := m.opts.Configure[mod.Manifest.Name]
	if l := c.limits(m.opts.Limits); l != most {
		mod.Close()
		if mod, err = m.o.Host.Compile(ctx, code, l); err != nil {
			return nil, err
		}
	}
	v, err := m.configure(ctx, name, hash, mod, c, again)
	if err != nil || v == nil {
		mod.Close()
		return nil, err
	}
	if signed {
		v.signer = key
	}
	return v, nil
}

// most are the widest limits that any plugin may have: whose a file is is known
// once it is compiled.
func (m *Manager) most() wasm.Limits {
	l := m.opts.Limits
	for _, c := range m.opts.Configure {
		x := c.limits(m.opts.Limits)
		l.Memory, l.StartFuel, l.Module = max(l.Memory, x.Memory), max(l.StartFuel, x.StartFuel), max(l.Module, x.Module)
	}
	return l
}

// configure makes a version of a module.
func (m *Manager) configure(ctx context.Context, name, hash string, mod *wasm.Module, c Config, again bool) (*version, error) {
	manifest := mod.Manifest
	if c.SHA256 != "" && !strings.EqualFold(c.SHA256, hash) {
		return nil, fmt.Errorf("%w: plugin %s is pinned to sha256 %s, and the file has %s", errTrust, manifest.Name, c.SHA256, hash)
	}
	for other, f := range m.files {
		if other != name && f.plugin == manifest.Name && f.reason == "" {
			return nil, fmt.Errorf("its name %q is that of the plugin in %s; rename one of them", manifest.Name, other)
		}
	}
	if c.Disabled || m.disabled[manifest.Name] {
		return nil, nil
	}
	bindings, err := c.bindings(manifest)
	if err != nil {
		return nil, err
	}
	s := m.slot(manifest.Name)
	if was := s.current.Load(); again && was != nil && was.file == name && was.pool.Module().Hash == hash && reflect.DeepEqual(was.config, c) && was.limits == c.limits(m.opts.Limits) {
		return nil, nil
	}
	v := &version{slot: s, file: name, config: c, limits: c.limits(m.opts.Limits), loaded: time.Now()}
	v.services = &services{m: m, slot: s, emits: manifest.Emit, clock: manifest.Clock, rate: mod.Limits.LogBytes, filled: time.Now()}
	v.services.burst = 8 * float64(v.services.rate)
	v.services.budget = v.services.burst
	if c.Emit != nil {
		v.services.emits = c.Emit
	}
	for _, p := range v.services.emits {
		if !subject.Valid(p) {
			return nil, fmt.Errorf("emit: %.80q is no subject", p)
		}
	}
	if c.Clock != nil {
		v.services.clock = *c.Clock
	}
	room := min(manifest.KV, MaxKV)
	if c.KV != nil {
		room = *c.KV
	}
	if room > 0 {
		v.services.store = &s.store
		if was := s.current.Load(); was == nil {
			s.store.setLimit(room)
		}
	}
	config := c.Config
	if config == nil {
		config = json.RawMessage("{}")
	}
	if v.pool, err = mod.NewPool(ctx, config, v.services); err != nil {
		return nil, err
	}
	for _, b := range bindings {
		to := b.PublishTo
		if len(to) == 0 {
			to = b.Subjects
		}
		v.links = append(v.links, &link{v: v, b: b, publish: to})
	}
	if err := m.try(v); err != nil {
		v.pool.Close()
		return nil, fmt.Errorf("it failed when it was tried: %w", err)
	}
	s.store.setLimit(room)
	return v, nil
}

// try has the plugin look at a message of nobody, which goes nowhere: whoever traps
// on anything at all is not let in.
func (m *Manager) try(v *version) error {
	i, err := v.pool.Lease(0)
	if err != nil {
		return err
	}
	for _, l := range v.links {
		f := abi.Frame{Boundary: l.b.Boundary, Hops: maxHops, Subject: []byte("ganglion.try"), Facts: []byte(`{"account":""}`)}
		var out wasm.Outcome
		if err := i.Call(&f, "", &out); err != nil && !errors.Is(err, wasm.ErrPlugin) {
			v.pool.Fail(i)
			return err
		}
	}
	v.pool.Release(i)
	return nil
}

// read reads a file of at most so many bytes.
func read(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("it has more than %d bytes", most)
	}
	return b, nil
}
