package sdk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/sdk/sdktest"
)

// guests are the conformance guests by language. The Go one is built here, the
// others by make plugins, because they take more than Go to build.
func guests(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "go.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-o", file, "./testdata/conformance/go")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	list := map[string]string{"go": file}
	for _, lang := range []string{"c", "rust", "assemblyscript"} {
		list[lang] = filepath.Join("testdata", "conformance", lang, "conformance.wasm")
	}
	return list
}

func TestConformance(t *testing.T) {
	for lang, file := range guests(t) {
		t.Run(lang, func(t *testing.T) {
			p := sdktest.Compile(t, file)
			t.Run("golden", func(t *testing.T) { golden(t, p) })
			t.Run("commands", func(t *testing.T) { commands(t, p) })
			t.Run("life", func(t *testing.T) { life(t, p) })
			t.Run("manifest", func(t *testing.T) { manifest(t, p) })
		})
	}
}

// golden reads the frames that plugins/abi keeps.
func golden(t *testing.T, p *sdktest.Plugin) {
	frames, err := filepath.Glob("../abi/testdata/*.frame")
	if err != nil || len(frames) == 0 {
		t.Fatalf("no frames: %v", err)
	}
	g := p.Load(t, `{}`)
	for _, name := range frames {
		frame, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(name, ".frame") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.SendBytes(frame)
		if err != nil || r.Verdict != abi.Replace || r.Replaced != abi.ReplacedPayload || !bytes.Equal(r.Payload, want) {
			t.Errorf("%s: %v %v %q, want %q", name, err, r.Verdict, r.Payload, want)
		}
	}
}

// show writes what a guest decided, as the tables below have it.
func show(r abi.Result, err error) string {
	if errors.Is(err, abi.ErrFailed) {
		return "fail"
	}
	if err != nil {
		return err.Error()
	}
	s := r.Verdict.String()
	if r.Code > 0 {
		s += fmt.Sprint(" ", r.Code)
	}
	for i, p := range [][]byte{r.Subject, r.Reply, r.Headers, r.Payload} {
		if r.Replaced&(1<<i) != 0 {
			s += fmt.Sprintf(" %s=%s", [...]string{"subject", "reply", "headers", "payload"}[i], p)
		}
	}
	if len(r.Reason) > 0 {
		s += " " + string(r.Reason)
	}
	return s
}

const headers = "NATS/1.0\r\nUnit: C\r\nunit: K\r\nUnit: F\r\nEmpty:\r\nUnits:  many \r\n\r\n"

func commands(t *testing.T, p *sdktest.Plugin) {
	const config = `{"name":"straße","n":1.5,"list":[1,2]}`
	for _, tt := range []struct {
		subject, payload, want string
		deny                   int32
		after                  string // what the host says it was asked for
	}{
		{subject: "pass", want: "pass"},
		{subject: "drop", want: "drop"},
		{subject: "reject", payload: "too hot", want: "reject 422 too hot"},
		{subject: "reject", payload: strings.Repeat("long", 100), want: "reject 422 " + strings.Repeat("long", 64)},
		{subject: "reject.plain", want: "reject"},
		{subject: "fail", want: "fail"},
		{subject: "replace.subject", payload: "a.b", want: "replace subject=a.b"},
		{subject: "replace.reply", payload: "r.2", want: "replace reply=r.2"},
		{subject: "replace.reply", want: "replace reply="},
		{subject: "replace.headers", payload: "NATS/1.0\r\n\r\n", want: "replace headers=NATS/1.0\r\n\r\n"},
		{subject: "replace.headers", want: "replace headers="},
		{subject: "replace.payload", payload: "x\x00y", want: "replace payload=x\x00yx\x00y"},
		{subject: "replace.payload", payload: strings.Repeat("0123456789", 20_000), want: "replace payload=" + strings.Repeat("0123456789", 40_000)},
		{subject: "replace.payload", want: "replace payload="},
		{subject: "replace.inplace", payload: "Grüße 1", want: "replace payload=GRüßE 1"},
		{subject: "replace.all", want: "replace subject=new.subject reply=new.reply headers=NATS/1.0\r\nA: b\r\n\r\n payload=new"},
		{subject: "header", payload: "Unit", want: "replace payload=<C>"},
		{subject: "header", payload: "unit", want: "replace payload=<K>"},
		{subject: "header", payload: "Units", want: "replace payload=<many>"},
		{subject: "header", payload: "Empty", want: "replace payload=<>"},
		{subject: "header", payload: "NATS/1.0", want: "replace payload=<>"},
		{subject: "header", payload: "None", want: "replace payload=<>"},
		{subject: "header.set", payload: "kelvin", want: "replace headers=" + strings.Replace(headers, "Unit: C", "Unit: kelvin", 1)},
		{subject: "config", payload: "name", want: "replace payload=straße"},
		{subject: "config", payload: "n", want: "replace payload=1.5"},
		{subject: "config", payload: "list", want: "replace payload=[1,2]"},
		{subject: "config", payload: "other", want: "replace payload=none"},
		{subject: "config.raw", want: "replace payload=" + config},
		{subject: "log", payload: "größe", want: "pass", after: `["-4 größe" "0 größe" "4 größe" "8 größe"] map[] []`},
		{subject: "metric.add", payload: "m", want: "pass", after: `[] map[m:3] []`},
		{subject: "metric.set", payload: "m", want: "pass", after: `[] map[m:2.5] []`},
		{subject: "kv.get", payload: "there", want: "replace payload=5"},
		{subject: "kv.get", payload: "large", want: "replace payload=" + strings.Repeat("v", 2000)},
		{subject: "kv.get", payload: "none", want: "replace payload=error -1"},
		{subject: "kv.set", payload: "k=v=w", want: "replace payload=ok", after: `[] map[] [] k=v=w 1500`},
		{subject: "kv.set", payload: "k=v", deny: abi.ErrFull, want: "replace payload=error -5"},
		{subject: "kv.delete", payload: "there", want: "replace payload=1"},
		{subject: "kv.delete", payload: "none", want: "replace payload=0"},
		{subject: "kv.delete", payload: "none", deny: abi.ErrDenied, want: "replace payload=error -2"},
		{subject: "kv.add", payload: "there", want: "replace payload=12"},
		{subject: "kv.add", payload: "k", want: "replace payload=7", after: `[] map[] [] k=7 60000`},
		{subject: "kv.add", payload: "k", deny: abi.ErrTooLarge, want: "replace payload=error -3"},
		{subject: "emit", payload: "out.1", want: "replace payload=ok", after: `[] map[] [{"out.1" "r" "NATS/1.0\r\nX: y\r\n\r\n" "emitted"}]`},
		{subject: "emit", payload: "out.1", deny: abi.ErrInvalid, want: "replace payload=error -4"},
		{subject: "now", want: "replace payload=1700000000000000000"},
	} {
		t.Run(tt.subject+" "+tt.payload[:min(9, len(tt.payload))], func(t *testing.T) {
			g := p.Load(t, config)
			g.Deny = tt.deny
			g.KV["there"], g.KV["large"] = "5", strings.Repeat("v", 2000)
			for range 2 { // the second time nothing of the first may be left
				g.Log, g.Emitted = nil, nil
				clear(g.Metrics)
				delete(g.KV, "k")
				g.KV["there"] = "5"
				got := show(g.Send(abi.Frame{Boundary: abi.Publish, Subject: []byte("cmd." + tt.subject), Headers: []byte(headers), Payload: []byte(tt.payload)}))
				if got != tt.want {
					t.Fatalf("%.200q, want %.200q", got, tt.want)
				}
				after := fmt.Sprintf("%q %v %q", g.Log, g.Metrics, g.Emitted)
				if v, ok := g.KV["k"]; ok {
					after += fmt.Sprintf(" k=%s %d", v, g.TTL["k"])
				}
				if tt.after == "" {
					tt.after = "[] map[] []"
				}
				if after != tt.after {
					t.Fatalf("the host was asked for %s, want %s", after, tt.after)
				}
			}
		})
	}
}

// life is what isn't a message, and what is none.
func life(t *testing.T, p *sdktest.Plugin) {
	if _, err := p.Start(`{"fail":"yes"}`); err == nil || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("a failing configure says %v", err)
	}
	g := p.Load(t, `{}`)
	if g.Want != abi.WantAll {
		t.Errorf("wants %d", g.Want)
	}
	if err := g.Tick(42); err != nil || g.Metrics["tick"] != 42 {
		t.Errorf("tick: %v, %v", err, g.Metrics)
	}
	f := abi.Frame{Boundary: abi.Publish, Subject: []byte("a")}
	good := make([]byte, f.Size(abi.WantAll))
	f.Put(good, abi.WantAll)
	le := binary.LittleEndian
	for name, spoil := range map[string]func(b []byte) []byte{
		"short":            func(b []byte) []byte { return b[:63] },
		"empty":            func(b []byte) []byte { return nil },
		"version":          func(b []byte) []byte { b[0] = 2; return b },
		"length":           func(b []byte) []byte { le.PutUint32(b[4:], 64); return b },
		"part outside":     func(b []byte) []byte { le.PutUint32(b[12:], 2); return b },
		"part overflows":   func(b []byte) []byte { le.PutUint32(b[12:], 1<<32-1); return b },
		"offset overflows": func(b []byte) []byte { le.PutUint32(b[40:], 1<<32-8); le.PutUint32(b[44:], 16); return b },
	} {
		if got := show(g.SendBytes(spoil(slices.Clone(good)))); got != "fail" {
			t.Errorf("a frame that is none (%s): %s", name, got)
		}
	}
	// Ten thousand messages of all sizes don't take ever more memory.
	send := func() {
		for i := range 5000 {
			f := abi.Frame{Subject: []byte("cmd.replace.payload"), Payload: bytes.Repeat([]byte("x"), i*7%9000)}
			r, err := g.Send(f)
			if err != nil || len(r.Payload) != 2*len(f.Payload) {
				t.Fatalf("message %d: %v, %d bytes", i, err, len(r.Payload))
			}
		}
	}
	send()
	before := g.MemorySize()
	send()
	if after := g.MemorySize(); after > before {
		t.Errorf("memory grows from %d to %d", before, after)
	}
	if err := g.Close(); err != nil || !slices.Contains(g.Log, "0 closed") {
		t.Errorf("close: %v, log %q", err, g.Log)
	}
	if _, err := g.Send(abi.Frame{Subject: []byte("cmd.trap")}); err == nil || errors.Is(err, abi.ErrFailed) {
		t.Errorf("a trap returns %v", err)
	}
}

func manifest(t *testing.T, p *sdktest.Plugin) {
	m := p.Load(t, `{}`).Manifest
	const want = `{conformance 1 says "what" it \ sees [{publish [>] [new.>] 7} {connect [] [] 0}] [out.>] 4096 true 0}`
	if got := fmt.Sprint(*m); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
