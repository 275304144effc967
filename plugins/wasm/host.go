package wasm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"ganglion/plugins/abi"
	"ganglion/plugins/fuel"
)

// Prices, in units of work, and the largest table.
const (
	hostPrice = 300
	growPrice = 10_000
	maxTable  = 100_000
)

// Metering is how runaway guests are stopped.
type Metering string

const (
	// Fuel has the module itself count its work. The default.
	Fuel Metering = "fuel"
	// Context is wazero's own way: a call is ended when it takes too long. Loops
	// are 9 to 26 times slower.
	Context Metering = "context"
	// None is no metering: for comparisons.
	None Metering = "none"
)

// Host compiles modules. Create it with NewHost; it is safe for concurrent use.
type Host struct {
	metering Metering
	// cache is made when it is needed first: who has no plugins does not pay.
	cache func() (wazero.CompilationCache, error)
	made  atomic.Bool
}

// HostOptions configure a Host.
type HostOptions struct {
	// CacheDir is where compiled code is kept between starts; "" keeps it in
	// memory only.
	CacheDir string
	// CacheOptional does without CacheDir where it can't be written.
	CacheOptional bool
	// Metering is Fuel unless something else is asked for.
	Metering Metering
}

// NewHost returns a Host.
func NewHost(o HostOptions) *Host {
	h := &Host{metering: o.Metering}
	if h.metering == "" {
		h.metering = Fuel
	}
	h.cache = sync.OnceValues(func() (c wazero.CompilationCache, err error) {
		defer h.made.Store(true)
		if o.CacheDir == "" {
			return wazero.NewCompilationCache(), nil
		}
		if c, err = wazero.NewCompilationCacheWithDir(o.CacheDir); err == nil {
			return c, nil
		}
		if o.CacheOptional {
			return wazero.NewCompilationCache(), nil
		}
		return nil, fmt.Errorf("wasm: compilation cache %q: %w", o.CacheDir, err)
	})
	return h
}

// Close frees what was compiled. Modules must have been closed before.
func (h *Host) Close() error {
	if !h.made.Load() {
		return nil
	}
	c, err := h.cache()
	if err != nil {
		return nil // there is nothing to free
	}
	return c.Close(context.Background())
}

// Module is one file, compiled. Close it when no Pool of it is in use any more.
type Module struct {
	Manifest *abi.Manifest
	Hash     string // sha256 of the file, hexadecimal
	Size     int    // bytes of the file
	Metering Metering
	Limits   Limits
	Exports  []string // functions of the file
	Imports  []string // "module.name" of functions
	Sections []string // custom ones

	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	started  bool // there is a start function
}

// ErrModule is wrapped by errors about a file that is no plugin.
var ErrModule = errors.New("wasm: not a plugin")

// Compile makes a Module of a file's bytes and has it say what it is. What its
// instances may use is in l; its own wishes in the manifest can raise the default
// of Memory only.
func (h *Host) Compile(ctx context.Context, file []byte, l Limits) (*Module, error) {
	limits, err := l.normal()
	if err != nil {
		return nil, err
	}
	if int64(len(file)) > limits.Module {
		return nil, fmt.Errorf("%w: it has %d bytes; limits.module is %d", ErrModule, len(file), limits.Module)
	}
	if len(file) < 8 || string(file[:4]) != "\x00asm" {
		return nil, fmt.Errorf("%w: it does not begin as a WASM module does", ErrModule)
	}
	sum := sha256.Sum256(file)
	m := &Module{Hash: hex.EncodeToString(sum[:]), Size: len(file), Metering: h.metering, Limits: limits}
	if err := m.compile(ctx, h, file); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Module) compile(ctx context.Context, h *Host, file []byte) error {
	memory, work := int64(DefaultMemory), int64(DefaultFuel)
	if isGo(file) {
		memory, work = DefaultGoMemory, DefaultGoFuel
	}
	m.Limits.Memory, m.Limits.Fuel = cmp.Or(m.Limits.Memory, memory), cmp.Or(m.Limits.Fuel, work)
	pages := m.Limits.Memory / pageSize
	code := file
	if h.metering == Fuel {
		var err error
		code, err = fuel.Rewrite(file, fuel.Options{
			Limits:  map[string]int64{fuel.Start: m.Limits.StartFuel, abi.ExportInitialize: m.Limits.StartFuel, abi.ExportManifest: m.Limits.StartFuel, abi.ExportConfigure: m.Limits.StartFuel, abi.ExportOnTick: m.Limits.TickFuel},
			Default: m.Limits.Fuel, Host: hostPrice, Grow: growPrice, MaxTable: maxTable,
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrModule, err)
		}
	}
	cache, err := h.cache()
	if err != nil {
		return err
	}
	config := wazero.NewRuntimeConfig().WithCompilationCache(cache).WithMemoryLimitPages(uint32(pages)).WithCloseOnContextDone(h.metering == Context)
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	original, err := m.runtime.CompileModule(ctx, file) // types and stack heights are its business
	if err != nil {
		return fmt.Errorf("%w: %w", ErrModule, err)
	}
	m.compiled = original
	if err := m.check(original); err != nil {
		return err
	}
	if h.metering == Fuel {
		m.compiled, err = m.runtime.CompileModule(ctx, code)
		original.Close(ctx)
		if err != nil {
			return fmt.Errorf("%w: metered: %w", ErrModule, err)
		}
		_, m.started = m.compiled.ExportedFunctions()[fuel.Start]
	}
	wasi := m.runtime.NewHostModuleBuilder(abi.WASIModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(wasi)
	wasi.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(pollOneoff), types(i32, i32, i32, i32), types(i32)).Export("poll_oneoff")
	if _, err := wasi.Instantiate(ctx); err != nil {
		return fmt.Errorf("wasm: %w", err)
	}
	if err := instantiateHost(ctx, m.runtime); err != nil {
		return fmt.Errorf("wasm: %w", err)
	}
	return m.readManifest(ctx)
}

// readManifest asks an instance without services.
func (m *Module) readManifest(ctx context.Context) error {
	i, err := m.instantiate(ctx, nothing{}, nil)
	if err != nil {
		return err
	}
	defer i.close()
	v, err := i.call(i.mod.ExportedFunction(abi.ExportManifest))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrModule, abi.ExportManifest, err)
	}
	ptr, size := abi.Unpack(v)
	text, ok := i.mod.Memory().Read(ptr, size)
	if !ok || size > abi.MaxManifest {
		return fmt.Errorf("%w: %s returned no place in its memory", ErrModule, abi.ExportManifest)
	}
	if m.Manifest, err = abi.ParseManifest(text); err != nil {
		return fmt.Errorf("%w: %w", ErrModule, err)
	}
	return nil
}

// signatures are those of the exports.
var signatures = map[string]struct{ params, results []api.ValueType }{
	abi.ExportInitialize: {nil, nil},
	abi.ExportManifest:   {nil, []api.ValueType{api.ValueTypeI64}},
	abi.ExportAlloc:      {[]api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}},
	abi.ExportConfigure:  {[]api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
	abi.ExportOnMessage:  {[]api.ValueType{api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
	abi.ExportOnTick:     {[]api.ValueType{api.ValueTypeI64}, nil},
	abi.ExportClose:      {nil, nil},
}

// check holds a module against the contract.
func (m *Module) check(c wazero.CompiledModule) error {
	exports := c.ExportedFunctions()
	versions := []string{}
	for name := range exports {
		m.Exports = append(m.Exports, name)
		if strings.HasPrefix(name, abi.MarkerPrefix) {
			versions = append(versions, name)
		}
	}
	for _, s := range c.CustomSections() {
		m.Sections = append(m.Sections, s.Name())
	}
	for _, f := range c.ImportedFunctions() {
		module, name, _ := f.Import()
		m.Imports = append(m.Imports, module+"."+name)
		switch module {
		case abi.WASIModule:
		case abi.HostModule:
			want, ok := hostFunctions[name]
			if !ok {
				return fmt.Errorf("%w: it imports %s.%s, which there is not", ErrModule, module, name)
			}
			if !equalTypes(f.ParamTypes(), want.params) || !equalTypes(f.ResultTypes(), want.results) {
				return fmt.Errorf("%w: it imports %s.%s with other parameters", ErrModule, module, name)
			}
		default:
			return fmt.Errorf("%w: it imports %s.%s; there are %s and %s", ErrModule, module, name, abi.HostModule, abi.WASIModule)
		}
	}
	if len(c.ImportedMemories()) > 0 {
		return fmt.Errorf("%w: it imports its memory; it must have its own", ErrModule)
	}
	if len(c.ExportedMemories()) != 1 || c.ExportedMemories()[abi.ExportMemory] == nil {
		return fmt.Errorf("%w: it does not export %q", ErrModule, abi.ExportMemory)
	}
	if exports[abi.ExportMarker] == nil {
		if len(versions) > 0 {
			return fmt.Errorf("%w: it speaks %v; this host speaks %s", ErrModule, versions, abi.ExportMarker)
		}
		return fmt.Errorf("%w: it does not export %s", ErrModule, abi.ExportMarker)
	}
	for _, name := range []string{abi.ExportInitialize, abi.ExportManifest, abi.ExportAlloc, abi.ExportConfigure, abi.ExportOnMessage, abi.ExportOnTick, abi.ExportClose} {
		f, ok := exports[name]
		want := signatures[name]
		switch {
		case !ok && (name == abi.ExportInitialize || name == abi.ExportOnTick || name == abi.ExportClose):
		case !ok:
			return fmt.Errorf("%w: it does not export %s", ErrModule, name)
		case !equalTypes(f.ParamTypes(), want.params) || !equalTypes(f.ResultTypes(), want.results):
			return fmt.Errorf("%w: %s has another type; it must be %s", ErrModule, name, typeText(want.params, want.results))
		}
	}
	return nil
}

// isGo reports whether the Go toolchain made the module: its linker puts the
// build's id first.
func isGo(file []byte) bool { return bytes.Contains(file[:min(len(file), 64)], []byte("go:buildid")) }

func equalTypes(a, b []api.ValueType) bool { return string(a) == string(b) }

func typeText(params, results []api.ValueType) string {
	names := func(list []api.ValueType) string {
		var s []string
		for _, t := range list {
			s = append(s, api.ValueTypeName(t))
		}
		return "(" + strings.Join(s, ", ") + ")"
	}
	return names(params) + " -> " + names(results)
}

// Close frees the module and ends what is left of its instances.
func (m *Module) Close() error {
	if m.runtime == nil {
		return nil
	}
	return m.runtime.Close(context.Background())
}
