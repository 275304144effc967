package fuel_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"ganglion/plugins/fuel"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var prices = fuel.Options{Default: 1_000_000, Host: 1000, Grow: 20_000, MaxMemoryPages: 64, MaxTable: 10_000}

// runtime has a host module "env" with a function "f" that counts its calls.
func runtime(tb testing.TB, config wazero.RuntimeConfig) (r wazero.Runtime, calls *int) {
	tb.Helper()
	ctx := context.Background()
	r = wazero.NewRuntimeWithConfig(ctx, config)
	tb.Cleanup(func() { r.Close(ctx) })
	calls = new(int)
	_, err := r.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(context.Context, []uint64) { *calls++ }), nil, nil).Export("f").
		NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, _ []uint64) {
			// What the guest does when it is called back draws on what is left.
			if f := m.ExportedFunction(fuel.Raw + "nested"); f != nil {
				f.Call(ctx) // the guest's trap shows in what is left
			}
		}), nil, nil).Export("back").
		Instantiate(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return r, calls
}

func instantiate(tb testing.TB, r wazero.Runtime, module []byte) api.Module {
	tb.Helper()
	m, err := r.InstantiateWithConfig(context.Background(), module,
		wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func rewrite(tb testing.TB, module []byte, o fuel.Options) []byte {
	tb.Helper()
	out, err := fuel.Rewrite(module, o)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func remaining(m api.Module) int64 { return int64(m.ExportedGlobal(fuel.Global).Get()) }

// loop is: loop body br 0 end.
func loop(body ...any) []byte { return code(0x03, 0x40, code(body...), 0x0c, 0, 0x0b) }

func runaways() map[string]guest {
	fill := i32c(65536)
	storm := run(loop(0x10, 0))
	storm.importFunc("env", "f", 0)
	storm.exports = [][]byte{export("run", 0, 1)}

	back := run(loop(0x10, 0))
	back.importFunc("env", "back", 0)
	back.funcs = append(back.funcs, function{code: loop()})
	back.exports = [][]byte{export("run", 0, 1), export("nested", 0, 2)}

	stormIndirect := storm
	stormIndirect.funcs = []function{{code: loop(i32c(0), 0x11, 0, 0)}}
	stormIndirect.table = []byte{0, 1}
	stormIndirect.elems = [][]byte{code(0, i32c(0), 0x0b, 1, 0)}

	stormReturn := storm
	stormReturn.funcs = []function{{code: loop(0x10, 2)}, {code: code(0x12, 0)}}

	indirect := run(i32c(0), 0x11, 0, 0)
	indirect.table = []byte{0, 1}
	indirect.elems = [][]byte{code(0, i32c(0), 0x0b, 1, 0)}

	mutual := run(0x10, 1)
	mutual.funcs = append(mutual.funcs, function{code: code(0x10, 0)})

	tail := run(0x12, 0)

	table := run(loop(0xd0, 0x70, i32c(100), 0xfc, 15, 0, 0x1a))
	table.table = []byte{0, 1}
	tableFill := run(loop(i32c(0), 0xd0, 0x70, i32c(5000), 0xfc, 17, 0))
	tableFill.table = []byte{0, 0x88, 0x27}

	brTable := run(0x03, 0x40, 0x02, 0x40, 0x02, 0x40, i32c(7), 0x0e, 2, 0, 1, 2, 0x0b, 0x0b, 0x0b)

	chase := run(
		// for i := 0; i < 65536; i++ { mem[i*64] = (i*1664525+1013904223)%65536*64 }
		0x03, 0x40,
		0x20, 0, i32c(6), 0x74,
		0x20, 0, i32c(1664525), 0x6c, i32c(1013904223), 0x6a, i32c(65535), 0x71, i32c(6), 0x74,
		0x36, 2, 0,
		0x20, 0, i32c(1), 0x6a, 0x22, 0, i32c(65536), 0x49, 0x0d, 0, 0x0b,
		loop(0x20, 1, 0x28, 2, 0, 0x21, 1))
	chase.memory = []byte{0, 64}
	chase.funcs[0].groups, chase.funcs[0].locals = 1, []byte{2, i32}

	locals := run(0x10, 0)
	locals.funcs[0].groups, locals.funcs[0].locals = 1, append(leb(40_000), i64)

	started := guest{types: []signature{{}}, funcs: []function{{code: loop()}}, start: 1}
	started.exports = [][]byte{export("other", 0, 0)}

	dropping := run(loop(i32c(0), i32c(0), i32c(0), 0xfc, 8, 0, 0))
	dropping.data = [][]byte{append([]byte{1}, str("x")...)}

	return map[string]guest{
		"loop":                 run(loop()),
		"loop in a loop":       run(loop(loop())),
		"loop by br_if":        run(0x03, 0x40, i32c(1), 0x0d, 0, 0x0b),
		"loop by br_table":     brTable,
		"loop with an arm":     run(loop(i32c(1), 0x04, 0x40, nops(100), 0x0b)),
		"loop in an else":      run(0x03, 0x40, i32c(0), 0x04, 0x40, nops(100), 0x05, 0x0c, 1, 0x0b, 0x0b),
		"loop behind a block":  run(0x03, 0x40, 0x02, 0x40, i32c(1), 0x0d, 0, nops(100), 0x0b, nops(100), 0x0c, 0, 0x0b),
		"fill":                 run(loop(i32c(0), i32c(0), fill, 0xfc, 11, 0)),
		"copy":                 run(loop(i32c(0), i32c(0), fill, 0xfc, 10, 0, 0)),
		"empty init":           dropping,
		"table.fill":           tableFill,
		"table.grow":           table,
		"memory.grow":          run(loop(i32c(1), 0x40, 0, 0x1a)),
		"memory.grow by 0":     run(loop(i32c(0), 0x40, 0, 0x1a)),
		"memory.grow by 4 GiB": run(i32c(65536), 0x40, 0, 0x1a),
		"recursion":            run(0x10, 0),
		"mutual recursion":     mutual,
		"indirect recursion":   indirect,
		"big frames":           locals,
		"tail calls":           tail,
		"host calls":           storm,
		"host calls, indirect": stormIndirect,
		"host calls, tail":     stormReturn,
		"host calls back":      back,
		"pointer chase":        chase,
		"straight line":        run(bytes.Repeat([]byte{0x01}, 1<<20)),
		"straight line, work":  run(i32c(1), bytes.Repeat([]byte{0x45}, 1<<20), 0x1a),
		"start":                started,
	}
}

func TestRunaway(t *testing.T) {
	t.Parallel()
	for name, g := range runaways() {
		t.Run(name, func(t *testing.T) {
			r, calls := runtime(t, config())
			out := rewrite(t, g.bytes(), prices)
			m := instantiate(t, r, out)
			if m.ExportedFunction(fuel.Start) != nil != (g.start > 0) {
				t.Fatal("a start function appeared or was lost")
			}
			entry := "run"
			if g.start > 0 {
				entry = fuel.Start
			}
			begin := time.Now()
			_, err := m.ExportedFunction(entry).Call(t.Context())
			took := time.Since(begin)
			if err == nil || !strings.Contains(err.Error(), "unreachable") {
				t.Fatalf("want a trap, have %v", err)
			}
			if n := remaining(m); n >= 0 {
				t.Errorf("%d units are left after the trap", n)
			}
			if most := int(prices.Default / prices.Host); *calls > most {
				t.Errorf("%d host calls, paid for %d", *calls, most)
			}
			if g.memory != nil && m.Memory().Size() > prices.MaxMemoryPages<<16 {
				t.Errorf("a memory of %d bytes", m.Memory().Size())
			}
			t.Logf("%s: stopped after %v with %d left, %d host calls", name, took.Round(10*time.Microsecond), remaining(m), *calls)
		})
	}
}

// config is the compiler, with all features that are followed and those that are not.
func config() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCoreFeatures(features)
}
