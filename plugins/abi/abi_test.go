package abi_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ganglion/plugins/abi"
)

var update = flag.Bool("update", false, "write testdata")

// golden are the frames in testdata, which every SDK reads as described beside
// them.
var golden = []struct {
	name  string
	want  abi.Want
	frame abi.Frame
}{
	{"empty", abi.WantAll, abi.Frame{Boundary: abi.Publish, Subject: []byte("a")}},
	{"all", abi.WantAll, abi.Frame{Boundary: abi.Publish, Hops: 3, Subject: []byte("plant.7.temp"), Reply: []byte("_INBOX.x.1"),
		Headers: []byte("NATS/1.0\r\nUnit: C\r\nUnit: K\r\n\r\n"), Payload: []byte(`{"t":21.5}`), Facts: []byte(`{"cid":5,"account":"A","user":"ann"}`)}},
	{"subject_only", abi.WantSubject, abi.Frame{Boundary: abi.Publish, Subject: []byte("plant.7.temp"), Reply: []byte("r"), Headers: []byte("NATS/1.0\r\n\r\n"), Payload: []byte("12345")}},
	{"headers_only", abi.WantHeaders, abi.Frame{Boundary: abi.Deliver, Subject: []byte("a.b"), Headers: []byte("NATS/1.0\r\nA: b\r\n\r\n"), Payload: []byte("x")}},
	{"nothing", 0, abi.Frame{Boundary: abi.LeafOut, Subject: []byte("a.b"), Payload: []byte("x")}},
	{"binary", abi.WantAll, abi.Frame{Boundary: abi.LeafIn, Subject: []byte("b"), Payload: []byte{0, 1, 2, 255, 254, '\r', '\n'}}},
	{"unicode", abi.WantAll, abi.Frame{Boundary: abi.Publish, Subject: []byte("straße.東京"), Payload: []byte("grüße")}},
	{"connect", abi.WantAll, abi.Frame{Boundary: abi.Connect, Facts: []byte(`{"cid":9,"account":"A","lang":"go"}`)}},
	{"subscribe", abi.WantAll, abi.Frame{Boundary: abi.Subscribe, Subject: []byte("a.*.>"), Reply: []byte("workers"), Facts: []byte(`{"account":"A"}`)}},
	{"large", abi.WantAll, abi.Frame{Boundary: abi.Publish, Subject: []byte("a"), Payload: bytes.Repeat([]byte("0123456789abcdef"), 512)}},
}

// describe is what an SDK's conformance guest says of a frame.
func describe(b []byte) string {
	f, err := abi.ParseFrame(b)
	if err != nil {
		return err.Error()
	}
	le := binary.LittleEndian
	return fmt.Sprintf("boundary %d\nhops %d\nsubject %x\nreply %x\nheaders %x\npayload %x\nfacts %x\npresent %d\nsizes %d %d\n",
		f.Boundary, f.Hops, f.Subject, f.Reply, f.Headers, f.Payload, f.Facts, b[3], le.Uint32(b[48:]), le.Uint32(b[52:]))
}

func TestGolden(t *testing.T) {
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			b := bytes.Repeat([]byte{0xAA}, g.frame.Size(g.want))
			if n := g.frame.Put(b, g.want); n != len(b) {
				t.Fatalf("wrote %d bytes, Size is %d", n, len(b))
			}
			for file, got := range map[string][]byte{g.name + ".frame": b, g.name + ".txt": []byte(describe(b))} {
				file = filepath.Join("testdata", file)
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s is %q, want %q", file, got, want)
				}
			}
		})
	}
}

func TestPutAllocates(t *testing.T) {
	f := golden[1].frame
	b := make([]byte, f.Size(abi.WantAll))
	if n := testing.AllocsPerRun(100, func() { f.Put(b, abi.WantAll) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// result makes a result at ptr of memory.
func result(memory []byte, ptr uint32, verdict, replaced byte, code uint16, parts ...[2]uint32) uint64 {
	le := binary.LittleEndian
	b := memory[ptr:]
	b[0], b[1] = verdict, replaced
	le.PutUint16(b[2:], code)
	for i, p := range parts {
		le.PutUint32(b[8+8*i:], p[0])
		le.PutUint32(b[12+8*i:], p[1])
	}
	return abi.Pack(ptr, abi.ResultSize)
}

func TestParseResult(t *testing.T) {
	memory := make([]byte, 1024)
	copy(memory[512:], "subjectreplyheaderspayloadreason")
	parts := [][2]uint32{{512, 7}, {519, 5}, {524, 7}, {531, 7}, {538, 6}}
	with := func(i int, p [2]uint32) [][2]uint32 {
		list := append([][2]uint32(nil), parts...)
		list[i] = p
		return list
	}
	for _, tt := range []struct {
		name string
		v    func() uint64
		want string
		err  error
	}{
		{"pass", func() uint64 { return 0 }, "pass", nil},
		{"drop", func() uint64 { return 1 }, "drop", nil},
		{"reject", func() uint64 { return 2 }, "reject", nil},
		{"failed", func() uint64 { return 1<<64 - 1 }, "", abi.ErrFailed},
		{"no result", func() uint64 { return 3 }, "", abi.ErrResult},
		{"replace all", func() uint64 { return result(memory, 8, 3, 15, 0, parts...) }, "replace subject reply headers payload", nil},
		{"replace payload", func() uint64 { return result(memory, 8, 3, 8, 0, parts...) }, "replace payload", nil},
		{"reject with a reason", func() uint64 { return result(memory, 8, 2, 0, 429, parts...) }, "reject 429 reason", nil},
		{"empty payload", func() uint64 { return result(memory, 8, 3, 8, 0, with(3, [2]uint32{1024, 0})...) }, "replace", nil},
		{"short", func() uint64 { return result(memory, 8, 3, 8, 0, parts...) - 1 }, "", abi.ErrResult},
		{"outside", func() uint64 { return abi.Pack(1024-47, 48) }, "", abi.ErrResult},
		{"far outside", func() uint64 { return abi.Pack(1<<31-1, 48) }, "", abi.ErrResult},
		{"pass by result", func() uint64 { return result(memory, 8, 0, 0, 0, parts...) }, "", abi.ErrResult},
		{"verdict 4", func() uint64 { return result(memory, 8, 4, 0, 0, parts...) }, "", abi.ErrResult},
		{"payload outside", func() uint64 { return result(memory, 8, 3, 8, 0, with(3, [2]uint32{1020, 5})...) }, "", abi.ErrResult},
		{"payload overflows", func() uint64 { return result(memory, 8, 3, 8, 0, with(3, [2]uint32{1<<32 - 1, 1<<32 - 1})...) }, "", abi.ErrResult},
		{"a part not replaced is outside", func() uint64 { return result(memory, 8, 3, 8, 0, with(0, [2]uint32{4096, 5})...) }, "replace payload", nil},
		{"long reason", func() uint64 { return result(memory, 8, 2, 0, 0, with(4, [2]uint32{0, 257})...) }, "", abi.ErrResult},
		{"code", func() uint64 { return result(memory, 8, 2, 0, 99, parts...) }, "", abi.ErrResult},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r abi.Result
			err := abi.ParseResult(tt.v(), memory, &r)
			if err != tt.err {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			got := r.Verdict.String()
			if r.Code > 0 {
				got += fmt.Sprint(" ", r.Code)
			}
			for _, p := range [][]byte{r.Subject, r.Reply, r.Headers, r.Payload, r.Reason} {
				if len(p) > 0 {
					got += " " + string(p)
				}
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseManifest(t *testing.T) {
	good := `{"name":"x","version":"1","bindings":[{"boundary":"publish","subjects":["a.>"],"order":5}],"later":[1]}`
	m, err := abi.ParseManifest([]byte(good))
	if err != nil || m.Name != "x" || len(m.Bindings) != 1 || m.Bindings[0].Order != 5 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range []string{
		``, `[]`, `{"name":""}`, `{"name":"a b"}`, `{"name":"../x"}`, `{"name":"x"} {}`, `{"name":"x","kv":-1}`,
		`{"name":"x","bindings":[{"boundary":"moon","subjects":["a"]}]}`,
		`{"name":"x","bindings":[{"boundary":"publish"}]}`,
		`{"name":"x","bindings":[{"boundary":"publish","subjects":["a"],"order":1001}]}`,
		`{"name":"x","bindings":[{"boundary":"publish","subjects":"a"}]}`,
	} {
		if m, err := abi.ParseManifest([]byte(bad)); err == nil {
			t.Errorf("%s is taken: %+v", bad, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, g := range golden {
		b := make([]byte, g.frame.Size(g.want))
		g.frame.Put(b, g.want)
		f.Add(b[:min(len(b), 300)], uint64(3))
	}
	memory := make([]byte, 64)
	f.Add(memory, result(memory, 8, 3, 15, 0, [2]uint32{0, 4}, [2]uint32{60, 4}))
	f.Fuzz(func(t *testing.T, b []byte, v uint64) {
		var r abi.Result
		if abi.ParseResult(v, b, &r) == nil && r.Verdict > abi.Replace {
			t.Errorf("verdict %d", r.Verdict)
		}
		fr, err := abi.ParseFrame(b)
		if err != nil {
			return
		}
		again := make([]byte, fr.Size(abi.WantAll))
		fr.Put(again, abi.WantAll)
		back, err := abi.ParseFrame(again)
		if err != nil || !bytes.Equal(back.Payload, fr.Payload) || !bytes.Equal(back.Subject, fr.Subject) {
			t.Errorf("%x came back as %x: %v", b, again, err)
		}
		abi.ParseManifest(b)
	})
}
