package wire

import (
	"bytes"
	"encoding/binary"
)

const (
	// DefaultMaxControlLine is nats-server's max_control_line, in bytes of
	// arguments (the verb, the blank behind it and CRLF do not count).
	DefaultMaxControlLine = 4096
	// DefaultMaxPayload is nats-server's max_payload in bytes.
	DefaultMaxPayload = 1 << 20
	// maxSizeDigits bounds size arguments; longer ones are not numbers.
	maxSizeDigits = 9
)

// Parser finds the ops in a stream of bytes. It keeps no bytes of its own: the
// caller presents the unconsumed rest again, with more behind it. The zero value
// works with the default limits.
type Parser struct {
	// MaxControlLine limits the bytes of arguments; 0 is DefaultMaxControlLine.
	MaxControlLine int
	// MaxPayload limits the declared size of a message; 0 is DefaultMaxPayload,
	// negative is no limit.
	MaxPayload int
	// Lanes has the verb LANE known, which is of package listeners/quic.
	Lanes bool

	// skip is set while the rest of a PING, PONG or +OK line is thrown away:
	// such lines may carry junk of any length, which is never buffered.
	skip Kind
	need int
}

// Need returns the length, from the start of the pending op, that the buffer
// must reach before Next can go on; 0 where that is not known yet.
func (p *Parser) Need() int { return p.need }

// Next parses the first op of b into op. It returns the bytes used, or 0 when b
// holds no whole op yet. op.Kind is None when bytes were used up without an op.
func (p *Parser) Next(b []byte, op *Op) (int, error) {
	p.need = 0
	if p.skip == None && len(b) >= 5 {
		// The two verbs of the hot path, by one masked word compare; the blank
		// is checked apart because the mask would let a NUL pass for it.
		switch binary.LittleEndian.Uint32(b) | 0x20202020 {
		case 'p' | 'u'<<8 | 'b'<<16 | ' '<<24:
			if b[3] == ' ' {
				return p.pub(b, op)
			}
		case 'h' | 'p'<<8 | 'u'<<16 | 'b'<<24:
			if b[4] == ' ' || b[4] == '\t' {
				return p.hpub(b, op)
			}
		}
	}
	return p.control(b, op)
}

// line returns the arguments of the control line whose verb and blank take the
// first `from` bytes of b, and the offset behind its LF; end 0 when the line is
// not whole yet.
func (p *Parser) line(b []byte, from int) (arg []byte, end int, err error) {
	limit := p.MaxControlLine
	if limit == 0 {
		limit = DefaultMaxControlLine
	}
	i := bytes.IndexByte(b[from:], '\n')
	if i < 0 {
		n := len(b) - from
		if n > 0 && b[len(b)-1] == '\r' {
			n--
		}
		if n > limit {
			return nil, 0, ErrControlLine
		}
		return nil, 0, nil
	}
	arg = b[from : from+i]
	if i > 0 && arg[i-1] == '\r' {
		arg = arg[:i-1]
	}
	if len(arg) > limit {
		return nil, 0, ErrControlLine
	}
	return arg, from + i + 1, nil
}

// pub parses PUB subject [reply] size.
func (p *Parser) pub(b []byte, op *Op) (int, error) {
	arg, end, err := p.line(b, 4)
	if end == 0 {
		return 0, err
	}
	op.Kind = Pub
	m := &op.Msg
	m.HdrLen = 0
	// Single blanks and no others is what clients write; the size is read from
	// the end, the subject from the front, and what lies between is the reply.
	i, size, digits := len(arg)-1, 0, 1
	for ; i > 0 && arg[i] != ' '; i-- {
		d := int(arg[i]) - '0'
		if d < 0 || d > 9 || digits > 1e8 {
			return p.pubSlow(b, arg, end, op)
		}
		size += d * digits
		digits *= 10
	}
	if i <= 0 || i == len(arg)-1 {
		return p.pubSlow(b, arg, end, op)
	}
	m.SizeArg = arg[i+1:]
	head, s := arg[:i], -1
	for k, c := range head {
		if c > ' ' {
			continue
		}
		if c == '\t' || s >= 0 || k == 0 || k == len(head)-1 {
			return p.pubSlow(b, arg, end, op)
		}
		if c == ' ' {
			s = k
		}
	}
	if s < 0 {
		m.Subject, m.Reply, s = head, nil, i
	} else {
		m.Subject, m.Reply = head[:s:s], head[s+1:]
	}
	n, err := p.payload(b, end, size, m)
	if n > 0 && b[end-2] == '\r' {
		m.Tail = b[4+s+1 : n : n]
	} else {
		m.Tail = nil
	}
	return n, err
}

// pubSlow parses what pub finds unusual: tabs, several blanks, bad arguments.
func (p *Parser) pubSlow(b, arg []byte, end int, op *Op) (int, error) {
	var f [4][]byte
	m := &op.Msg
	m.Tail, m.Reply, m.HdrLen = nil, nil, 0
	switch fields(arg, f[:]) {
	case 2:
		m.Subject, m.SizeArg = f[0], f[1]
	case 3:
		m.Subject, m.Reply, m.SizeArg = f[0], f[1], f[2]
	default:
		return 0, ErrArguments
	}
	size := parseSize(m.SizeArg)
	if size < 0 {
		return 0, ErrArguments
	}
	op.Kind = Pub
	return p.payload(b, end, size, m)
}

// hpub parses HPUB subject [reply] hdr_size total_size.
func (p *Parser) hpub(b []byte, op *Op) (int, error) {
	arg, end, err := p.line(b, 5)
	if end == 0 {
		return 0, err
	}
	var f [5][]byte
	m := &op.Msg
	m.Reply = nil
	n := fields(arg, f[:])
	switch n {
	case 3:
	case 4:
		m.Reply = f[1]
	default:
		return 0, ErrArguments
	}
	m.Subject, m.SizeArg = f[0], f[n-1]
	hdr, size := parseSize(f[n-2]), parseSize(f[n-1])
	if hdr < 0 || size < 0 || hdr > size {
		return 0, ErrArguments
	}
	op.Kind = HPub
	used, err := p.payload(b, end, size, m)
	m.HdrLen = hdr
	m.Tail = nil
	if used > 0 && hdr > 0 && b[end-2] == '\r' && canonical(b[5:end-2], f[:n]) {
		m.Tail = b[5+len(m.Subject)+1 : used : used]
	}
	return used, err
}

// canonical reports whether arg is its fields with one blank between them.
func canonical(arg []byte, f [][]byte) bool {
	n := len(f) - 1
	for _, x := range f {
		n += len(x)
	}
	return n == len(arg) && bytes.IndexByte(arg, '\t') < 0
}

// payload takes size bytes and CRLF from b[at:].
func (p *Parser) payload(b []byte, at, size int, m *Msg) (int, error) {
	limit := p.MaxPayload
	if limit == 0 {
		limit = DefaultMaxPayload
	}
	if limit > 0 && size > limit {
		return 0, ErrMaxPayload
	}
	e := at + size
	if len(b) < e+2 {
		if len(b) == e+1 && b[e] != '\r' {
			return 0, ErrUnknownOp
		}
		p.need = e + 2
		return 0, nil
	}
	if b[e] != '\r' || b[e+1] != '\n' {
		return 0, ErrUnknownOp
	}
	m.Data = b[at:e:e]
	return e + 2, nil
}

// parseSize reads a decimal number; -1 for anything else.
func parseSize(b []byte) int {
	if len(b) == 0 || len(b) > maxSizeDigits {
		return -1
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// fields splits arg at blanks and tabs into f and returns how many there are;
// more than len(f) return len(f)+1.
func fields(arg []byte, f [][]byte) int {
	n, start := 0, -1
	for i, c := range arg {
		if c == ' ' || c == '\t' {
			if start >= 0 {
				if n == len(f) {
					return n + 1
				}
				f[n] = arg[start:i:i]
				n++
				start = -1
			}
		} else if start < 0 {
			start = i
		}
	}
	if start >= 0 {
		if n == len(f) {
			return n + 1
		}
		f[n] = arg[start:]
		n++
	}
	return n
}
