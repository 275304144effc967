package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

// house is Services that remember.
type house struct {
	mu      sync.Mutex
	logs    []string
	counts  map[string]int64
	emitted []string
	count   int64
	value   []byte
}

func (h *house) Log(level slog.Level, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.logs) < 100 {
		h.logs = append(h.logs, level.String()+" "+text)
	}
}

func (h *house) Count(name []byte, n int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts == nil {
		h.counts = map[string]int64{}
	}
	h.counts[string(name)] += n
	return true
}
func (h *house) Gauge([]byte, float64) bool { return true }
func (h *house) Clock() bool                { return false }
func (h *house) Store() wasm.Store          { return h }
func (h *house) Emit(e *wasm.Emit) int32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !strings.HasPrefix(string(e.Subject), "out.") {
		return abi.ErrDenied
	}
	h.emitted = append(h.emitted, fmt.Sprintf("%s %s %d", e.Subject, e.Payload, e.Hops))
	return 0
}
func (h *house) Get(key, dst []byte) int32 { return abi.NotFound }
func (h *house) Set(key, value []byte, ttl int64) int32 {
	h.value = append(h.value[:0], value...)
	return 0
}
func (h *house) Delete(key []byte) bool { return false }
func (h *house) Add(key []byte, n, ttl int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count += n
	return h.count
}

func host(t testing.TB, m wasm.Metering) *wasm.Host {
	t.Helper()
	h := wasm.NewHost(wasm.HostOptions{Metering: m})
	t.Cleanup(func() { h.Close() })
	return h
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pool(t testing.TB, h *wasm.Host, name, config string, l wasm.Limits, s wasm.Services) *wasm.Pool {
	t.Helper()
	m, err := h.Compile(t.Context(), file(t, name), l)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.NewPool(t.Context(), []byte(config), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); m.Close() })
	return p
}

// ask has a plugin look at one message, and says what came of it.
func ask(t testing.TB, p *wasm.Pool, payload string) string {
	t.Helper()
	i, err := p.Lease(0)
	if err != nil {
		t.Fatal(err)
	}
	var out wasm.Outcome
	f := abi.Frame{Boundary: abi.Publish, Hops: 2, Subject: []byte("t.a"), Payload: []byte(payload)}
	if err := i.Call(&f, "A", &out); err != nil {
		if errors.Is(err, wasm.ErrPlugin) {
			p.Release(i)
		} else {
			p.Fail(i)
		}
		return "error: " + err.Error()
	}
	defer p.Release(i)
	s := out.Verdict.String()
	if out.Code > 0 {
		s += fmt.Sprint(" ", out.Code)
	}
	for k, part := range [][]byte{out.Subject, out.Reply, out.Headers, out.Payload, out.Reason} {
		if part != nil {
			s += fmt.Sprintf(" %s=%s", []string{"subject", "reply", "headers", "payload", "reason"}[k], part[:min(len(part), 40)])
		}
	}
	return s
}

func TestVerdicts(t *testing.T) {
	s := &house{}
	p := pool(t, host(t, wasm.Fuel), "guest", "", wasm.Limits{}, s)
	for _, tt := range []struct{ payload, want string }{
		{"", "pass"}, {"p", "pass"}, {"d", "drop"}, {"r", "reject"},
		{"Rno more", "reject 429 reason=no more"},
		{"uhello", "replace payload=uHELLO"},
		{"b", "replace payload=" + strings.Repeat("b", 40)},
		{"st.other", "replace subject=t.other"},
		{"h", "replace headers=NATS/1.0\r\nA: b\r\n\r\n"},
		{"y", "replace reply=new.reply"},
		{"Z", "replace subject=t.z reply=rep headers=NATS/1.0\r\nA: b\r\n\r\n payload=zz"},
		{"E", "pass"}, {"F", "pass"}, {"C", "pass"}, {"T", "drop"}, // the time is not told
		{"N", "replace payload=1"}, {"N", "replace payload=2"},
		{"t", "error: wasm: it trapped: wasm error: unreachable"},
		{"o", "error: wasm: invalid result: ganglion_on_message returned 0x7fffffff00000030"},
		{"O", "error: wasm: invalid result"},
		{"q", "error: wasm: invalid result"},
		{"v", "error: wasm: invalid result"},
		{"B", "error: wasm: invalid result: 1310720 bytes of headers and payload; limits.result is 1048576"},
		{"n", "error: wasm: it reported a failure: ganglion_on_message returned -7"},
		{"X", "error: wasm: it trapped: a host function was given bytes outside the memory (recovered by wazero)"},
		{"p", "pass"}, // and another instance has taken the place
	} {
		if got := ask(t, p, tt.payload); got != tt.want && !(strings.HasPrefix(tt.want, "error") && strings.HasPrefix(got, tt.want)) {
			t.Errorf("%q: %s, want %s", tt.payload, got, tt.want)
		}
	}
	if fmt.Sprint(s.emitted) != "[out.x E 2]" || s.counts["seen"] != 1 {
		t.Errorf("emitted %q, counted %v", s.emitted, s.counts)
	}
}

// Only what was asked for is copied.
func TestWant(t *testing.T) {
	p := pool(t, host(t, wasm.Fuel), "guest", `{"want":"1"}`, wasm.Limits{}, &house{})
	if got := ask(t, p, "d"); got != "pass" || p.Want() != abi.WantSubject {
		t.Errorf("the payload was seen: %s", got)
	}
	m := p.Module()
	if _, err := m.NewPool(t.Context(), []byte(`{"want":"-1"}`), &house{}); !errors.Is(err, wasm.ErrPlugin) {
		t.Errorf("a configuration that the plugin refuses: %v", err)
	}
	if _, err := m.NewPool(t.Context(), []byte(`[1]`), &house{}); err == nil {
		t.Error("a configuration that is no object is taken")
	}
}

// A runaway guest is stopped, its memory is given back, and the next message finds
// an instance.
func TestRunaway(t *testing.T) {
	for _, metering := range []wasm.Metering{wasm.Fuel, wasm.Context} {
		t.Run(string(metering), func(t *testing.T) {
			p := pool(t, host(t, metering), "guest", "", wasm.Limits{Instances: 2}, &house{})
			for name, payload := range map[string]string{"loop": "l", "fill": "f", "recursion": "c", "grow": "G", "log storm": "m", "clock storm": "M", "kv storm": "k", "emit storm": "e", "large values": "K", "lines": "W", "randomness": "Q", "waits": "w", "pointer chase": "P"} {
				got := ask(t, p, payload)
				if !strings.Contains(got, "fuel") && !(name == "recursion" && strings.Contains(got, "it trapped")) {
					t.Errorf("%s: %s", name, got)
				}
				if got := ask(t, p, "uafter"); got != "replace payload=uAFTER" {
					t.Errorf("after %s: %s", name, got)
				}
			}
			runtime.GC()
			if st := p.Stats(); st.Instances > 2 || st.Memory > 8<<20 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// What is no plugin is refused, with a reason.
func TestRefused(t *testing.T) {
	good := file(t, "guest")
	for _, tt := range []struct {
		name string
		file []byte
		l    wasm.Limits
		want string
	}{
		{"empty", nil, wasm.Limits{}, "does not begin as a WASM module"},
		{"text", []byte("#!/bin/sh\necho no plugin\n"), wasm.Limits{}, "does not begin as a WASM module"},
		{"header only", good[:8], wasm.Limits{}, "does not export"},
		{"truncated", good[:len(good)/2], wasm.Limits{}, "malformed"},
		{"too long", good, wasm.Limits{Module: 100}, "limits.module is 100"},
		{"no marker", file(t, "nomarker"), wasm.Limits{}, "does not export ganglion_abi_v1"},
		{"another version", file(t, "version2"), wasm.Limits{}, "speaks [ganglion_abi_v2]"},
		{"no alloc", file(t, "noalloc"), wasm.Limits{}, "does not export ganglion_alloc"},
		{"another type", file(t, "wrongtype"), wasm.Limits{}, "ganglion_configure has another type"},
		{"import", file(t, "badimport"), wasm.Limits{}, "imports ganglion_v1.format_disk"},
		{"start loops", file(t, "initloop"), wasm.Limits{}, "_initialize: wasm: it used up its fuel"},
		{"manifest", file(t, "badmanifest"), wasm.Limits{}, `name "a b"`},
		{"4 GiB of memory", file(t, "hugememory"), wasm.Limits{}, "memory"},
		{"limit", good, wasm.Limits{Memory: 1 << 40}, "limit memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := host(t, wasm.Fuel).Compile(t.Context(), tt.file, tt.l)
			if err == nil {
				m.Close()
				t.Fatal("it is taken")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

// Many lease at once; nobody gets another's instance, and all get theirs.
func TestPool(t *testing.T) {
	p := pool(t, host(t, wasm.Fuel), "guest", "", wasm.Limits{Instances: 3}, &house{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 300 {
				text := fmt.Sprintf("u%c%c", 'a'+g, 'a'+n%26)
				want := "replace payload=u" + strings.ToUpper(text[1:])
				if n%50 == 49 {
					text, want = "t", "error: wasm: it trapped: wasm error: unreachable"
				}
				if got := ask(t, p, text); got != want {
					t.Errorf("%s: %s", text, got)
				}
			}
		})
	}
	wg.Wait()
	if st := p.Stats(); st.Instances > 3 {
		t.Errorf("%+v", st)
	}
}

// A closed pool serves nobody, and Close waits for who has an instance.
func TestPoolClose(t *testing.T) {
	p := pool(t, host(t, wasm.Fuel), "guest", "", wasm.Limits{Instances: 1}, &house{})
	i, err := p.Lease(0)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error)
	go func() {
		_, err := p.Lease(0)
		refused <- err
	}()
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	if err := <-refused; !errors.Is(err, wasm.ErrClosed) {
		t.Errorf("%v, want %v", err, wasm.ErrClosed)
	}
	select {
	case <-closed:
		t.Fatal("closed though an instance is in use")
	default:
	}
	p.Release(i)
	<-closed
}

func TestCallAllocates(t *testing.T) {
	p := pool(t, host(t, wasm.Fuel), "guest", "", wasm.Limits{}, &house{})
	for _, payload := range []string{"p", "d", "b", "S"} {
		f := abi.Frame{Boundary: abi.Publish, Subject: []byte("t.a"), Payload: append([]byte(payload), make([]byte, 127)...)}
		var out wasm.Outcome
		n := testing.AllocsPerRun(200, func() {
			i, err := p.Lease(0)
			if err == nil {
				err = i.Call(&f, "A", &out)
			}
			if err != nil {
				t.Fatal(err)
			}
			p.Release(i)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", payload, n)
		}
	}
}

// FuzzModule has the host take whatever it is: never a panic, always an end.
func FuzzModule(f *testing.F) {
	for _, name := range []string{"guest", "nomarker", "initloop"} {
		f.Add(file(f, name), "p")
	}
	h := host(f, wasm.Fuel)
	f.Fuzz(func(t *testing.T, b []byte, payload string) {
		m, err := h.Compile(context.Background(), b, wasm.Limits{Fuel: 100_000, StartFuel: 100_000, Memory: 1 << 20, Instances: 1})
		if err != nil {
			return
		}
		defer m.Close()
		p, err := m.NewPool(context.Background(), nil, &house{})
		if err != nil {
			return
		}
		defer p.Close()
		i, err := p.Lease(0)
		if err != nil {
			return
		}
		var out wasm.Outcome
		fr := abi.Frame{Boundary: abi.Publish, Subject: []byte("t.a"), Payload: []byte(payload)}
		if err := i.Call(&fr, "", &out); err != nil {
			p.Fail(i)
			return
		}
		p.Release(i)
	})
}

func BenchmarkCall(b *testing.B) {
	for _, tt := range []struct{ name, config, payload string }{
		{"pass, subject", `{"want":"1"}`, "p"}, {"pass, payload", "", "p"}, {"sum, payload", "", "S"}, {"replace 256", "", "b"},
	} {
		for _, m := range []wasm.Metering{wasm.Fuel, wasm.None, wasm.Context} {
			b.Run(tt.name+"/"+string(m), func(b *testing.B) {
				p := pool(b, host(b, m), "guest", tt.config, wasm.Limits{}, &house{})
				f := abi.Frame{Boundary: abi.Publish, Subject: []byte("t.abc.def"), Payload: append([]byte(tt.payload), make([]byte, 127)...)}
				var out wasm.Outcome
				b.ReportAllocs()
				for b.Loop() {
					i, err := p.Lease(0)
					if err == nil {
						err = i.Call(&f, "A", &out)
					}
					if err != nil {
						b.Fatal(err)
					}
					p.Release(i)
				}
			})
		}
	}
}
