package plugin

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func frames(t testing.TB) []string {
	t.Helper()
	list, err := filepath.Glob("../../abi/testdata/*.frame")
	if err != nil || len(list) == 0 {
		t.Fatalf("no frames: %v", err)
	}
	return list
}

// TestDecode reads the frames that the specification keeps.
func TestDecode(t *testing.T) {
	for _, file := range frames(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(file, ".frame") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		var m Message
		m.Reject(422, "of the message before")
		m.SetReply("of the message before")
		if !m.decode(b) {
			t.Errorf("%s is no frame", file)
		}
		got := fmt.Sprintf("boundary %d\nhops %d\nsubject %x\nreply %x\nheaders %x\npayload %x\nfacts %x\npresent %d\nsizes %d %d\n",
			m.Boundary, m.Hops, m.Subject, m.Reply, m.Headers, m.Payload, m.Facts, m.Present, m.HeadersSize, m.PayloadSize)
		if got != string(want) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
		if m.Replace() != Pass || m.reason != "" {
			t.Errorf("%s: something of the message before is left", file)
		}
	}
}

func TestEncode(t *testing.T) {
	// Parts are told apart by their length here.
	address := func(s string) uint32 { return uint32(len(s)) * 256 }
	for _, tt := range []struct {
		name   string
		decide func(m *Message) Verdict
		want   string
	}{
		{"pass", func(m *Message) Verdict { return Pass }, "0"},
		{"drop", func(m *Message) Verdict { return Drop }, "1"},
		{"reject", func(m *Message) Verdict { return m.Reject(0, "") }, "2"},
		{"nothing to replace", func(m *Message) Verdict { return m.Replace() }, "0"},
		{"set, but passed", func(m *Message) Verdict { m.SetReply("a"); return Pass }, "0"},
		{"fail", func(m *Message) Verdict { return Fail }, "255"},
		{"reject with a reason", func(m *Message) Verdict { return m.Reject(429, "abc") },
			"0200ad0100000000" + strings.Repeat("0", 64) + "0003000003000000"},
		{"long reason", func(m *Message) Verdict { return m.Reject(0, strings.Repeat("a", 257)) },
			"0200000000000000" + strings.Repeat("0", 64) + "0000010000010000"},
		{"replace payload", func(m *Message) Verdict { return m.ReplacePayload([]byte("ab")) },
			"0308000000000000" + strings.Repeat("0", 48) + "0002000002000000" + strings.Repeat("0", 16)},
		{"replace all", func(m *Message) Verdict {
			m.SetReply("ab")
			m.SetHeaders([]byte("abc"))
			m.SetPayload([]byte("abcd"))
			return m.ReplaceSubject("a")
		}, "030f000000000000" + "0001000001000000" + "0002000002000000" + "0003000003000000" + "0004000004000000" + strings.Repeat("0", 16)},
		{"take away", func(m *Message) Verdict { m.SetReply(""); m.SetHeaders(nil); return m.Replace() },
			"0306000000000000" + strings.Repeat("0", 80)},
	} {
		var m Message
		var b [resultSize]byte
		v := tt.decide(&m)
		got := fmt.Sprint(uint8(v))
		if m.encode(v, &b, address) {
			got = hex.EncodeToString(b[:])
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	const block = "NATS/1.0 503\r\nUnit: C\r\nUnit: K\r\nEmpty:\r\nUnits: \tmany \r\n\r\n"
	for name, want := range map[string]string{"Unit": "C", "unit": "", "Empty": "", "Units": "many", "NATS/1.0 503": "", "": "", "Unit: C": ""} {
		if got := (&Message{Headers: []byte(block)}).Header(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	for _, bad := range []string{"", "NATS/1.0", "NATS/1.0\r\n", "NATS/1.0\r\nUnit", "NATS/1.0\r\nUnit: C"} {
		if got := (&Message{Headers: []byte(bad)}).Header("Unit"); got != "" {
			t.Errorf("%q has a unit %q", bad, got)
		}
	}
	for _, tt := range []struct{ from, want string }{
		{"", "NATS/1.0\r\nUnit: F\r\nNew: x\r\n\r\n"},
		{block, strings.Replace(block, "Unit: C\r\n", "Unit: F\r\n", 1)[:len(block)-2] + "New: x\r\n\r\n"},
	} {
		m := &Message{Headers: []byte(tt.from)}
		m.SetHeader("Unit", "F")
		m.SetHeader("New", "x")
		if string(m.headers) != tt.want || m.Replace() != replace {
			t.Errorf("%q becomes %q, want %q", tt.from, m.headers, tt.want)
		}
	}
}

func TestManifest(t *testing.T) {
	p := Plugin{
		Name: "x", Version: "1", Description: "a \"b\" \\ \n ü",
		Bindings: []Binding{{Boundary: LeafOut, Subjects: []string{"a.*", "b.>"}, PublishTo: []string{"c"}, Order: 5}, {Boundary: Connect}},
		Emit:     []string{"e.>"}, KV: 1 << 40, Memory: 5, Clock: true,
	}
	var got, want any
	if err := json.Unmarshal(p.manifest(), &got); err != nil {
		t.Fatalf("%s: %v", p.manifest(), err)
	}
	if err := json.Unmarshal([]byte(`{"name":"x","version":"1","description":"a \"b\" \\ \n ü","bindings":[
		{"boundary":"leaf-out","subjects":["a.*","b.>"],"publish_to":["c"],"order":5},{"boundary":"connect"}],
		"emit":["e.>"],"kv":1099511627776,"memory":5,"clock":true}`), &want); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestRead is how values of unknown length are read.
func TestRead(t *testing.T) {
	for _, n := range []int{0, 127, 128, 129, 5000} {
		calls := 0
		b, err := read(func(out []byte) int32 {
			calls++
			if len(out) >= n {
				copy(out, strings.Repeat("x", n))
			}
			return int32(n)
		})
		if err != nil || string(b) != strings.Repeat("x", n) || calls > 2 {
			t.Errorf("%d bytes: got %d, %v, in %d calls", n, len(b), err, calls)
		}
	}
	if _, err := KVGet("x"); !errors.Is(err, ErrDenied) {
		t.Errorf("without a host: %v", err)
	}
	if s := ConfigString("x", "otherwise"); s != "otherwise" {
		t.Errorf("without a host: %q", s)
	}
}

func TestPassAllocates(t *testing.T) {
	b, err := os.ReadFile("../../abi/testdata/all.frame")
	if err != nil {
		t.Fatal(err)
	}
	var m Message
	var r [resultSize]byte
	address := func(string) uint32 { return 1 }
	n := testing.AllocsPerRun(100, func() {
		if !m.decode(b) || m.Header("Unit") != "C" || m.encode(Pass, &r, address) || !m.encode(m.ReplacePayload(m.Payload), &r, address) {
			t.Error("wrong")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range frames(f) {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 300)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if !m.decode(b) {
			return
		}
		if len(m.Payload) != int(binary.LittleEndian.Uint32(b[36:])) {
			t.Errorf("payload of %d bytes", len(m.Payload))
		}
		m.SetHeader("Unit", "x")
		// Only in a whole block a header can be found again.
		block := m.Headers
		if again := (&Message{Headers: m.headers}); len(block) == 0 || bytes.HasSuffix(block, []byte("\r\n\r\n")) {
			if got := again.Header("Unit"); got != "x" {
				t.Errorf("header %q in %q", got, m.headers)
			}
		}
	})
}
