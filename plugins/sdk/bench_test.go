package sdk_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/sdk"
	"ganglion/plugins/wasm"
)

// nothing are services that do nothing.
type nothing struct{}

func (nothing) Log(slog.Level, string)     {}
func (nothing) Count([]byte, int64) bool   { return true }
func (nothing) Gauge([]byte, float64) bool { return true }
func (nothing) Emit(*wasm.Emit) int32      { return 0 }
func (nothing) Store() wasm.Store          { return nil }
func (nothing) Clock() bool                { return false }

// BenchmarkSDK is a message of 256 bytes that a plugin of each kit makes upper
// case, as its template does, in the broker's host.
func BenchmarkSDK(b *testing.B) {
	for _, lang := range sdk.Languages() {
		b.Run(lang, func(b *testing.B) {
			c := builds[lang](b)
			dir := filepath.Join(b.TempDir(), "demo")
			if err := sdk.New(lang, "demo", dir); err != nil {
				b.Fatal(err)
			}
			c.Dir = dir
			for i, arg := range c.Args {
				c.Args[i] = strings.ReplaceAll(arg, "demo-1", "demo")
			}
			if out, err := c.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			code, err := os.ReadFile(filepath.Join(dir, "demo.wasm"))
			if err != nil {
				b.Fatal(err)
			}
			h := wasm.NewHost(wasm.HostOptions{})
			defer h.Close()
			m, err := h.Compile(b.Context(), code, wasm.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			p, err := m.NewPool(b.Context(), nil, nothing{})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			f := abi.Frame{Boundary: abi.Publish, Subject: []byte("demo.a"), Payload: []byte(strings.Repeat("a", 256))}
			var out wasm.Outcome
			b.ReportAllocs()
			for b.Loop() {
				i, err := p.Lease(0)
				if err == nil {
					err = i.Call(&f, "", &out)
				}
				if err != nil || out.Verdict != abi.Replace {
					b.Fatal(err, out.Verdict)
				}
				p.Release(i)
			}
		})
	}
}
