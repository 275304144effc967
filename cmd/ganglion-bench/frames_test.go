package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// serverFrame encodes what a server sends: unmasked.
func serverFrame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return string(b) + payload
}

func binaryFrame(payload string) string { return serverFrame(bitFin|opBinary, payload) }

// deflated is a message as permessage-deflate has it.
func deflated(t *testing.T, payload string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// framedSink is a connection's way from bytes to counts.
type framedSink struct {
	*frames
	to sink
}

func (f framedSink) data(b []byte) error { return f.frames.data(b, f.to) }

func TestFramesCountExactly(t *testing.T) {
	const size = 17 // pieces of the stream in frames that fit no message
	many := strings.Repeat(testMsg, 20)
	var chopped, packed strings.Builder
	for rest := many; rest != ""; {
		k := min(size, len(rest))
		chopped.WriteString(binaryFrame(rest[:k]))
		packed.WriteString(serverFrame(bitFin|bitRSV1|opBinary, deflated(t, rest[:k])))
		rest = rest[k:]
	}
	zip := deflated(t, many)
	long := strings.Repeat(testMsg, 4000) // 80,000 bytes
	tests := []struct {
		name string
		in   string
		want seen
		err  string
	}{
		{"nothing", "", seen{}, ""},
		{"one", binaryFrame(testMsg), seen{messages: 1}, ""},
		{"text", serverFrame(bitFin|opText, testMsg), seen{messages: 1}, ""},
		{"length of two bytes", binaryFrame(many), seen{messages: 20}, ""},
		{"ops over frames", chopped.String(), seen{messages: 20}, ""},
		{"lines over frames", stream(binaryFrame("PO"), binaryFrame("NG\r"), binaryFrame("\nPING\r\n"+testMsg[:1]), binaryFrame(testMsg[1:])), seen{1, 1, 1}, ""},
		{"empty frames", stream(binaryFrame(""), binaryFrame(testMsg), binaryFrame("")), seen{messages: 1}, ""},
		{"fragments", stream(serverFrame(opBinary, testMsg[:3]), serverFrame(opContinue, ""), serverFrame(bitFin|opContinue, testMsg[3:])), seen{messages: 1}, ""},
		{"pong in fragments", stream(serverFrame(opBinary, testMsg[:3]), serverFrame(bitFin|opPong, "x"), serverFrame(bitFin|opContinue, testMsg[3:])), seen{messages: 1}, ""},
		{"unfinished header", binaryFrame(testMsg) + binaryFrame(many)[:3], seen{messages: 1}, ""},
		{"unfinished payload", binaryFrame(testMsg + testMsg)[:2+2*len(testMsg)-1], seen{messages: 1}, ""},
		{"compressed", serverFrame(bitFin|bitRSV1|opBinary, zip), seen{messages: 20}, ""},
		{"compressed twice", strings.Repeat(serverFrame(bitFin|bitRSV1|opBinary, zip), 2), seen{messages: 40}, ""},
		{"compressed and not", stream(serverFrame(bitFin|bitRSV1|opBinary, zip), binaryFrame("PONG\r\n"), serverFrame(bitFin|bitRSV1|opText, zip)), seen{40, 0, 1}, ""},
		{"compressed ops over messages", packed.String(), seen{messages: 20}, ""},
		{"compressed fragments", stream(serverFrame(bitRSV1|opBinary, zip[:5]), serverFrame(opContinue, zip[5:9]),
			serverFrame(bitFin|opPong, ""), serverFrame(bitFin|opContinue, zip[9:])), seen{messages: 20}, ""},
		{"compressed, last fragment empty", stream(serverFrame(bitRSV1|opBinary, zip), serverFrame(bitFin|opContinue, "")), seen{messages: 20}, ""},

		{"close", stream(binaryFrame(testMsg), serverFrame(bitFin|opClose, "\x03\xe8bye")), seen{}, `closed the WebSocket: 1000 "bye"`},
		{"close without a code", serverFrame(bitFin|opClose, ""), seen{}, "closed the WebSocket"},
		{"masked", "\x82\x81abcdx", seen{}, "masked frame"},
		{"reserved bit", serverFrame(bitFin|0x20|opBinary, "x"), seen{}, "reserved bits"},
		{"absurd", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", seen{}, "absurdly long"},
		{"ping", serverFrame(bitFin|opPing, ""), seen{}, "ping frame"},
		{"unknown opcode", serverFrame(bitFin|3, ""), seen{}, "unknown frame"},
		{"continuation of nothing", serverFrame(bitFin|opContinue, "x"), seen{}, "out-of-order"},
		{"no continuation", stream(serverFrame(opBinary, "MSG"), binaryFrame("x")), seen{}, "out-of-order"},
		{"compressed continuation", stream(serverFrame(opBinary, "MSG"), serverFrame(bitFin|bitRSV1|opContinue, "x")), seen{}, "compressed frame"},
		{"fragmented control", serverFrame(opPong, ""), seen{}, "control frame"},
		{"damaged", serverFrame(bitFin|bitRSV1|opBinary, "\xff\xff\xff"), seen{}, "inflate"},
		{"lost message", binaryFrame("MSG a.b 1 6\r\nabcdef\r\n" + testMsg), seen{}, "expected messages"},
	}
	check := func(t *testing.T, in string, want seen, wantErr string, size func() int) {
		t.Helper()
		var got seen
		c := &counter{control: got.control(), size: len(testMsg), head: []byte(testHead), add: func(n int) { got.messages += n }}
		err := feedPieces(framedSink{&frames{inflate: newInflater()}, c}, []byte(in), size)
		checkSeen(t, got, want, err, wantErr)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// In equal pieces, and in two that meet at every byte.
			for split := 1; split <= len(tt.in)+1; split++ {
				check(t, tt.in, tt.want, tt.err, func() int { return split })
				first := split
				check(t, tt.in, tt.want, tt.err, func() int { k := first; first = len(tt.in); return k })
			}
			rnd := rand.New(rand.NewPCG(1, 1))
			for range 50 {
				check(t, tt.in, tt.want, tt.err, func() int { return 1 + rnd.IntN(40) })
			}
		})
	}
	t.Run("length of eight bytes", func(t *testing.T) {
		t.Parallel()
		in := binaryFrame(testMsg) + binaryFrame(long) + binaryFrame(testMsg)
		for _, at := range []int{1, 20, 21, 22, 23, 24, 31, 32, 33, 60_000, len(in) - 22, len(in) - 1} {
			first := at
			check(t, in, seen{messages: 4002}, "", func() int { k := first; first = len(in); return k })
		}
	})
}

func TestCompressionNeedsConsent(t *testing.T) {
	t.Parallel()
	var got seen
	err := (&frames{}).data([]byte(serverFrame(bitFin|bitRSV1|opBinary, "x")), got.control())
	checkSeen(t, got, seen{}, err, "compressed frame")
}

// What is remembered counts as what is inflated.
func TestInflaterRemembers(t *testing.T) {
	t.Parallel()
	z := newInflater()
	const kinds = maxSeen + 10
	plain, packed := make([]string, kinds), make([]string, kinds)
	for i := range plain {
		plain[i] = fmt.Sprintf("PING %d\r\n", i)
		packed[i] = deflated(t, plain[i])
	}
	for range 3 {
		for i, want := range plain {
			for range 2 {
				got, err := z.message([]byte(packed[i]))
				if err != nil || string(got) != want {
					t.Fatalf("%q, %v, want %q", got, err, want)
				}
			}
		}
	}
	if z.done+z.reused != 6*kinds || z.reused < 3*kinds || len(z.seen) > maxSeen {
		t.Fatalf("%d inflated, %d reused, %d remembered", z.done, z.reused, len(z.seen))
	}
}

// unframe decodes client frames, for the tests of what is sent.
func unframe(t *testing.T, b []byte) (payloads []string) {
	t.Helper()
	for len(b) > 0 {
		if b[0] != bitFin|opBinary || b[1]&bitMask == 0 {
			t.Fatalf("frame begins % x", b[:2])
		}
		at, n := headLen(b[1]), int(b[1]&^bitMask)
		switch at {
		case 4:
			n = int(binary.BigEndian.Uint16(b[2:]))
		case 10:
			n = int(binary.BigEndian.Uint64(b[2:]))
		}
		key := b[at : at+4]
		p := bytes.Clone(b[at+4 : at+4+n])
		for i := range p {
			p[i] ^= key[i%4]
		}
		if bytes.IndexByte(key, 0) >= 0 {
			t.Fatalf("key % x spares servers work", key)
		}
		payloads = append(payloads, string(p))
		b = b[at+4+n:]
	}
	return payloads
}

func TestEncodeFrames(t *testing.T) {
	t.Parallel()
	for _, size := range []int{16, 128, 16 << 10, 100 << 10} {
		c := chunkOf("a.b", size)
		op := len(c.b) / c.n
		if got := (transport{secure: true}).encode(c); !bytes.Equal(got.b, c.b) {
			t.Errorf("%d B: a chunk without WebSocket was changed", size)
		}
		for _, single := range []bool{false, true} {
			got := transport{websocket: true, single: single}.encode(c)
			frames := unframe(t, got.b)
			if got.n != c.n || strings.Join(frames, "") != string(c.b) {
				t.Errorf("%d B, single %t: other content", size, single)
			}
			if single && len(frames) != c.n {
				t.Errorf("%d B: %d frames for %d ops", size, len(frames), c.n)
			}
			for _, f := range frames {
				if len(f)%op != 0 || !single && len(f) > max(op, frameBytes) {
					t.Errorf("%d B: a frame of %d bytes, ops have %d", size, len(f), op)
				}
			}
		}
	}
}

func TestMaskKeys(t *testing.T) {
	t.Parallel()
	for i := range 100_000 {
		if k := maskKey(i); bytes.IndexByte(k[:], 0) >= 0 {
			t.Fatalf("key %d is % x", i, k)
		}
	}
}

func TestCheckUpgrade(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nSec-WebSocket-Accept: jPFiAszr8T4Lo4H90X+dwAdR10U="
	const ext = "\r\nSec-WebSocket-Extensions: permessage-deflate"
	tests := []struct {
		answer  string
		deflate bool
		err     string
	}{
		{ok, false, ""},
		{ok + ext + "; server_no_context_takeover; client_no_context_takeover", true, ""},
		{ok, true, "declined"},
		{ok + ext, true, "context takeover"},
		{ok + ext, false, "nobody offered"},
		{"HTTP/1.1 400 Bad Request", false, "refused"},
		{"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x", false, "Sec-WebSocket-Accept"},
	}
	for _, tt := range tests {
		err := checkUpgrade(tt.answer, tt.deflate)
		checkSeen(t, seen{}, seen{}, err, tt.err)
	}
}

func TestFeedMessages(t *testing.T) {
	t.Parallel()
	feed := feedMessages(feedChoice)
	for i, m := range feed {
		head, body, _ := strings.Cut(string(m), "\r\n")
		if head != fmt.Sprintf("PUB %s %d", feedSubject, feedBytes) || len(body) != feedBytes+2 {
			t.Fatalf("message %d: %q, %d bytes", i, head, len(body)-2)
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("message %d is no JSON: %s", i, body)
		}
		if i > 0 && bytes.Equal(m, feed[i-1]) {
			t.Fatalf("message %d is the one before", i)
		}
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	one := binaryFrame(strings.Repeat(testMsg, 1000))
	in := []byte(strings.Repeat(one, 10) + one[:10])
	rest := []byte(one[10:])
	c := &counter{control: (&seen{}).control(), size: len(testMsg), head: []byte(testHead), add: func(int) {}}
	f := &frames{}
	if n := testing.AllocsPerRun(100, func() {
		if f.data(in, c) != nil || f.data(rest, c) != nil {
			t.Fatal("lost")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
