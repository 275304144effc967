package wire

// Kind is a protocol verb as sent by a client.
type Kind uint8

// The verbs that a client may send.
const (
	None Kind = iota
	Pub
	HPub
	Sub
	Unsub
	Ping
	Pong
	Connect
	OK      // +OK from a client: accepted and ignored
	InfoOp  // INFO from a client: accepted and ignored
	ErrFrom // -ERR from a client: the peer gives up
	Lane    // ours, see Parser.Lanes

	// Of leafnode links, see LeafParser.
	LeafSub
	LeafUnsub
	LeafMsg
)

// String returns the verb as it stands on the wire.
func (k Kind) String() string {
	switch k {
	case Pub:
		return "PUB"
	case HPub:
		return "HPUB"
	case Sub:
		return "SUB"
	case Unsub:
		return "UNSUB"
	case Ping:
		return "PING"
	case Pong:
		return "PONG"
	case Connect:
		return "CONNECT"
	case OK:
		return "+OK"
	case InfoOp:
		return "INFO"
	case ErrFrom:
		return "-ERR"
	case Lane:
		return "LANE"
	case LeafSub:
		return "LS+"
	case LeafUnsub:
		return "LS-"
	case LeafMsg:
		return "LMSG"
	}
	return "none"
}

// Op is one parsed protocol operation. All slices are borrowed from the
// parser's input. Only the fields of the op's Kind are set.
type Op struct {
	Kind Kind

	// Msg is set for Pub and HPub.
	Msg Msg

	// Subject and Queue are set for Sub, SID for Sub and Unsub.
	Subject, Queue, SID []byte

	// Max is the second argument of Unsub, 0 where absent or not positive.
	Max int

	// Arg is the raw argument of Connect, InfoOp, ErrFrom and Lane.
	Arg []byte
}

// Msg is one message on its way: a subject, an optional reply subject, an
// optional header block and a payload. Its slices are borrowed.
type Msg struct {
	Subject []byte
	Reply   []byte

	// Data is the header block (HdrLen bytes) followed by the payload,
	// without the closing CRLF.
	Data   []byte
	HdrLen int

	// Tail is the message as it will stand on the wire behind "MSG subject
	// sid " or "HMSG subject sid ": the reply, the sizes, CRLF, Data, CRLF. It
	// is nil where the publisher's form differs from the one we would write
	// (blanks, bare LF) or where the message was changed, and then the
	// encoders write those parts anew.
	Tail []byte

	// Packed is Tail as deflate blocks, made by the first receiver that sends it
	// so, for all of them.
	Packed []byte

	// SizeArg is the publisher's total size as written; receivers see it
	// verbatim. Nil for messages made in the process.
	SizeArg []byte

	// Queues are, of a message that came over a link, the queue groups here that
	// are each to give it to a member; of one that a link is to be given, those
	// beyond it.
	Queues [][]byte

	// Scratch is room of the reader's, for hooks: what they replace other parts
	// by they append here, and it stays untouched until the message is done.
	Scratch []byte
}

// Header returns the header block, nil without one.
func (m *Msg) Header() []byte { return m.Data[:m.HdrLen:m.HdrLen] }

// Payload returns the bytes behind the header block.
func (m *Msg) Payload() []byte { return m.Data[m.HdrLen:] }

// Size returns the number of header and payload bytes: what max_payload limits
// and what monitoring counts.
func (m *Msg) Size() int { return len(m.Data) }

// Clone returns a copy of m that owns its bytes.
func (m *Msg) Clone() Msg {
	b := make([]byte, 0, len(m.Subject)+len(m.Reply)+len(m.Data))
	b = append(b, m.Subject...)
	b = append(b, m.Reply...)
	b = append(b, m.Data...)
	s, r := len(m.Subject), len(m.Subject)+len(m.Reply)
	return Msg{Subject: b[:s:s], Reply: b[s:r:r], Data: b[r:], HdrLen: m.HdrLen}
}
