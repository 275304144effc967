package websocket

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// frame returns a client's frame: masked, with the given first byte.
func frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, bitMask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bitMask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bitMask|127), uint64(n))
	}
	key := [4]byte{0x12, 0xf4, 0x56, byte(len(payload)) | 1}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i&3])
	}
	return b
}

// deflated returns p as a client compresses it.
func deflated(p []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.DefaultCompression)
	w.Write(p)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// feed gives the pieces to d as a reader does, and returns the stream, the
// replies and the error.
func feed(d *decoder, pieces ...[]byte) (stream, replies []byte, err error) {
	for _, p := range pieces {
		in := bytes.Clone(p)
		for {
			out, rest, reply, err := d.decode(in)
			stream = append(stream, out...)
			replies = append(replies, reply...)
			if err != nil {
				return stream, replies, err
			}
			if len(out) == 0 && len(rest) == 0 {
				break
			}
			in = rest
		}
	}
	return stream, replies, nil
}

// limit is the largest compressed message where there may be any.
func limit(packs bool) int {
	if packs {
		return 1 << 20
	}
	return 0
}

func join(bs ...[]byte) []byte { return bytes.Join(bs, nil) }

func TestDecode(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	long := []byte(strings.Repeat("x", 200))
	const bin, text, cont, ping, pong, bye = bitFin | opBinary, bitFin | opText, bitFin | opContinuation, bitFin | opPing, bitFin | opPong, bitFin | opClose
	for _, c := range []struct {
		name   string
		in     []byte
		packs  bool
		stream []byte
		reply  []byte
		err    error
	}{
		{name: "binary", in: frame(bin, []byte("PING\r\n")), stream: []byte("PING\r\n")},
		{name: "text", in: frame(text, []byte("PING\r\n")), stream: []byte("PING\r\n")},
		{name: "empty", in: frame(bin, nil)},
		{name: "two frames", in: join(frame(bin, []byte("PI")), frame(bin, long)), stream: join([]byte("PI"), long)},
		{name: "16 and 64 bit lengths", in: join(frame(bin, long), frame(bin, big)), stream: join(long, big)},
		{name: "fragments", in: join(frame(opBinary, []byte("a")), frame(opContinuation, []byte("b")), frame(cont, []byte("c")), frame(bin, []byte("d"))), stream: []byte("abcd")},
		{name: "ping between fragments", in: join(frame(opText, []byte("a")), frame(ping, []byte("hi")), frame(cont, []byte("b"))), stream: []byte("ab"), reply: []byte("\x8a\x02hi")},
		{name: "pong", in: join(frame(pong, []byte("x")), frame(bin, []byte("a"))), stream: []byte("a")},
		{name: "close", in: join(frame(bin, []byte("a")), frame(bye, []byte("\x03\xe8bye")), frame(bin, []byte("b"))), stream: []byte("a"), reply: []byte("\x88\x05\x03\xe8bye"), err: io.EOF},
		{name: "close without code", in: frame(bye, nil), reply: []byte("\x88\x00"), err: io.EOF},
		{name: "compressed", packs: true, in: join(frame(bin|bitRSV1, deflated(long)), frame(bin, []byte("plain")), frame(text|bitRSV1, deflated(big))), stream: join(long, []byte("plain"), big)},
		{name: "compressed behind plain", packs: true, in: join(frame(bin, []byte("plain")), frame(bin|bitRSV1, deflated(long)), frame(bin|bitRSV1, deflated(nil)), frame(bin, []byte("end"))), stream: join([]byte("plain"), long, []byte("end"))},
		{name: "compressed fragments", packs: true, in: join(frame(opBinary|bitRSV1, deflated(long)[:5]), frame(ping, nil), frame(cont, deflated(long)[5:])), stream: long, reply: []byte("\x8a\x00")},
		{name: "unmasked", in: []byte{bin, 1, 'x'}, err: errMaskMissing},
		{name: "unmasked behind a good one", in: join(frame(bin, []byte("a")), []byte{bin, 1, 'x', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), stream: []byte("a"), err: errMaskMissing},
		{name: "reserved bits", in: frame(bin|0x20, nil), err: errReserved},
		{name: "unknown opcode", in: frame(bitFin|3, nil), err: errOpcode},
		{name: "unknown control", in: frame(bitFin|11, nil), err: errOpcode},
		{name: "long control", in: frame(ping, make([]byte, 126)), err: errControl},
		{name: "fragmented control", in: frame(opPing, nil), err: errControl},
		{name: "compressed control", packs: true, in: frame(ping|bitRSV1, nil), err: errControl},
		{name: "continuation of nothing", in: frame(cont, nil), err: errFragment},
		{name: "message in a message", in: join(frame(opBinary, nil), frame(bin, nil)), err: errFragment},
		{name: "compressed continuation", packs: true, in: join(frame(opBinary, nil), frame(cont|bitRSV1, nil)), err: errFragment},
		{name: "length of 2^63", in: []byte{bin, bitMask | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, err: errLength},
		{name: "compressed, not negotiated", in: frame(bin|bitRSV1, deflated(long)), err: errCompressed},
		{name: "garbage deflate", packs: true, in: frame(bin|bitRSV1, []byte{0xff, 0xff, 0xff}), err: errInflate},
		{name: "compressed message too large", packs: true, in: join(frame(opBinary|bitRSV1, make([]byte, limit(true))), frame(cont, []byte("x"))), err: errTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := func(how string, pieces ...[]byte) {
				t.Helper()
				d := &decoder{maxPacked: limit(c.packs)}
				stream, reply, err := feed(d, pieces...)
				if !bytes.Equal(stream, c.stream) || !bytes.Equal(reply, c.reply) || !errors.Is(err, c.err) {
					t.Fatalf("%s: stream of %d bytes, reply %q, error %v; want %d bytes, %q, %v", how, len(stream), reply, err, len(c.stream), c.reply, c.err)
				}
				if d.inflate != nil && d.inflate.ready {
					t.Fatalf("%s: an inflater is still held", how)
				}
			}
			check("whole", c.in)
			for i := 1; i < min(len(c.in), 400) && len(c.in) < 200_000; i++ {
				check("split", c.in[:i], c.in[i:])
			}
			if len(c.in) < 1000 {
				single := make([][]byte, len(c.in))
				for i := range c.in {
					single[i] = c.in[i : i+1]
				}
				check("byte by byte", single...)
			}
		})
	}
}

// A small compressed message that inflates to much is handed on in pieces.
func TestCompressionBomb(t *testing.T) {
	const size = 8 << 20
	in := frame(bitFin|opBinary|bitRSV1, deflated(make([]byte, size)))
	d := &decoder{maxPacked: limit(true)}
	total := 0
	for {
		out, rest, _, err := d.decode(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > inflateChunk {
			t.Fatalf("%d bytes at once", len(out))
		}
		total += len(out)
		if in = rest; len(out) == 0 && len(rest) == 0 {
			break
		}
	}
	if total != size {
		t.Fatalf("%d bytes, want %d", total, size)
	}
}

func TestUnmaskOverlapping(t *testing.T) {
	for n := range 200 {
		for gap := range 40 {
			src := make([]byte, gap+n)
			for i := range src {
				src[i] = byte(rand.Uint32())
			}
			want := make([]byte, n)
			key := uint32(0x9f3712a1)
			for i := range want {
				want[i] = src[gap+i] ^ byte(key>>(8*(i&3)))
			}
			buf := bytes.Clone(src)
			unmask(buf[:n], buf[gap:], key)
			if !bytes.Equal(buf[:n], want) {
				t.Fatalf("%d bytes moved by %d", n, gap)
			}
		}
	}
}

// Decoding frames of any split gives the stream that a simple decoder finds.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x82\x86\x01\x02\x03\x04QKMC\x0c\x0e"), uint8(3), true)
	f.Add(join(frame(opBinary, []byte("a")), frame(bitFin|opPing, []byte("b")), frame(bitFin, []byte("c"))), uint8(7), false)
	f.Add(frame(bitFin|opBinary|bitRSV1, deflated([]byte("PUB a 1\r\nx\r\n"))), uint8(1), true)
	f.Add(frame(bitFin|opClose, []byte{3, 0xe8}), uint8(2), false)
	f.Fuzz(func(t *testing.T, in []byte, step uint8, packs bool) {
		one := &decoder{maxPacked: limit(packs)}
		whole, replies, err := feed(one, in)
		var pieces [][]byte
		for rest := in; len(rest) > 0; {
			n := min(int(step%31)+1, len(rest))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		two := &decoder{maxPacked: limit(packs)}
		split, replies2, err2 := feed(two, pieces...)
		if !bytes.Equal(whole, split) || !bytes.Equal(replies, replies2) || !errors.Is(err2, err) {
			t.Fatalf("whole: %q %q %v\nsplit: %q %q %v", whole, replies, err, split, replies2, err2)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []int{16, 128, 1024, 16384} {
		f := frame(bitFin|opBinary, make([]byte, size))
		src := bytes.Repeat(f, max(1, 65536/len(f)))
		n := len(src) / len(f)
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			buf := make([]byte, len(src))
			d := &decoder{}
			b.SetBytes(int64(size))
			for i := 0; i < b.N; i += n {
				copy(buf, src)
				d.decode(buf)
			}
		})
	}
}
