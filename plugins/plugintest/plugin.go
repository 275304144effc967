// Package plugintest is for the tests that authors of plugins write in Go: it
// loads a module as the broker does, fuel and limits on, shows it messages, and
// tells what became of them.
//
//	p := plugintest.Load(t, "upper.wasm", plugintest.Config{})
//	r := p.Publish("demo.a", "hello", "Device: 7")
//	if r.Verdict != abi.Replace || r.Payload != "HELLO" {
//		t.Errorf("%+v", r)
//	}
//
// One message after the other is looked at, by one instance: a broker has several,
// and they share nothing but the key-value store.
package plugintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

// T is what Load needs of a *testing.T.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Config is what the operator would say about the plugin.
type Config struct {
	// JSON is the plugin's configuration, an object; "" is an empty one.
	JSON string
	// KV allows it to keep values, as many bytes as its manifest wants; 64 KiB when
	// that says nothing.
	KV bool
	// Emit are patterns of subjects that it may emit to; without any it may not.
	Emit []string
	// Clock allows it to know the time.
	Clock bool
	// AsWanted allows what the manifest wants: KV, Emit and Clock count for nothing.
	AsWanted bool
	// Limits are the broker's defaults but for Instances, which is 1.
	Limits wasm.Limits
	// Metering is fuel unless something else is asked for.
	Metering wasm.Metering
	// Discard keeps neither log lines nor what is emitted.
	Discard bool
}

// Plugin is a plugin under test. It is safe for concurrent use.
type Plugin struct {
	// KV is what the plugin keeps.
	KV *KV

	host   *wasm.Host
	module *wasm.Module
	pool   *wasm.Pool
	rec    *recorder
	mu     sync.Mutex // one message at a time
}

// Load loads the plugin in a file; the test fails when that can't be. The plugin is
// closed when the test ends.
func Load(t T, file string, c Config) *Plugin {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("plugin: %v", err)
	}
	p, err := Open(context.Background(), b, c)
	if err != nil {
		t.Fatalf("plugin %s: %v", filepath.Base(file), err)
	}
	t.Cleanup(p.Close)
	return p
}

// Open is Load of a file's bytes, outside of tests. Close it.
func Open(ctx context.Context, file []byte, c Config) (*Plugin, error) {
	host := wasm.NewHost(wasm.HostOptions{Metering: c.Metering})
	p := &Plugin{host: host}
	if err := p.open(ctx, file, c); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Plugin) open(ctx context.Context, file []byte, c Config) (err error) {
	if c.Limits.Instances == 0 {
		c.Limits.Instances = 1
	}
	if p.module, err = p.host.Compile(ctx, file, c.Limits); err != nil {
		return err
	}
	m := p.module.Manifest
	if c.AsWanted {
		c.KV, c.Emit, c.Clock = m.KV > 0, m.Emit, m.Clock
	}
	p.KV = &KV{limit: m.KV}
	if p.KV.limit == 0 {
		p.KV.limit = defaultKV
	}
	p.rec = &recorder{config: c, kv: p.KV, counters: map[string]int64{}, gauges: map[string]float64{}}
	p.pool, err = p.module.NewPool(ctx, []byte(c.JSON), p.rec)
	if err != nil {
		return fmt.Errorf("%w%s", err, p.rec.last())
	}
	return nil
}

// Close ends the plugin.
func (p *Plugin) Close() {
	if p.pool != nil {
		p.pool.Close()
	}
	if p.module != nil {
		p.module.Close()
	}
	p.host.Close()
}

// Manifest returns what the plugin says of itself.
func (p *Plugin) Manifest() *abi.Manifest { return p.module.Manifest }

// Pool returns the plugin's instances, for benchmarks.
func (p *Plugin) Pool() *wasm.Pool { return p.pool }

// Publish shows the plugin a message that a client publishes. Headers are of the
// form "Name: value".
func (p *Plugin) Publish(subject, payload string, headers ...string) Result {
	return p.Send(Message{Boundary: abi.Publish, Subject: subject, Payload: payload, Headers: headers})
}

// Deliver shows it a message on its way to clients.
func (p *Plugin) Deliver(subject, payload string, headers ...string) Result {
	return p.Send(Message{Boundary: abi.Deliver, Subject: subject, Payload: payload, Headers: headers})
}

// Connect shows it a client that logs in.
func (p *Plugin) Connect(f abi.Facts) Result {
	return p.Send(Message{Boundary: abi.Connect, Facts: f})
}

// Subscribe shows it a subscription; queue is "" without a queue group.
func (p *Plugin) Subscribe(pattern, queue string) Result {
	return p.Send(Message{Boundary: abi.Subscribe, Subject: pattern, Reply: queue})
}

// Send shows the plugin a message, whether its manifest names the subject or not.
func (p *Plugin) Send(m Message) Result {
	f, err := m.Frame()
	if err != nil {
		return Result{Verdict: abi.Reject, Err: err}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, err := p.lease()
	if err != nil {
		return Result{Verdict: abi.Reject, Err: err}
	}
	var out wasm.Outcome
	b, bound := binding(p.module.Manifest, m.Boundary, m.Subject)
	if err := i.Call(&f, m.facts().Account, &out); err != nil {
		p.back(i, err)
		return Result{Verdict: abi.Reject, Bound: bound, Err: err}
	}
	defer p.pool.Release(i)
	r := m.after(&out)
	r.Bound = bound
	if err := judge(&m, b, &out); err != nil {
		return Result{Verdict: abi.Reject, Bound: bound, Err: err}
	}
	return r
}

// lease returns an instance; after a fault another one may have to be made.
func (p *Plugin) lease() (*wasm.Instance, error) {
	i, err := p.pool.Lease(0)
	if errors.Is(err, wasm.ErrUnavailable) {
		p.pool.Retry()
		i, err = p.pool.Lease(0)
	}
	return i, err
}

// back gives an instance back after an error.
func (p *Plugin) back(i *wasm.Instance, err error) {
	if errors.Is(err, wasm.ErrPlugin) {
		p.pool.Release(i)
		return
	}
	p.pool.Fail(i)
}

// Tick calls what the plugin does about once a second; nothing when it has no such
// function.
func (p *Plugin) Tick(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, err := p.lease()
	if err != nil {
		return err
	}
	if i.Ticks() {
		if err := i.Tick(now); err != nil {
			p.back(i, err)
			return err
		}
	}
	p.pool.Release(i)
	return nil
}

// Emitted returns the messages that the plugin emitted so far.
func (p *Plugin) Emitted() []Message { return p.rec.takeEmitted() }

// Logs returns the lines that it logged, as "INFO text". The broker lets fewer
// through when there are many.
func (p *Plugin) Logs() []string { return p.rec.takeLogs() }

// Counters returns its counters.
func (p *Plugin) Counters() map[string]int64 { return p.rec.takeCounters() }

// Gauges returns its gauges.
func (p *Plugin) Gauges() map[string]float64 { return p.rec.takeGauges() }

// Forget forgets what was emitted and logged so far.
func (p *Plugin) Forget() { p.rec.forget() }
