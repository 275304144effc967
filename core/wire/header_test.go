package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		name, in string
		ok       bool
		code     int
		text     string
		fields   []Field
	}{
		{"empty", "NATS/1.0\r\n\r\n", true, 0, "", nil},
		{"status", "NATS/1.0 503\r\n\r\n", true, 503, "", nil},
		{"status and text", "NATS/1.0 100 Idle Heartbeat\r\n\r\n", true, 100, "Idle Heartbeat", nil},
		{"fields", "NATS/1.0\r\nA: 1\r\na:2\r\nA: 3\r\n\r\n", true, 0, "", []Field{{"A", "1"}, {"a", "2"}, {"A", "3"}}},
		{"no version", "A: 1\r\n\r\n", false, 0, "", nil},
		{"no end", "NATS/1.0\r\nA: 1\r\n", false, 0, "", nil},
		{"no colon", "NATS/1.0\r\nA\r\n\r\n", false, 0, "", nil},
		{"no name", "NATS/1.0\r\n: 1\r\n\r\n", false, 0, "", nil},
		{"bad status", "NATS/1.0 x\r\n\r\n", false, 0, "", nil},
		{"nothing", "", false, 0, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := ParseHeader([]byte(c.in))
			if (err == nil) != c.ok {
				t.Fatalf("err %v", err)
			}
			if !c.ok {
				return
			}
			if h.Code != c.code || h.Description != c.text || len(h.Fields) != len(c.fields) {
				t.Fatalf("got %+v", h)
			}
			for i, f := range c.fields {
				if h.Fields[i] != f {
					t.Fatalf("field %d: %v", i, h.Fields[i])
				}
			}
		})
	}
}

func TestHeaderValue(t *testing.T) {
	h := []byte("NATS/1.0\r\nNats-Msg-Id: x y \r\nB:2\r\n\r\n")
	if v := HeaderValue(h, "Nats-Msg-Id"); string(v) != "x y" {
		t.Fatalf("%q", v)
	}
	if v := HeaderValue(h, "B"); string(v) != "2" {
		t.Fatalf("%q", v)
	}
	if v := HeaderValue(h, "C"); v != nil {
		t.Fatalf("%q", v)
	}
}

func TestNoResponders(t *testing.T) {
	m := Msg{Subject: []byte("r.1"), Data: AppendNoResponders(nil, []byte("nobody"))}
	m.HdrLen = len(m.Data)
	want := "HMSG r.1 9 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n"
	if got := string(AppendMsg(nil, &m, "9", true)); got != want {
		t.Fatalf("got %q", got)
	}
}

// FuzzHeader checks that what parses is written and parsed back to the same.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"NATS/1.0\r\n\r\n", "NATS/1.0 503 No Responders\r\nA: b\r\n\r\n", "NATS/1.0\r\nA:\r\nB: c:d\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		HeaderValue(in, "A")
		h, err := ParseHeader(in)
		if err != nil {
			return
		}
		out := h.Append(nil)
		again, err := ParseHeader(out)
		if err != nil {
			t.Fatalf("%q -> %q: %v", in, out, err)
		}
		if !bytes.Equal(again.Append(nil), out) {
			t.Fatalf("%q is not stable", out)
		}
	})
}

func TestInfo(t *testing.T) {
	i := Info{ServerID: "N", ServerName: "n", Version: Version, Proto: 1, Go: "go1", Host: "h", Port: 1, Headers: true, MaxPayload: 5}
	line := string(i.Append(nil))
	if !strings.HasPrefix(line, `INFO {"server_id":"N","server_name":"n","version":"2.15.2","proto":1,"go":"go1","host":"h","port":1,"headers":true,"max_payload":5`) ||
		!strings.HasSuffix(line, "} \r\n") {
		t.Fatalf("%q", line)
	}
	var back Info
	if err := json.Unmarshal([]byte(line[5:]), &back); err != nil {
		t.Fatal(err)
	}
}

func TestParseConnect(t *testing.T) {
	o, err := ParseConnect([]byte(`{"name":"x","future":1}`))
	if err != nil || !o.Verbose || !o.Echo || o.Name != "x" {
		t.Fatalf("%+v, %v", o, err)
	}
	for _, bad := range []string{``, `{`, `{"verbose":1}`, `{"protocol":"1"}`, `[]`} {
		if _, err := ParseConnect([]byte(bad)); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
