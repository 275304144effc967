package plugintest_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
	"ganglion/plugins/wasm"
)

const guest = "../wasm/testdata/guest.wasm"

func text(r plugintest.Result) string {
	if r.Err != nil {
		return fmt.Sprintf("%s error: %v", r.Verdict, r.Err)
	}
	switch r.Verdict {
	case abi.Reject:
		return fmt.Sprintf("reject %d %s", r.Code, r.Reason)
	case abi.Drop:
		return "drop" + r.Subject + r.Payload
	}
	return fmt.Sprintf("%s %s %s %q %s", r.Verdict, r.Subject, r.Reply, r.Headers, r.Payload)
}

func TestSend(t *testing.T) {
	p := plugintest.Load(t, guest, plugintest.Config{KV: true, Emit: []string{"out.>"}, Limits: wasm.Limits{Fuel: 1_000_000}})
	for _, tt := range []struct {
		m    plugintest.Message
		want string
	}{
		{plugintest.Message{Payload: "p"}, `pass t.a  [] p`},
		{plugintest.Message{Payload: "p", Reply: "r", Headers: []string{"A: 1", "A:2"}}, `pass t.a r ["A: 1" "A:2"] p`},
		{plugintest.Message{Payload: "d"}, "drop"},
		{plugintest.Message{Payload: "r"}, "reject 403 "},
		{plugintest.Message{Payload: "Rno"}, "reject 429 no"},
		{plugintest.Message{Payload: "uabc", Headers: []string{"A: 1"}}, `replace t.a  ["A: 1"] uABC`},
		{plugintest.Message{Payload: "Z"}, `replace t.z rep ["A: b"] zz`},
		{plugintest.Message{Payload: "h", Headers: []string{"C: d"}}, `replace t.a  ["A: b"] h`},
		{plugintest.Message{Payload: "H"}, `reject error: plugintest: the broker does not take the result: "not headers" are no headers`},
		{plugintest.Message{Payload: "st.b"}, `replace t.b  [] st.b`},
		{plugintest.Message{Payload: "su.b"}, `reject error: plugintest: the broker does not take the result: subject "u.b" is none that the manifest names (subjects, publish_to)`},
		{plugintest.Message{Payload: "su.b", Subject: "other"}, `replace u.b  [] su.b`},
		{plugintest.Message{Payload: "st..b"}, `reject error: plugintest: the broker does not take the result: "t..b" is no subject`},
		{plugintest.Message{Payload: "s$SYS.x"}, `reject error: plugintest: the broker does not take the result: subject "$SYS.x" belongs to the system`},
		{plugintest.Message{Payload: "st.b", Boundary: abi.Deliver}, `reject error: plugintest: the broker does not take the result: the subject can't be replaced at deliver`},
		{plugintest.Message{Payload: "uabc", Boundary: abi.Deliver}, `replace t.a  [] uABC`},
		{plugintest.Message{Boundary: abi.Subscribe, Subject: "t.no"}, `reject 403 `},
		{plugintest.Message{Payload: "n"}, "reject error: wasm: it reported a failure: ganglion_on_message returned -7"},
		{plugintest.Message{Payload: "t"}, "reject error: wasm: it trapped: wasm error: unreachable"},
		{plugintest.Message{Payload: "l"}, "reject error: wasm: it used up its fuel (1000000 units)"},
		{plugintest.Message{Payload: "p"}, `pass t.a  [] p`}, // another instance has taken the place
		{plugintest.Message{Subject: "t.*"}, `reject error: plugintest: invalid message: "t.*" is no subject at publish`},
		{plugintest.Message{Reply: "a b"}, `reject error: plugintest: invalid message: "a b" is no reply subject`},
		{plugintest.Message{Headers: []string{"A"}}, `reject error: plugintest: invalid message: header "A" is not of the form "Name: value"`},
		{plugintest.Message{Headers: []string{"A: \r\nB: c"}}, `reject error: plugintest: invalid message: header "A: \r\nB: c" is not of the form "Name: value"`},
		{plugintest.Message{Boundary: abi.Connect, Reply: "x"}, "reject error: plugintest: invalid message: there is no subject at connect"},
	} {
		if tt.m.Subject == "" && tt.m.Boundary != abi.Connect {
			tt.m.Subject = "t.a"
		}
		if got := text(p.Send(tt.m)); got != tt.want {
			t.Errorf("%+v:\n%s, want\n%s", tt.m, got, tt.want)
		}
	}
	if r := p.Connect(abi.Facts{User: "u"}); r.Verdict != abi.Pass || r.Bound {
		t.Errorf("connect: %+v", r)
	}
	if r := p.Subscribe("t.>", "q"); r.Verdict != abi.Pass || r.Bound {
		t.Errorf("subscribe: %+v", r)
	}
	if a, b := p.Publish("t.a", ""), p.Publish("u.a", ""); !a.Bound || b.Bound {
		t.Errorf("bound to t.a: %v, to u.a: %v", a.Bound, b.Bound)
	}
	if r := p.Deliver("t.a", "p", "A: 1"); r.Header("A") != "1" || r.Header("a") != "" {
		t.Errorf("%+v", r)
	}
	if err := p.Tick(time.Now()); err != nil {
		t.Error(err)
	}
}

// At some boundaries nothing can be replaced.
func TestJudge(t *testing.T) {
	out := abi.Result{Verdict: abi.Replace, Replaced: abi.ReplacedPayload, Payload: []byte("x")}
	for at, ok := range map[abi.Boundary]bool{abi.Publish: true, abi.Deliver: true, abi.LeafOut: true, abi.LeafIn: true, abi.Connect: false, abi.Subscribe: false} {
		if err := plugintest.Judge(&plugintest.Message{Boundary: at}, nil, &out); (err == nil) != ok || !ok && !errors.Is(err, plugintest.ErrRefused) {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestJudgeReply(t *testing.T) {
	for reply, ok := range map[string]bool{"": true, "a.b": true, "_INBOX.x": true, "a b": false, "a..b": false, "$SYS.x": false} {
		out := abi.Result{Verdict: abi.Replace, Replaced: abi.ReplacedReply, Reply: []byte(reply)}
		if err := plugintest.Judge(&plugintest.Message{Boundary: abi.Publish}, nil, &out); (err == nil) != ok {
			t.Errorf("%q: %v", reply, err)
		}
	}
}

// What the plugin calls is remembered, and denied when it may not.
func TestServices(t *testing.T) {
	p := plugintest.Load(t, guest, plugintest.Config{KV: true, Emit: []string{"out.>"}, Clock: true, Limits: wasm.Limits{Fuel: 10_000_000}})
	for _, payload := range []string{"E", "F", "C", "C", "N", "N", "T"} {
		r := p.Publish("t.a", payload)
		if r.Err != nil || r.Verdict == abi.Drop {
			t.Errorf("%s: %+v", payload, r)
		}
	}
	if e := p.Emitted(); len(e) != 1 || e[0].Subject != "out.x" || e[0].Payload != "E" || e[0].Hops != 1 || e[0].Facts.Account != "$G" {
		t.Errorf("emitted %+v", e)
	}
	if r := p.Send(plugintest.Message{Subject: "t.a", Payload: "E", Hops: 3}); r.Verdict != abi.Drop || len(p.Emitted()) != 1 {
		t.Errorf("an emit beyond the last hop: %+v", r)
	}
	if c := p.Counters(); c["seen"] != 2 || len(p.Gauges()) != 0 {
		t.Errorf("counted %v", c)
	}
	if v, ok := p.KV.Value("count"); v != "2" || !ok || fmt.Sprint(p.KV.Keys()) != "[count]" {
		t.Errorf("count is %q %v of %v", v, ok, p.KV.Keys())
	}
	p.KV.Put("count", "41")
	if r := p.Publish("t.a", "N"); r.Payload != "42" {
		t.Errorf("%+v", r)
	}
	if r := p.Publish("t.a", "m"); !errors.Is(r.Err, wasm.ErrFuel) {
		t.Errorf("%+v", r)
	}
	if l := p.Logs(); len(l) != 10_000 || l[0] != "INFO storm" {
		t.Errorf("%d lines", len(l))
	}

	no := plugintest.Load(t, guest, plugintest.Config{})
	for payload, want := range map[string]string{"E": "drop", "F": "pass t.a  [] F", "T": "drop", "N": "replace t.a  [] 0"} {
		if got := text(no.Publish("t.a", payload)); got != want {
			t.Errorf("%s without leave: %s, want %s", payload, got, want)
		}
	}
	if len(no.Emitted()) != 0 || len(no.KV.Keys()) != 0 {
		t.Errorf("%v %v", no.Emitted(), no.KV.Keys())
	}
}

// What the manifest wants is given when that is what is asked for.
func TestAsWanted(t *testing.T) {
	p := plugintest.Load(t, guest, plugintest.Config{AsWanted: true})
	for payload, want := range map[string]string{"E": "pass t.a  [] E", "T": "drop", "N": "replace t.a  [] 1", "t": "reject error: wasm: it trapped: wasm error: unreachable"} {
		if got := text(p.Publish("t.a", payload)); got != want {
			t.Errorf("%s: %s, want %s", payload, got, want)
		}
	}
	if len(p.Emitted()) != 1 {
		t.Errorf("emitted %v", p.Emitted())
	}
	p.Forget()
	if len(p.Emitted()) != 0 || len(p.KV.Keys()) != 1 {
		t.Errorf("after Forget: emitted %v, keys %v", p.Emitted(), p.KV.Keys())
	}
	d := plugintest.Load(t, guest, plugintest.Config{AsWanted: true, Discard: true})
	if r := d.Publish("t.a", "E"); r.Verdict != abi.Pass || len(d.Emitted()) != 0 {
		t.Errorf("%+v, emitted %v", r, d.Emitted())
	}
}

func TestKV(t *testing.T) {
	p := plugintest.Load(t, guest, plugintest.Config{KV: true})
	if code := p.KV.Put("", "x"); code != abi.ErrInvalid {
		t.Error(code)
	}
	if code := p.KV.Put(strings.Repeat("k", 257), "x"); code != abi.ErrTooLarge {
		t.Error(code)
	}
	big := strings.Repeat("x", 40_000)
	if code := p.KV.Put("a", big); code != 0 {
		t.Error(code)
	}
	if code := p.KV.Put("b", big); code != abi.ErrFull { // the manifest says 64 KiB
		t.Error(code)
	}
	if code := p.KV.Put("a", big[1:]); code != 0 {
		t.Error(code)
	}
	if v, _ := p.KV.Value("a"); len(v) != 39_999 {
		t.Error(len(v))
	}
}

// Values whose time is over are gone and make room.
func TestStore(t *testing.T) {
	k, s := plugintest.NewStore(300)
	if s.Set([]byte("a"), make([]byte, 100), 1000) != 0 || s.Add([]byte("n"), 2, 5000) != 2 || s.Add([]byte("n"), 2, 1) != 4 {
		t.Error("no room")
	}
	if s.Set([]byte("b"), make([]byte, 100), 0) != abi.ErrFull {
		t.Error("there is room")
	}
	var room [200]byte
	if n := s.Get([]byte("a"), room[:10]); n != 100 {
		t.Error(n)
	}
	k.Advance(time.Second)
	if n := s.Get([]byte("a"), room[:]); n != abi.NotFound {
		t.Error(n)
	}
	if s.Set([]byte("b"), make([]byte, 90), 0) != 0 || !s.Delete([]byte("b")) || s.Delete([]byte("b")) {
		t.Error("b")
	}
	k.Advance(4 * time.Second)
	if s.Add([]byte("n"), 1, 0) != 1 || fmt.Sprint(k.Keys()) != "[n]" {
		t.Error(k.Keys())
	}
}

func TestConfig(t *testing.T) {
	p := plugintest.Load(t, guest, plugintest.Config{JSON: `{"want":"1"}`})
	if r := p.Publish("t.a", "d"); r.Verdict != abi.Pass || p.Manifest().Name != "guest" || p.Pool().Want() != abi.WantSubject {
		t.Errorf("%+v", r)
	}
	b, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file []byte
		c    plugintest.Config
		want error
	}{
		{b, plugintest.Config{JSON: `{"want":"-1"}`}, wasm.ErrPlugin},
		{b, plugintest.Config{JSON: `[`}, nil},
		{b[:100], plugintest.Config{}, wasm.ErrModule},
		{nil, plugintest.Config{}, wasm.ErrModule},
	} {
		p, err := plugintest.Open(t.Context(), tt.file, tt.c)
		if err == nil {
			p.Close()
		}
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v", tt.c, err)
		}
	}
}

// fake is a test that Load fails.
type fake struct{ said string }

func (f *fake) Helper()        {}
func (f *fake) Cleanup(func()) {}
func (f *fake) Fatalf(format string, a ...any) {
	f.said = fmt.Sprintf(format, a...)
	panic(f)
}

func TestLoadFails(t *testing.T) {
	for file, want := range map[string]string{"nowhere.wasm": "nowhere.wasm: no such file", "plugintest_test.go": "not a plugin"} {
		f := &fake{}
		func() {
			defer func() { recover() }()
			plugintest.Load(f, file, plugintest.Config{})
		}()
		if !strings.Contains(f.said, want) {
			t.Errorf("%s: %q", file, f.said)
		}
	}
}
