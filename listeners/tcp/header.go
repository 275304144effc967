package tcp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pires/go-proxyproto"
)

// The layout of headers is that of haproxy's proxy-protocol.txt, sections 2.1
// and 2.2. go-proxyproto interprets them; it is given the header's bytes alone,
// because as a reader of the connection it buffers what follows them.
const (
	headStart = 12  // shortest start that tells a header; no header is shorter
	maxV1     = 107 // longest line of version 1, with its CR LF
	v2Fixed   = 16  // of version 2: signature, version, family, length
	maxV2Addr = 216 // longest address block, of two unix paths
)

var (
	errNoHeader  = errors.New("it does not begin with a PROXY header")
	errBadLine   = errors.New("PROXY header of version 1 does not end in CR LF within 107 bytes")
	errNotTCP    = errors.New("PROXY header is not for TCP over IPv4 or IPv6")
	errBadHeader = errors.New("bad PROXY header")
)

// addrs are the addresses of a header; nil when it has none.
type addrs struct {
	remote, local *net.TCPAddr
}

// readHeader reads a PROXY header from r and not a byte more. The bytes read are
// returned too: with errNoHeader they are the start of something else.
func readHeader(r io.Reader) (a addrs, read []byte, err error) {
	b := make([]byte, 0, v2Fixed+maxV2Addr)
	for len(b) < headStart {
		n, err := r.Read(b[len(b):headStart])
		b = b[:len(b)+n]
		if !mayBeHeader(b) {
			return addrs{}, b, errNoHeader
		}
		if err != nil && len(b) < headStart {
			return addrs{}, b, fmt.Errorf("PROXY header: %w", err)
		}
	}
	if b[0] == proxyproto.SIGV1[0] {
		b, err = readV1(r, b)
	} else {
		b, err = readV2(r, b)
	}
	if err != nil {
		return addrs{}, b, err
	}
	a, err = parseHeader(b)
	return a, b, err
}

// mayBeHeader reports whether b is the start of a header, or of its start.
func mayBeHeader(b []byte) bool {
	for _, start := range [...][]byte{proxyproto.SIGV2, []byte("PROXY ")} {
		n := min(len(b), len(start))
		if bytes.Equal(b[:n], start[:n]) {
			return true
		}
	}
	return false
}

// readV1 reads the rest of the line that begins with b. While there is no CR, at
// least two bytes are still to come, so it takes two at a time.
func readV1(r io.Reader, b []byte) ([]byte, error) {
	for {
		want := 2
		switch i := bytes.IndexAny(b, "\r\n"); {
		case i < 0:
		case b[i] == '\r' && i == len(b)-1:
			want = 1
		case b[i] == '\r' && i == len(b)-2 && b[i+1] == '\n':
			return b, nil
		default:
			return b, errBadLine
		}
		if len(b)+want > maxV1 {
			return b, errBadLine
		}
		n, err := io.ReadFull(r, b[len(b):len(b)+want])
		b = b[:len(b)+n]
		if err != nil {
			return b, fmt.Errorf("PROXY header of version 1: %w", err)
		}
	}
}

// readV2 reads the rest of the binary header that begins with b. It drops what
// follows the addresses (type-length-values), so that a header costs the same
// memory whatever length it announces, and returns one without them.
func readV2(r io.Reader, b []byte) ([]byte, error) {
	fill := func(n int) error {
		m, err := io.ReadFull(r, b[len(b):n])
		b = b[:len(b)+m]
		if err != nil {
			return fmt.Errorf("PROXY header of version 2: %w", err)
		}
		return nil
	}
	if err := fill(v2Fixed); err != nil {
		return b, err
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	keep := min(length, maxV2Addr)
	switch b[13] >> 4 { // address family
	case 1:
		keep = min(length, 12)
	case 2:
		keep = min(length, 36)
	}
	if err := fill(v2Fixed + keep); err != nil {
		return b, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(length-keep)); err != nil {
		return b, fmt.Errorf("PROXY header of version 2: %w", err)
	}
	binary.BigEndian.PutUint16(b[14:], uint16(keep))
	return b, nil
}

// parseHeader returns the addresses in the whole header b.
func parseHeader(b []byte) (addrs, error) {
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), cap(b)))
	if err != nil {
		return addrs{}, fmt.Errorf("%w: %w", errBadHeader, err)
	}
	if h.Command.IsLocal() {
		return addrs{}, nil
	}
	src, dst, ok := h.TCPAddrs()
	if !ok {
		return addrs{}, errNotTCP
	}
	return addrs{remote: src, local: dst}, nil
}
