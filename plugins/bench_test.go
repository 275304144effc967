package plugins_test

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/router"
	"ganglion/core/wire"
	"ganglion/plugins"
	"ganglion/plugins/wasm"
)

// table returns the hooks of plugins in files as a table.
func table(b *testing.B, configure map[string]plugins.Config, files ...string) *hook.Table {
	b.Helper()
	dir := b.TempDir()
	for _, f := range files {
		code, err := os.ReadFile(f)
		if err != nil {
			b.Skip(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(f)), code, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	host := wasm.NewHost(wasm.HostOptions{})
	b.Cleanup(func() { host.Close() })
	var t *hook.Table
	m, err := plugins.New(b.Context(), plugins.Options{Dir: dir, Host: host, Configure: configure, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Bind: func(hs []plugins.Hook) {
		var list []hook.Binding
		for _, h := range hs {
			list = append(list, h.Binding)
		}
		t = hook.NewTable(list)
	}})
	if err != nil {
		b.Fatal(err)
	}
	bound := t
	b.Cleanup(m.Close)
	if bound == nil {
		b.Fatalf("nothing was bound: %+v", m.Status().Refused)
	}
	return bound
}

// sink takes everything.
type sink struct{ origin hook.Origin }

func (s *sink) Stage(st *account.Stage, sub *account.Subscription, m *wire.Msg) bool {
	st.Set(wire.AppendMsg(st.Reserve(len(m.Data)+64), m, sub.SID(), true))
	st.Delivered(sub, len(m.Data))
	return true
}
func (*sink) Commit(*account.Stage) {}

// publisher publishes.
type publisher struct{ sink }

func (s *publisher) Origin() *hook.Origin                            { return &s.origin }
func (*publisher) RTT() time.Duration                                { return 0 }
func (*publisher) AppendRequestor(b []byte, _ string, _ bool) []byte { return append(b, "{}"...) }

func publish(b *testing.B, t *hook.Table, payload string) {
	b.Helper()
	acc := account.New("A")
	acc.SetHooks(t)
	to := &sink{}
	acc.Subscribe(account.NewSubscription(to, ">", "", "1"))
	batch := router.New(0, &router.Counters{})
	from := &publisher{}
	data := append([]byte(payload), make([]byte, 128-len(payload))...)
	subj := []byte("t.abc.def")
	var m wire.Msg // the reader's, as in a broker
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		m = wire.Msg{Subject: subj, Data: data}
		batch.Publish(from, acc, nil, &m)
		if n++; n%400 == 0 {
			batch.Flush()
		}
	}
}

// BenchmarkPublish is what bindings to other subjects cost a message.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%d bindings on other subjects", n), func(b *testing.B) {
			var list []hook.Binding
			for i := range n {
				list = append(list, hook.Binding{Pattern: fmt.Sprintf("other.%d.>", i), Publish: hook.PublishFunc(nil)})
			}
			publish(b, hook.NewTable(list), "p")
		})
	}
}

// BenchmarkPlugin is what a message costs that a plugin looks at, fuel on: from
// the router to the router.
func BenchmarkPlugin(b *testing.B) {
	const wide = "wasm/testdata/guest.wasm"
	want := func(bits string) map[string]plugins.Config {
		return map[string]plugins.Config{"guest": {Config: []byte(`{"want":"` + bits + `"}`)}}
	}
	b.Run("none", func(b *testing.B) { publish(b, nil, "p") })
	b.Run("C, pass by subject", func(b *testing.B) { publish(b, table(b, want("1"), wide), "p") })
	b.Run("C, pass by headers", func(b *testing.B) { publish(b, table(b, want("5"), wide), "p") })
	b.Run("C, pass with payload", func(b *testing.B) { publish(b, table(b, want("9"), wide), "p") })
	b.Run("C, sum of payload", func(b *testing.B) { publish(b, table(b, want("9"), wide), "S") })
	b.Run("C, replace of 256 bytes", func(b *testing.B) { publish(b, table(b, want("9"), wide), "b") })
	b.Run("C, drop", func(b *testing.B) { publish(b, table(b, want("9"), wide), "d") })
}

// BenchmarkRunawayBeside is requests of one connection while another's messages
// have a guest loop until its fuel is used up, ten times a second.
func BenchmarkRunawayBeside(b *testing.B) {
	for _, wild := range []bool{false, true} {
		b.Run(fmt.Sprintf("runaway=%v", wild), func(b *testing.B) {
			h := newHouse(b, guest, func(o *plugins.Options) {
				o.Configure = map[string]plugins.Config{"guest": {Policy: plugins.FailOpen}}
			})
			quiet, other := h.connect(), h.connect()
			if _, err := quiet.Subscribe("quiet", func(m *nats.Msg) { m.Respond(nil) }); err != nil {
				b.Fatal(err)
			}
			stop := make(chan struct{})
			var wg sync.WaitGroup
			if wild {
				wg.Go(func() {
					t := time.NewTicker(100 * time.Millisecond)
					defer t.Stop()
					for {
						select {
						case <-stop:
							return
						case <-t.C:
							other.Publish("t.a", []byte("l"))
							other.Publish("t.a", []byte("p")) // it is not taken out of service
						}
					}
				})
			}
			times := make([]time.Duration, 0, b.N)
			for b.Loop() {
				start := time.Now()
				if _, err := quiet.Request("quiet", nil, 5*time.Second); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(start))
			}
			close(stop)
			wg.Wait()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(times[len(times)-1].Microseconds()), "max-us")
			b.ReportMetric(float64(h.m.Status().Plugins[0].Faults), "runaways")
		})
	}
}
