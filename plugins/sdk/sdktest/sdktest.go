// Package sdktest runs one plugin on wazero, with a host that remembers what it was
// asked for. It tests SDKs and examples; it has neither fuel nor limits and is no way
// to run plugins that aren't one's own.
package sdktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"ganglion/plugins/abi"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Host is what a plugin's imports do. Tests fill it and look at it.
type Host struct {
	Deny    int32 // when negative, kv and emit answer with it
	Now     int64 // what now_ns returns
	KV      map[string]string
	TTL     map[string]int64 // in milliseconds, of the keys that have one
	Log     []string         // "level text"
	Metrics map[string]float64
	Emitted []Message

	t      testing.TB
	config map[string]json.RawMessage
	output bytes.Buffer // standard output and error
}

// Message is an emitted message.
type Message struct{ Subject, Reply, Headers, Payload string }

// Plugin is a compiled plugin.
type Plugin struct {
	t        testing.TB
	file     string
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

// Compile reads the plugin in file and ends the test when it can't. Plugins and
// their guests are gone at the end of the test.
func Compile(t testing.TB, file string) *Plugin {
	t.Helper()
	ctx := t.Context()
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(512))
	t.Cleanup(func() { r.Close(context.WithoutCancel(ctx)) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := instantiateHost(ctx, r); err != nil {
		t.Fatal(err)
	}
	compiled, err := r.CompileModule(ctx, code)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return &Plugin{t: t, file: file, runtime: r, compiled: compiled}
}

// Guest is an instance of a plugin.
type Guest struct {
	*Host
	Manifest *abi.Manifest
	Want     abi.Want

	t         testing.TB
	ctx       context.Context // with the host in it
	module    api.Module
	room      uint32
	capacity  int
	onMessage api.Function
}

// Load starts a plugin with a configuration, a JSON object, and ends the test when
// it can't.
func (p *Plugin) Load(t testing.TB, config string) *Guest {
	t.Helper()
	g, err := p.Start(config)
	if err != nil {
		t.Fatalf("%s: %v", p.file, err)
	}
	return g
}

// Start starts a plugin with a configuration, a JSON object.
func (p *Plugin) Start(config string) (*Guest, error) {
	h := &Host{KV: map[string]string{}, TTL: map[string]int64{}, Metrics: map[string]float64{}, Now: 1_700_000_000_000_000_000, t: p.t}
	if err := json.Unmarshal([]byte(config), &h.config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	ctx := context.WithValue(p.t.Context(), hostKey{}, h)
	m, err := p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName("").
		WithStartFunctions(abi.ExportInitialize).WithStdout(&h.output).WithStderr(&h.output))
	if err != nil {
		return nil, err
	}
	g := &Guest{Host: h, t: p.t, ctx: ctx, module: m, onMessage: m.ExportedFunction(abi.ExportOnMessage)}
	if g.onMessage == nil || m.ExportedFunction(abi.ExportMarker) == nil && m.ExportedGlobal(abi.ExportMarker) == nil {
		return nil, fmt.Errorf("it doesn't export %s and %s", abi.ExportMarker, abi.ExportOnMessage)
	}
	v, err := g.call(abi.ExportManifest)
	if err != nil {
		return nil, err
	}
	ptr, size := abi.Unpack(v)
	manifest, ok := m.Memory().Read(ptr, size)
	if !ok {
		return nil, fmt.Errorf("the manifest is outside the memory")
	}
	if g.Manifest, err = abi.ParseManifest(manifest); err != nil {
		return nil, err
	}
	at, err := g.frame(len(config))
	if err != nil {
		return nil, err
	}
	m.Memory().WriteString(at, config)
	if v, err = g.call(abi.ExportConfigure, uint64(at), uint64(len(config))); err != nil {
		return nil, err
	}
	if g.Want = abi.Want(v); g.Want < 0 {
		return nil, fmt.Errorf("configure returns %d, log %q", g.Want, h.Log)
	}
	return g, nil
}

// call calls an export and returns its result, 0 when it has none.
func (g *Guest) call(name string, args ...uint64) (uint64, error) {
	f := g.module.ExportedFunction(name)
	if f == nil {
		return 0, fmt.Errorf("it doesn't export %s", name)
	}
	out, err := f.Call(g.ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w; output %q", name, err, g.output.String())
	}
	if len(out) == 0 {
		return 0, nil
	}
	return out[0], nil
}

// frame returns where size bytes may be written.
func (g *Guest) frame(size int) (uint32, error) {
	if size > g.capacity {
		v, err := g.call(abi.ExportAlloc, uint64(size))
		if err != nil || v == 0 {
			return 0, fmt.Errorf("no room for %d bytes: %w", size, err)
		}
		g.room, g.capacity = uint32(v), size
	}
	return g.room, nil
}

// Send shows f to the plugin, with the parts that it wants, and returns what it
// decided. The parts of the result are copies.
func (g *Guest) Send(f abi.Frame) (abi.Result, error) {
	b := make([]byte, f.Size(g.Want))
	f.Put(b, g.Want)
	return g.SendBytes(b)
}

// SendBytes is like Send with the frame as it is.
func (g *Guest) SendBytes(b []byte) (abi.Result, error) {
	var res abi.Result
	at, err := g.frame(len(b))
	if err != nil {
		return res, err
	}
	g.module.Memory().Write(at, b)
	v, err := g.call(abi.ExportOnMessage, uint64(at), uint64(len(b)))
	if err != nil {
		return res, err
	}
	memory, _ := g.module.Memory().Read(0, g.module.Memory().Size())
	err = abi.ParseResult(v, memory, &res)
	for _, p := range []*[]byte{&res.Subject, &res.Reply, &res.Headers, &res.Payload, &res.Reason} {
		*p = slices.Clone(*p)
	}
	return res, err
}

// Tick calls ganglion_on_tick.
func (g *Guest) Tick(now int64) error {
	_, err := g.call(abi.ExportOnTick, uint64(now))
	return err
}

// Close calls ganglion_close.
func (g *Guest) Close() error {
	_, err := g.call(abi.ExportClose)
	return err
}

// MemorySize is how many bytes of memory the plugin has now.
func (g *Guest) MemorySize() uint32 { return g.module.Memory().Size() }

type hostKey struct{}

// caller is the plugin that calls a host function.
type caller struct {
	*Host
	memory api.Memory
}

func called(ctx context.Context, m api.Module) caller {
	return caller{ctx.Value(hostKey{}).(*Host), m.Memory()}
}

func (c caller) text(ptr, size uint32) string {
	b, ok := c.memory.Read(ptr, size)
	if !ok {
		c.t.Errorf("the plugin gave %d bytes at %d, outside its memory", size, ptr)
	}
	return string(b)
}

func (c caller) give(s string, out, size uint32) int32 {
	if len(s) <= int(size) && !c.memory.WriteString(out, s) {
		return abi.ErrInvalid
	}
	return int32(len(s))
}

// instantiateHost makes the module that plugins import.
func instantiateHost(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(abi.HostModule)
	for name, f := range map[string]any{
		"log":        hostLog,
		"config_get": hostConfigGet,
		"metric_add": hostMetricAdd,
		"metric_set": hostMetricSet,
		"kv_get":     hostKVGet,
		"kv_set":     hostKVSet,
		"kv_delete":  hostKVDelete,
		"kv_add":     hostKVAdd,
		"emit":       hostEmit,
		"now_ns":     hostNow,
	} {
		b = b.NewFunctionBuilder().WithFunc(f).Export(name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

func hostLog(ctx context.Context, m api.Module, level int32, ptr, n uint32) {
	c := called(ctx, m)
	c.Log = append(c.Log, strconv.Itoa(int(level))+" "+c.text(ptr, n))
}

func hostConfigGet(ctx context.Context, m api.Module, key, n, out, size uint32) int32 {
	c := called(ctx, m)
	raw, ok := c.config[c.text(key, n)]
	if !ok {
		return abi.NotFound
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	return c.give(s, out, size)
}

func hostMetricAdd(ctx context.Context, m api.Module, name, n uint32, by int64) {
	c := called(ctx, m)
	c.Metrics[c.text(name, n)] += float64(by)
}

func hostMetricSet(ctx context.Context, m api.Module, name, n uint32, v float64) {
	c := called(ctx, m)
	c.Metrics[c.text(name, n)] = v
}

func hostKVGet(ctx context.Context, m api.Module, key, n, out, size uint32) int32 {
	c := called(ctx, m)
	v, ok := c.KV[c.text(key, n)]
	switch {
	case c.Deny < 0:
		return c.Deny
	case !ok:
		return abi.NotFound
	}
	return c.give(v, out, size)
}

func hostKVSet(ctx context.Context, m api.Module, key, n, val, size uint32, ttl int64) int32 {
	c := called(ctx, m)
	k, v := c.text(key, n), c.text(val, size)
	if c.Deny < 0 {
		return c.Deny
	}
	c.KV[k], c.TTL[k] = v, ttl
	return 0
}

func hostKVDelete(ctx context.Context, m api.Module, key, n uint32) int32 {
	c := called(ctx, m)
	k := c.text(key, n)
	if c.Deny < 0 {
		return c.Deny
	}
	if _, ok := c.KV[k]; !ok {
		return 0
	}
	delete(c.KV, k)
	return 1
}

func hostKVAdd(ctx context.Context, m api.Module, key, n uint32, by, ttl int64) int64 {
	c := called(ctx, m)
	k := c.text(key, n)
	if c.Deny < 0 {
		return int64(c.Deny)
	}
	if _, ok := c.KV[k]; !ok {
		c.TTL[k] = ttl
	}
	sum, _ := strconv.ParseInt(c.KV[k], 10, 64)
	sum += by
	c.KV[k] = strconv.FormatInt(sum, 10)
	return sum
}

func hostEmit(ctx context.Context, m api.Module, subj, sn, reply, rn, hdr, hn, data, dn uint32) int32 {
	c := called(ctx, m)
	e := Message{c.text(subj, sn), c.text(reply, rn), c.text(hdr, hn), c.text(data, dn)}
	if c.Deny < 0 {
		return c.Deny
	}
	c.Emitted = append(c.Emitted, e)
	return 0
}

func hostNow(ctx context.Context, m api.Module) int64 { return called(ctx, m).Now }
