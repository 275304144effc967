package wasm_test

import (
	"os"
	"runtime"
	"testing"

	"ganglion/plugins/wasm"
)

// TestFootprint: a hundred plugins of four instances each take little memory
// beyond the guests' own.
func TestFootprint(t *testing.T) {
	const modules, instances = 100, 4
	h := host(t, wasm.Fuel)
	good := file(t, "guest")
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := used()
	var own int64
	var leased []*wasm.Instance
	for i := range modules {
		m, err := h.Compile(t.Context(), append(good[:len(good):len(good)], 0, 3, 1, 'v', byte(i)), wasm.Limits{Instances: instances})
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.NewPool(t.Context(), nil, &house{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close(); m.Close() })
		for range instances {
			in, err := p.Lease(0)
			if err != nil {
				t.Fatal(err)
			}
			own += in.Memory()
			leased = append(leased, in)
			t.Cleanup(func() { p.Release(in) })
		}
	}
	all := used() - before
	beyond := (all - own) / (modules * instances)
	t.Logf("%d instances: %d MiB, of which %d MiB are the guests' own; %d KiB beyond for each", len(leased), all>>20, own>>20, beyond>>10)
	if beyond > 200<<10 || all > 512<<20 {
		t.Errorf("more than 200 KiB beyond the guest's own, or 512 MiB in all")
	}
}

// BenchmarkLoad compiles and starts a plugin that was compiled before, in another
// process, as after a restart.
func BenchmarkLoad(b *testing.B) {
	code, err := os.ReadFile("../../examples/plugins/cbor2json/cbor2json.wasm")
	if err != nil {
		b.Fatal(err)
	}
	for len(code) < 100<<10 { // a custom section fills it up
		n := min(100<<10-len(code), 120)
		code = append(append(code, 0, byte(n+5), 4, 'f', 'i', 'l', 'l'), make([]byte, n)...)
	}
	dir := b.TempDir()
	load := func() {
		h := wasm.NewHost(wasm.HostOptions{CacheDir: dir})
		defer h.Close()
		m, err := h.Compile(b.Context(), code, wasm.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		p, err := m.NewPool(b.Context(), nil, &house{})
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
	load()
	b.SetBytes(int64(len(code)))
	for b.Loop() {
		load()
	}
}
