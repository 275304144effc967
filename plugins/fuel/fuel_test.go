package fuel_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"ganglion/plugins/fuel"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func TestCharges(t *testing.T) {
	t.Parallel()
	o := fuel.Options{Default: 1_000_000, Host: 1000, Grow: 8192 * 3}
	locals := run()
	locals.funcs[0].groups, locals.funcs[0].locals = 2, []byte{7, i32, 5, i64}
	call := run(0x10, 1)
	call.funcs = append(call.funcs, function{code: code(0x01)})
	imported := run(0x10, 0)
	imported.importFunc("env", "f", 0)
	imported.exports = [][]byte{export("run", 0, 1)}
	reexport := imported
	reexport.exports = [][]byte{export("run", 0, 0)}
	// The function of ours that pays is what ref.func and elements name.
	byRef := run(i32c(0), 0xd2, 0, 0x26, 0, i32c(0), 0x11, 0, 0)
	byRef.importFunc("env", "f", 0)
	byRef.table = []byte{0, 2}
	byRef.elems = [][]byte{code(3, 0, 1, 0)}
	byRef.exports = [][]byte{export("run", 0, 1)}
	byGlobal := run(i32c(0), 0x23, 0, 0x26, 0, i32c(0), 0x11, 0, 0)
	byGlobal.importFunc("env", "f", 0)
	byGlobal.table = []byte{0, 2}
	byGlobal.globals = [][]byte{code(0x70, 0, 0xd2, 0, 0x0b)}
	byGlobal.exports = [][]byte{export("run", 0, 1)}
	tables := run(i32c(0), 0xd0, 0x70, i32c(10), 0xfc, 17, 0, // table.fill
		i32c(0), i32c(1), i32c(10), 0xfc, 14, 0, 0, // table.copy
		0xd0, 0x70, i32c(10), 0xfc, 15, 0, 0x1a) // table.grow
	tables.table = []byte{0, 50}
	init := run(i32c(0), i32c(0), i32c(7), 0xfc, 8, 0, 0)
	init.data = [][]byte{append([]byte{1}, str("1234567")...)}

	for _, tt := range []struct {
		name string
		g    guest
		want int64
	}{
		{"nothing", run(), 1},
		{"straight", run(0x01, 0x01, 0x01), 4},
		{"locals", locals, 12 + 1},
		{"short arms", run(i32c(0), 0x04, 0x40, 0x01, 0x01, 0x05, 0x01, 0x0b), 1 + 1 + 1 + 2 + 1},
		{"long arm not taken", run(i32c(0), 0x04, 0x40, nops(100), 0x05, nops(9), 0x0b), 1 + 1 + 1 + 9},
		{"long arm taken", run(i32c(1), 0x04, 0x40, nops(100), 0x05, nops(99), 0x0b), 1 + 1 + 1 + 100},
		{"jump into the first case", cases(0), 1 + 2 + 100 + 200},
		{"jump into the last case", cases(1), 1 + 2 + 200},
		{"jump over all cases", cases(2), 1 + 2},
		{"behind a block", run(0x02, 0x40, 0x0b, nops(100)), 1 + 100},
		// The entry pays for the loop itself and the end behind it; each of the
		// three rounds pays for eight instructions.
		{"loop", func() guest {
			g := run(0x03, 0x40, 0x20, 0, i32c(1), 0x6a, 0x22, 0, i32c(3), 0x49, 0x0d, 0, 0x0b)
			g.funcs[0].groups, g.funcs[0].locals = 1, []byte{1, i32}
			return g
		}(), 1 + 2 + 3*8},
		{"call", call, 4 + 1 + 2},
		{"division", run(i32c(6), i32c(3), 0x6e, 0x1a), 1 + 1 + 4 + 1 + 1},
		{"call of an import", imported, 4 + 1 + 1000},
		{"export of an import", reexport, 1000},
		{"import by ref.func", byRef, 1 + 1 + 1 + 1 + 6 + 1 + 1000},
		{"import by a global", byGlobal, 1 + 1 + 1 + 1 + 6 + 1 + 1000},
		{"memory.fill", run(i32c(0), i32c(0), i32c(4002), 0xfc, 11, 0), 3 + 8 + 1 + 1000},
		{"memory.copy", run(i32c(0), i32c(0), i32c(4003), 0xfc, 10, 0, 0), 3 + 8 + 1 + 2001},
		{"memory.init", init, 3 + 8 + 1 + 3},
		{"memory.grow", run(i32c(5), 0x40, 0, 0x1a), 1 + 8 + 1 + 1 + 1000 + 5*8192*3},
		{"tables", tables, 3 + 8 + 40 + 3 + 8 + 40 + 2 + 8 + 1 + 1 + 1000 + 10*(3+4)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := runtime(t, config())
			if _, err := r.CompileModule(t.Context(), tt.g.bytes()); err != nil {
				t.Fatalf("the original: %v", err)
			}
			m := instantiate(t, r, rewrite(t, tt.g.bytes(), o))
			for range 2 { // each call starts with a full budget
				if _, err := m.ExportedFunction("run").Call(t.Context()); err != nil {
					t.Fatal(err)
				}
				if have := o.Default - remaining(m); have != tt.want {
					t.Errorf("cost %d, want %d", have, tt.want)
				}
			}
			// Without a refill, what is left goes down further.
			if _, err := m.ExportedFunction(fuel.Raw + "run").Call(t.Context()); err != nil {
				t.Fatal(err)
			}
			if have := o.Default - remaining(m); have != 2*tt.want {
				t.Errorf("cost %d after a nested call, want %d", have, 2*tt.want)
			}
		})
	}
}

func nops(n int) []byte { return bytes.Repeat([]byte{0x01}, n) }

// cases jumps to one of two places, as a compiler does for a switch: the first
// falls through to the second.
func cases(n int64) guest {
	return run(0x02, 0x40, 0x02, 0x40, 0x02, 0x40, i32c(n), 0x0e, 2, 0, 1, 2,
		0x0b, nops(100), 0x0b, nops(200), 0x0b)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	g := run()
	g.exports = [][]byte{export("a", 0, 0), export("b", 0, 0), export("c", 0, 0)}
	g.start = 1
	r, _ := runtime(t, config())
	m := instantiate(t, r, rewrite(t, g.bytes(), fuel.Options{
		Default: 100,
		Limits:  map[string]int64{"b": 200, fuel.Start: 300},
	}))
	if n := remaining(m); n != 100 {
		t.Errorf("%d before the first call, want the default", n)
	}
	for name, want := range map[string]int64{"a": 99, "b": 199, "c": 99, fuel.Start: 299} {
		if _, err := m.ExportedFunction(name).Call(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := remaining(m); n != want {
			t.Errorf("%s left %d, want %d", name, n, want)
		}
	}
}

// The maxima of memory and tables are lowered, never raised.
func TestMaxima(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		memory, table []byte
		wantMem       uint64
		wantTab       uint64
	}{
		{"none", []byte{0, 1}, []byte{0, 1}, 4, 8},
		{"above", []byte{1, 1, 50}, []byte{1, 1, 50}, 4, 8},
		{"below", []byte{1, 1, 3}, []byte{1, 1, 6}, 3, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Grow by one until it is refused, and return the size.
			g := guest{
				types: []signature{{results: []byte{i32}}},
				funcs: []function{
					{code: code(0x03, 0x40, i32c(1), 0x40, 0, i32c(0), 0x4e, 0x0d, 0, 0x0b, 0x3f, 0)},
					{code: code(0x03, 0x40, 0xd0, 0x70, i32c(1), 0xfc, 15, 0, i32c(0), 0x4e, 0x0d, 0, 0x0b, 0xfc, 16, 0)},
				},
				memory: tt.memory, table: tt.table,
				exports: [][]byte{export("memory", 0, 0), export("table", 0, 1)},
			}
			r, _ := runtime(t, config())
			m := instantiate(t, r, rewrite(t, g.bytes(), fuel.Options{Default: 1 << 40, MaxMemoryPages: 4, MaxTable: 8}))
			for name, want := range map[string]uint64{"memory": tt.wantMem, "table": tt.wantTab} {
				res, err := m.ExportedFunction(name).Call(t.Context())
				if err != nil || res[0] != want {
					t.Errorf("%s grew to %v, %v, want %d", name, res, err, want)
				}
			}
		})
	}
}

func TestCustomSections(t *testing.T) {
	t.Parallel()
	g := run()
	names := customSection("name", "\x01\x06\x01\x00\x03abc")
	g.custom = slices.Concat(customSection("first", "1"), customSection(".debug_info", "x"))
	g.tail = slices.Concat(names, customSection("metadata.code.branch_hint", "\x00"), customSection(".debug_line", "y"),
		customSection("producers", "\x00"))
	out := rewrite(t, g.bytes(), prices)
	if bytes.Contains(out, []byte(".debug_")) || bytes.Contains(out, []byte("metadata.code")) {
		t.Error("sections with offsets were kept")
	}
	if !bytes.HasPrefix(out[8:], customSection("first", "1")) {
		t.Error("the first section moved or is gone")
	}
	if !bytes.HasSuffix(out, slices.Concat(names, customSection("producers", "\x00"))) {
		t.Error("the last sections moved or are gone")
	}
	r := wazero.NewRuntimeWithConfig(t.Context(), config().WithCustomSections(true))
	defer r.Close(context.Background())
	c, err := r.CompileModule(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	if f := c.ExportedFunctions()[fuel.Raw+"run"]; f.Name() != "abc" {
		t.Errorf("the function is called %q", f.Name())
	}
	var have []string
	for _, s := range c.CustomSections() {
		have = append(have, s.Name())
	}
	if want := []string{"first", "producers"}; !slices.Equal(have, want) {
		t.Errorf("custom sections %q, want %q", have, want)
	}
}

// What would name something of ours, what is not followed and what is too much is
// refused, each for its reason.
func TestRefused(t *testing.T) {
	t.Parallel()
	with := func(change func(*guest)) guest {
		g := run()
		change(&g)
		return g
	}
	globals := [][]byte{code(i32, 1, i32c(0), 0x0b)}
	for _, tt := range []struct {
		name string
		g    guest
		want error
	}{
		{"global.set of ours", run(0x42, 0, 0x24, 0), fuel.ErrMalformed},
		{"global.get of ours behind one", with(func(g *guest) {
			g.globals = globals
			g.funcs[0].code = code(0x23, 1, 0x1a)
		}), fuel.ErrMalformed},
		{"export of our global", with(func(g *guest) { g.exports = [][]byte{export("g", 3, 0)} }), fuel.ErrMalformed},
		{"our global in a constant", with(func(g *guest) {
			g.globals = [][]byte{code(i64, 1, 0x23, 1, 0x0b)}
		}), fuel.ErrMalformed},
		{"our global as an offset", with(func(g *guest) {
			g.data = [][]byte{code(0, 0x23, 0, 0x0b, 1, 0)}
		}), fuel.ErrMalformed},
		{"call of ours", run(0x10, 1), fuel.ErrMalformed},
		{"tail call of ours", run(0x12, 1), fuel.ErrMalformed},
		{"ref.func of ours", run(0xd2, 1, 0x1a), fuel.ErrMalformed},
		{"element of ours", with(func(g *guest) {
			g.table = []byte{0, 1}
			g.elems = [][]byte{code(0, i32c(0), 0x0b, 1, 1)}
		}), fuel.ErrMalformed},
		{"export of ours", with(func(g *guest) { g.exports = [][]byte{export("x", 0, 1)} }), fuel.ErrMalformed},
		{"start of ours", with(func(g *guest) { g.start = 2 }), fuel.ErrMalformed},
		{"start with a result", with(func(g *guest) {
			g.types[0].results = []byte{i32}
			g.start = 1
		}), fuel.ErrMalformed},
		{"local of ours", run(i32c(0), i32c(0), 0x20, 0, 0xfc, 11, 0), fuel.ErrMalformed},
		{"code behind the end", run(0x0b, 0x01), fuel.ErrMalformed},
		{"label", run(0x0c, 1), fuel.ErrMalformed},
		{"our export", with(func(g *guest) { g.exports = append(g.exports, export(fuel.Global, 0, 0)) }), fuel.ErrReserved},
		{"our prefix", with(func(g *guest) { g.exports = [][]byte{export("ganglion.", 0, 0)} }), fuel.ErrReserved},
		{"overlong sub-opcode", run(i32c(0), i32c(0), i32c(0), 0xfc, 0x8b, 0x00, 0), fuel.ErrUnsupported},
		{"overlong SIMD", run(0xfd, 0x8c, 0x00, bytes.Repeat([]byte{0}, 16), 0x1a), fuel.ErrUnsupported},
		{"relaxed SIMD", run(0xfd, 0x80, 0x02), fuel.ErrUnsupported},
		{"SIMD without a meaning", run(0xfd, 0x9a, 0x01), fuel.ErrUnsupported},
		{"atomics", run(0xfe, 0x03, 0x00), fuel.ErrUnsupported},
		{"exceptions", run(0x06, 0x40, 0x0b), fuel.ErrUnsupported},
		{"call_ref", run(0x14, 0), fuel.ErrUnsupported},
		{"shared memory", with(func(g *guest) { g.memory = []byte{3, 1, 1} }), fuel.ErrUnsupported},
		{"64-bit memory", with(func(g *guest) { g.memory = []byte{4, 1} }), fuel.ErrUnsupported},
		{"tags", with(func(g *guest) { g.tail = section(13, []byte{0}) }), fuel.ErrUnsupported},
		{"sections in disorder", with(func(g *guest) { g.tail = section(1, []byte{0}) }), fuel.ErrMalformed},
		{"memory", with(func(g *guest) { g.memory = code(0, leb(65)) }), fuel.ErrTooBig},
		{"table", with(func(g *guest) { g.table = code(0, leb(10_001)) }), fuel.ErrTooBig},
		{"locals", with(func(g *guest) {
			g.funcs[0].groups, g.funcs[0].locals = 1, code([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, i64)
		}), fuel.ErrTooBig},
		{"wrappers", with(func(g *guest) {
			g.types[0].params = bytes.Repeat([]byte{i32}, 1000)
			g.exports = nil
			for i := range 500 {
				g.funcs = append(g.funcs, function{})
				g.exports = append(g.exports, export(string(rune('a'+i)), 0, i))
			}
		}), fuel.ErrTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := fuel.Rewrite(tt.g.bytes(), prices)
			if !errors.Is(err, tt.want) {
				t.Errorf("have %v, want %v", err, tt.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	module := run().bytes()
	for _, o := range []fuel.Options{
		{},
		{Default: -1},
		{Default: fuel.MaxBudget + 1},
		{Default: 1, Host: -1},
		{Default: 1, Host: fuel.MaxPrice + 1},
		{Default: 1, Grow: fuel.MaxPrice + 1},
		{Default: 1, Limits: map[string]int64{"x": 0}},
	} {
		if _, err := fuel.Rewrite(module, o); !errors.Is(err, fuel.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A module that ends early is refused, or is one whose last sections are missing.
func TestTruncated(t *testing.T) {
	t.Parallel()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	defer r.Close(context.Background())
	for name, g := range runaways() {
		module := g.bytes()
		for n := range min(len(module), 500) {
			out, err := fuel.Rewrite(module[:n], prices)
			if err != nil {
				continue
			}
			_, perr := r.CompileModule(t.Context(), module[:n])
			if _, merr := r.CompileModule(t.Context(), out); perr != nil && merr == nil {
				t.Errorf("%s: %d bytes of it became acceptable: %v", name, n, perr)
			}
		}
	}
}

// Multiple values pass through blocks, loops and the functions that refill.
func TestMultipleValues(t *testing.T) {
	t.Parallel()
	g := guest{
		types: []signature{{params: []byte{i32, i64}, results: []byte{i64, i32}}},
		funcs: []function{{code: code(
			0x20, 0, 0x20, 1, 0x03, 0, // loop with the parameters on the stack
			0x21, 1, 0x21, 0, 0x20, 1, 0x20, 0, 0x0b)}},
		exports: [][]byte{export("swap", 0, 0)},
	}
	r, _ := runtime(t, config())
	m := instantiate(t, r, rewrite(t, g.bytes(), prices))
	have, err := m.ExportedFunction("swap").Call(t.Context(), 3, 1<<40)
	if err != nil || have[0] != 1<<40 || uint32(have[1]) != 3 {
		t.Errorf("have %v, %v", have, err)
	}
	if p := m.ExportedFunction("swap").Definition().ParamTypes(); !slices.Equal(p, []api.ValueType{i32, i64}) {
		t.Errorf("parameters %v", p)
	}
}
