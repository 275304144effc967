package fuel_test

import (
	"context"
	"testing"

	"ganglion/plugins/fuel"

	"github.com/tetratelabs/wazero"
)

// costGuest has what the benchmarks call.
func costGuest() guest {
	g := guest{
		types:  []signature{{}, {params: []byte{i32, i32}, results: []byte{i32}}},
		memory: []byte{0, 1},
		funcs: []function{
			{},
			{typ: 1, groups: 1, locals: []byte{1, i32}, code: code( // sum of bytes at local 0, as many as local 1
				0x03, 0x40,
				0x20, 2, 0x20, 0, 0x2d, 0, 0, 0x6a, 0x21, 2, // s += mem[p]
				0x20, 0, i32c(1), 0x6a, 0x21, 0, // p++
				0x20, 1, i32c(1), 0x6b, 0x22, 1, 0x0d, 0, 0x0b, // if --n != 0 continue
				0x20, 2)},
		},
		exports: [][]byte{export("memory", 2, 0), export("nothing", 0, 0), export("sum", 0, 1)},
	}
	return g
}

// BenchmarkFuel compares a module as it is, with fuel, and with wazero's own
// WithCloseOnContextDone. With fuel a call that does nothing may take 2 ns more at
// most, the sum of 1 KiB half as long again.
func BenchmarkFuel(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	module := costGuest().bytes()
	metered, err := fuel.Rewrite(module, fuel.Options{Default: 10_000_000, Host: 1000, Grow: 20_000})
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 128)
	for _, mode := range []struct {
		name   string
		module []byte
		config wazero.RuntimeConfig
	}{
		{"plain", module, config()},
		{"fuel", metered, config()},
		{"close", module, config().WithCloseOnContextDone(true)},
	} {
		r, _ := runtime(b, mode.config)
		m := instantiate(b, r, mode.module)
		nothing, sum, mem := m.ExportedFunction("nothing"), m.ExportedFunction("sum"), m.Memory()
		stack := make([]uint64, 2)
		b.Run("nothing/"+mode.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := nothing.CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("sum1KiB/"+mode.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				stack[0], stack[1] = 0, 1024
				if err := sum.CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("write128sum/"+mode.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mem.Write(2048, payload)
				stack[0], stack[1] = 2048, 128
				if err := sum.CallWithStack(ctx, stack); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	module := runaways()["straight line, work"].bytes()
	b.SetBytes(int64(len(module)))
	for b.Loop() {
		if _, err := fuel.Rewrite(module, prices); err != nil {
			b.Fatal(err)
		}
	}
}
