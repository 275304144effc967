package plugin

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// Message is a message, or a connect or a subscribe, at a boundary. Its parts lie in
// memory that the next message overwrites: what is to be kept must be copied
// (strings.Clone, bytes.Clone). Parts that Plugin.Want doesn't name are empty; at
// the boundaries connect and subscribe the facts always come.
//
// Payload, Headers and Facts may be changed in place; the message changes only by a
// replace.
type Message struct {
	Boundary Boundary
	Hops     uint32 // how many plugins' emits led to it
	Subject  string
	Reply    string
	Headers  []byte // as they go over the wire, from NATS/1.0 to the empty line
	Payload  []byte
	Facts    []byte // of the connection, a JSON object

	Present     Part   // what the message has, asked for or not
	HeadersSize uint32 // bytes, asked for or not
	PayloadSize uint32

	replaced uint8
	code     uint16
	subject  string
	reply    string
	headers  []byte
	payload  []byte
	reason   string
}

// Part is a set of parts of a message.
type Part uint8

// The parts of Part.
const (
	HasReply Part = 1 << iota
	HasHeaders
	HasPayload
	HasFacts
)

// Verdict is what becomes of a message.
type Verdict uint8

// The verdicts that need no more to be said. Reject, Replace and their like are
// methods of Message.
const (
	Pass Verdict = iota // it goes on as it is
	Drop                // it ends here, and nobody is told
	reject
	replace
	// Fail says that the plugin failed; the error policy of its binding decides.
	Fail Verdict = 255
)

// MaxReason is how many bytes the reason of a reject may have. Longer ones are cut.
const MaxReason = 256

// Bits of replaced.
const (
	replacedSubject = 1 << iota
	replacedReply
	replacedHeaders
	replacedPayload
)

// Reject ends the message here and tells its publisher why. A request is answered
// with code, 100 to 599; 0 is 403. The reason may be empty.
func (m *Message) Reject(code int, reason string) Verdict {
	m.code, m.reason = uint16(code), reason[:min(len(reason), MaxReason)]
	return reject
}

// ReplacePayload replaces the payload, and what was set before.
func (m *Message) ReplacePayload(payload []byte) Verdict {
	m.SetPayload(payload)
	return replace
}

// ReplaceSubject replaces the subject, and what was set before.
func (m *Message) ReplaceSubject(subject string) Verdict {
	m.SetSubject(subject)
	return replace
}

// Replace replaces what was set before, by SetSubject and others.
func (m *Message) Replace() Verdict {
	if m.replaced == 0 {
		return Pass
	}
	return replace
}

// SetSubject sets the subject for a Replace. The binding's PublishTo must cover it.
// At deliver it can't be replaced.
func (m *Message) SetSubject(s string) { m.subject, m.replaced = s, m.replaced|replacedSubject }

// SetReply sets the reply subject for a Replace; "" takes it away.
func (m *Message) SetReply(s string) { m.reply, m.replaced = s, m.replaced|replacedReply }

// SetHeaders sets all headers for a Replace, from NATS/1.0 to the empty line; none
// at all take them away.
func (m *Message) SetHeaders(b []byte) { m.headers, m.replaced = b, m.replaced|replacedHeaders }

// SetPayload sets the payload for a Replace. The slice must stay as it is until
// OnMessage is called again.
func (m *Message) SetPayload(b []byte) { m.payload, m.replaced = b, m.replaced|replacedPayload }

// SetHeader sets one header for a Replace: the first one of that name, or a new
// one. Headers must be asked for (WantHeaders). Name and value are not checked: a
// line break in them makes a message that the host refuses.
func (m *Message) SetHeader(name, value string) {
	from := m.Headers
	if m.replaced&replacedHeaders != 0 {
		from = m.headers
	}
	if len(from) == 0 {
		from = []byte("NATS/1.0\r\n\r\n")
	}
	start, end := findHeader(from, name)
	if start < 0 {
		start = max(0, len(from)-2)
		end = start
	}
	b := make([]byte, 0, len(from)+len(name)+len(value)+4)
	b = append(b, from[:start]...)
	b = append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
	m.SetHeaders(append(b, from[end:]...))
}

// Header returns the first header of that name, letters being as they are, and ""
// when there is none. It is borrowed like the message's parts.
func (m *Message) Header(name string) string {
	start, end := findHeader(m.Headers, name)
	if start < 0 {
		return ""
	}
	return borrow(bytes.TrimSpace(m.Headers[start+len(name)+1 : end]))
}

// findHeader returns where the line of the first header of that name begins and
// where the next line does; -1 when there is none.
func findHeader(block []byte, name string) (start, end int) {
	at := bytes.IndexByte(block, '\n') + 1 // behind the status line
	for at > 0 && at < len(block) {
		n := bytes.IndexByte(block[at:], '\n') + 1
		if n == 0 {
			break
		}
		if line := block[at : at+n]; len(line) > len(name) && line[len(name)] == ':' && string(line[:len(name)]) == name {
			return at, at + n
		}
		at += n
	}
	return -1, -1
}

const (
	frameHeader = 64
	resultSize  = 48
)

// decode reads a frame, whose bytes become the message's. It returns false when it
// is none.
func (m *Message) decode(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < frameHeader || le.Uint16(b) != 1 || uint64(le.Uint32(b[4:])) != uint64(len(b)) {
		return false
	}
	part := func(at int) ([]byte, bool) {
		off, n := uint64(le.Uint32(b[at:])), uint64(le.Uint32(b[at+4:]))
		if off+n > uint64(len(b)) {
			return nil, false
		}
		if n == 0 {
			return nil, true
		}
		return b[off : off+n : off+n], true
	}
	subject, ok1 := part(8)
	reply, ok2 := part(16)
	headers, ok3 := part(24)
	payload, ok4 := part(32)
	facts, ok5 := part(40)
	*m = Message{
		Boundary: Boundary(b[2]), Present: Part(b[3]), Hops: le.Uint32(b[56:]),
		Subject: borrow(subject), Reply: borrow(reply), Headers: headers, Payload: payload, Facts: facts,
		HeadersSize: le.Uint32(b[48:]), PayloadSize: le.Uint32(b[52:]),
	}
	return ok1 && ok2 && ok3 && ok4 && ok5
}

// borrow returns b as a string that lives as long as b stays as it is.
func borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// encode writes what v says of m into b, when it takes more than a number. address
// returns where bytes are.
func (m *Message) encode(v Verdict, b *[resultSize]byte, address func(string) uint32) bool {
	le := binary.LittleEndian
	switch {
	case v == reject && (m.code != 0 || m.reason != ""):
		*b = [resultSize]byte{0: 2}
		le.PutUint16(b[2:], m.code)
		le.PutUint32(b[40:], address(m.reason))
		le.PutUint32(b[44:], uint32(len(m.reason)))
	case v == replace:
		*b = [resultSize]byte{0: 3, 1: m.replaced}
		for i, s := range [...]string{m.subject, m.reply, borrow(m.headers), borrow(m.payload)} {
			le.PutUint32(b[8+8*i:], address(s))
			le.PutUint32(b[12+8*i:], uint32(len(s)))
		}
	default:
		return false
	}
	return true
}
