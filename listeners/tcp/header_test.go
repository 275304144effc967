package tcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 returns a header of version 2.
func v2(command, family byte, body string) string {
	return signature + string([]byte{0x20 | command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

const (
	local4 = "\xcb\x00\x71\x07\x0a\x00\x00\x01\x04\xd2\x10\x7e" // 203.0.113.7:1234 to 10.0.0.1:4222
	local6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x04\xd2\x10\x7e"
)

// headers are headers and what is made of them; what nats-server 2.15.2 does with
// them stands beside those that it treats otherwise.
var headers = []struct {
	name, in    string
	remote, err string // no remote and no error: the connection's own addresses
}{
	{"v1 TCP4", "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\r\n", "203.0.113.7:1234", ""},
	{"v1 TCP6", "PROXY TCP6 2001:db8::7 2001:db8::1 1234 4222\r\n", "[2001:db8::7]:1234", ""},
	{"v1 longest", "PROXY TCP6 " + strings.Repeat("ffff:", 7) + "ffff " + strings.Repeat("ffff:", 7) + "ffff 65535 65535\r\n", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", ""},
	{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", "", ""},
	{"v1 UNKNOWN with addresses", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", ""},
	{"v1 107 bytes", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", "", ""},
	{"v1 108 bytes", "PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n", "", "does not end"},
	{"v1 no end", "PROXY TCP4 " + strings.Repeat("1", 200), "", "does not end"},
	{"v1 address", "PROXY TCP4 203.0.113.777 10.0.0.1 1234 4222\r\n", "", "bad PROXY header"},
	{"v1 other family", "PROXY TCP4 2001:db8::7 2001:db8::1 1234 4222\r\n", "", "bad PROXY header"},
	{"v1 port", "PROXY TCP4 203.0.113.7 10.0.0.1 99999 4222\r\n", "", "bad PROXY header"},
	{"v1 port 080", "PROXY TCP4 203.0.113.7 10.0.0.1 080 4222\r\n", "", "bad PROXY header"},
	{"v1 LF alone", "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\n", "", "does not end"},
	{"v1 LF at once", "PROXY \n\n\n\n\n\n\n", "", "does not end"},
	{"v1 CR alone", "PROXY TCP4 203.0.113.7\r10.0.0.1 1234 4222\r\n", "", "does not end"},
	{"v1 CR CR LF", "PROXY UNKNOWN\r\r\n", "", "does not end"},
	{"v1 short line", "PROXY TCP4\r\n", "", "bad PROXY header"},
	{"v1 UDP4", "PROXY UDP4 203.0.113.7 10.0.0.1 1234 4222\r\n", "", "bad PROXY header"},
	{"v2 TCP4", v2(1, 0x11, local4), "203.0.113.7:1234", ""},
	{"v2 TCP6", v2(1, 0x21, local6), "[2001:db8::7]:1234", ""},
	{"v2 TLV", v2(1, 0x11, local4+"\x04\x00\x03abc"), "203.0.113.7:1234", ""},
	{"v2 TLV cut", v2(1, 0x11, local4+"\x04\x00\x09abc"), "203.0.113.7:1234", ""},
	{"v2 longest", v2(1, 0x11, local4+strings.Repeat("x", 65535-12)), "203.0.113.7:1234", ""},
	{"v2 LOCAL", v2(0, 0, ""), "", ""},
	{"v2 LOCAL TCP4", v2(0, 0x11, local4), "", ""},
	{"v2 LOCAL TCP4 empty", v2(0, 0x11, ""), "", ""},
	{"v2 LOCAL with TLV", v2(0, 0, strings.Repeat("x", 3000)), "", ""},
	{"v2 UNSPEC", v2(1, 0, ""), "", "bad PROXY header"},
	{"v2 UDP4", v2(1, 0x12, local4), "", "not for TCP"},
	{"v2 unix", v2(1, 0x31, strings.Repeat("\x00", 216)), "", "not for TCP"},
	{"v2 addresses cut", v2(1, 0x11, local4[:8]), "", "bad PROXY header"},
	{"v2 command", v2(5, 0x11, local4), "", "bad PROXY header"},
	{"v2 family", v2(1, 0x13, local4), "", "bad PROXY header"},
	{"v2 version", signature + "\x11\x11\x00\x0c" + local4, "", "bad PROXY header"},
	{"NATS", "CONNECT {}\r\nPING\r\n", "", errNoHeader.Error()},
	{"P alone is not enough", "PING\r\n", "", errNoHeader.Error()},
	{"PROXY without a space", "PROXYTCP4 203.0.113.7", "", errNoHeader.Error()},
	{"nearly v2", "\r\n\r\n\x00\r\nQUIT\r\n\r\n", "", errNoHeader.Error()},
	{"TLS", "\x16\x03\x01\x02\x00\x01", "", errNoHeader.Error()},
}

// Whatever the pieces that it arrives in, a header is read to its end and not
// beyond.
func TestReadHeader(t *testing.T) {
	const rest = "CONNECT {}\r\nPING\r\n"
	for _, tc := range headers {
		for how, cut := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "by halves": iotest.HalfReader,
		} {
			t.Run(tc.name+" "+how, func(t *testing.T) {
				src := strings.NewReader(tc.in + rest)
				a, read, err := readHeader(cut(src))
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) {
						t.Fatalf("error %v, want %q", err, tc.err)
					}
					if got := string(read); err == errNoHeader && !strings.HasPrefix(tc.in+rest, got) {
						t.Fatalf("gives back %q", got)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				got := ""
				if a.remote != nil {
					got = a.remote.String()
				}
				if left, _ := io.ReadAll(src); string(left) != rest || got != tc.remote {
					t.Fatalf("remote %q, want %q; left %q", got, tc.remote, left)
				}
			})
		}
	}
}

// A header that ends early is an error that names the cause, not something else.
func TestReadHeaderCut(t *testing.T) {
	boom := errors.New("boom")
	for _, in := range []string{headers[0].in, v2(1, 0x11, local4), v2(1, 0x11, local4+"\x04\x00\x03abc")} {
		for n := range len(in) {
			_, read, err := readHeader(io.MultiReader(strings.NewReader(in[:n]), iotest.ErrReader(boom)))
			if !errors.Is(err, boom) {
				t.Fatalf("%q: %v", in[:n], err)
			}
			if len(read) > n {
				t.Fatalf("%q: %d bytes", in[:n], len(read))
			}
		}
	}
}

// FuzzReadHeader checks that no input is read beyond its header, that what is
// accepted has whole addresses or none, and that pieces make no difference.
func FuzzReadHeader(f *testing.F) {
	for _, tc := range headers {
		f.Add([]byte(tc.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		src := bytes.NewReader(in)
		a, read, err := readHeader(src)
		used := len(in) - src.Len()
		if len(read) > used || cap(read) > v2Fixed+maxV2Addr {
			t.Fatalf("%d bytes of %d, capacity %d", len(read), used, cap(read))
		}
		if err == errNoHeader && !bytes.Equal(read, in[:used]) {
			t.Fatalf("gives back %q of %q", read, in[:used])
		}
		if err == nil {
			if want := headerLen(in); used != want {
				t.Fatalf("used %d bytes of a header of %d", used, want)
			}
			if a.remote != nil {
				for _, x := range []netip.AddrPort{a.remote.AddrPort(), a.local.AddrPort()} {
					if !x.IsValid() {
						t.Fatalf("address %v", x)
					}
				}
			}
		}
		src = bytes.NewReader(in)
		b, _, err2 := readHeader(iotest.OneByteReader(src))
		if (err == nil) != (err2 == nil) || err == nil && (src.Len() != len(in)-used || (a.remote == nil) != (b.remote == nil)) {
			t.Fatalf("by bytes: %v, at once: %v", err2, err)
		}
	})
}

// headerLen is how long the valid header at the start of b is.
func headerLen(b []byte) int {
	if b[0] == 'P' {
		return bytes.Index(b, []byte("\r\n")) + 2
	}
	return 16 + int(binary.BigEndian.Uint16(b[14:]))
}
