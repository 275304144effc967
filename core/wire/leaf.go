package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// LeafInfo is INFO as the two ends of a leafnode link send it.
type LeafInfo struct {
	ServerID      string       `json:"server_id"`
	ServerName    string       `json:"server_name"`
	Version       string       `json:"version"`
	Proto         int          `json:"proto"`
	GitCommit     string       `json:"git_commit,omitempty"`
	Go            string       `json:"go"`
	Host          string       `json:"host"`
	Port          int          `json:"port"`
	Headers       bool         `json:"headers"`
	AuthRequired  bool         `json:"auth_required,omitempty"`
	TLSRequired   bool         `json:"tls_required,omitempty"`
	TLSVerify     bool         `json:"tls_verify,omitempty"`
	TLSAvailable  bool         `json:"tls_available,omitempty"`
	MaxPayload    int          `json:"max_payload"`
	JetStream     bool         `json:"jetstream,omitempty"`
	IP            string       `json:"ip,omitempty"`
	ClientID      uint64       `json:"client_id,omitempty"`
	ClientIP      string       `json:"client_ip,omitempty"` // of INFO to clients: not a leafnode port
	Nonce         string       `json:"nonce,omitempty"`
	Cluster       string       `json:"cluster,omitempty"`
	Domain        string       `json:"domain,omitempty"`
	Compression   string       `json:"compression,omitempty"`
	ConnectInfo   bool         `json:"connect_info,omitempty"`
	RemoteAccount string       `json:"remote_account,omitempty"`
	AccountIsSys  bool         `json:"acc_is_sys,omitempty"`
	APILevel      int          `json:"api_lvl,omitempty"`
	InfoOnConnect bool         `json:"info_on_connect,omitempty"`
	LeafURLs      []string     `json:"leafnode_urls,omitempty"`
	Import        *LeafPermits `json:"import,omitempty"` // what the leaf may be sent
	Export        *LeafPermits `json:"export,omitempty"` // what it may send
	GatewayURL    string       `json:"gateway_url,omitempty"`
	ConnectURLs   []string     `json:"connect_urls,omitempty"`
	LNOC          bool         `json:"lnoc,omitempty"`
}

// LeafPermits are the permissions that a hub gives a leaf.
type LeafPermits struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// LeafConnect is the argument of CONNECT on a leafnode link.
type LeafConnect struct {
	Version       string   `json:"version,omitempty"`
	NKey          string   `json:"nkey,omitempty"`
	JWT           string   `json:"jwt,omitempty"`
	Sig           string   `json:"sig,omitempty"`
	User          string   `json:"user,omitempty"`
	Pass          string   `json:"pass,omitempty"`
	AuthToken     string   `json:"auth_token,omitempty"`
	ServerID      string   `json:"server_id,omitempty"`
	Domain        string   `json:"domain,omitempty"`
	Name          string   `json:"name,omitempty"`
	Hub           bool     `json:"is_hub,omitempty"`
	Cluster       string   `json:"cluster,omitempty"`
	Isolate       bool     `json:"isolate,omitempty"`
	Headers       bool     `json:"headers,omitempty"`
	JetStream     bool     `json:"jetstream,omitempty"`
	DenyPub       []string `json:"deny_pub,omitempty"`
	Compression   string   `json:"compress_mode,omitempty"`
	RemoteAccount string   `json:"remote_account,omitempty"`
	Proto         int      `json:"protocol,omitempty"`
	TLSRequired   bool     `json:"tls_required,omitempty"`
	Lang          string   `json:"lang,omitempty"` // of clients: they are on the wrong port
}

// AppendLine appends a verb and v as JSON, as INFO and CONNECT are sent.
func AppendLine(b []byte, verb string, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil { // strings, numbers and bools always marshal
		panic("wire: marshal " + verb + ": " + err.Error())
	}
	b = append(append(append(b, verb...), ' '), j...)
	if verb == "INFO" { // as nats-server writes it
		b = append(b, ' ')
	}
	return append(b, "\r\n"...)
}

// maxQueues bounds the groups that one LMSG names.
const maxQueues = 4096

// LeafParser finds the ops of a leafnode link. It keeps no bytes of its own, as
// Parser. Its Op is valid until the next call of Next.
type LeafParser struct {
	Parser
	fields [][]byte
}

// Next parses the first op of b into op, see Parser.Next. The kinds are LeafSub,
// LeafUnsub (Subject, Queue, and Max as the weight), LeafMsg (Msg, with Queues),
// and those that links share with clients.
func (p *LeafParser) Next(b []byte, op *Op) (int, error) {
	p.need = 0
	if p.skip == None && len(b) >= 5 {
		switch {
		case b[0]|0x20 == 'l' && b[1]|0x20 == 'm' && b[2]|0x20 == 's' && b[3]|0x20 == 'g' && blank(b[4]):
			return p.msg(b, op, false)
		case b[0]|0x20 == 'h' && b[1]|0x20 == 'm' && b[2]|0x20 == 's' && b[3]|0x20 == 'g' && blank(b[4]):
			return p.msg(b, op, true)
		}
	}
	if p.skip == None && len(b) >= 4 && b[0]|0x20 == 'l' && b[1]|0x20 == 's' && (b[2] == '+' || b[2] == '-') && blank(b[3]) {
		return p.interest(b, op, b[2] == '+')
	}
	if p.skip == None && len(b) > 0 && b[0] == '-' {
		return p.errLine(b, op)
	}
	if n := min(len(b), 5); n > 0 && p.skip == None && (b[0]|0x20 == 'l' || b[0]|0x20 == 'h' && (n < 2 || b[1]|0x20 == 'm')) {
		if n < 5 && (couldBe(b, "lmsg ") || couldBe(b, "hmsg ") || couldBe(b, "ls+ ") || couldBe(b, "ls- ")) {
			op.Kind = None
			return 0, nil
		}
		return 0, ErrUnknownOp
	}
	return p.Parser.Next(b, op)
}

// errLine parses -ERR 'text'; Arg is the text.
func (p *LeafParser) errLine(b []byte, op *Op) (int, error) {
	const verb = "-err"
	op.Kind = None
	if !couldBe(b, verb) {
		return 0, ErrUnknownOp
	}
	if len(b) <= len(verb) {
		return 0, nil
	}
	arg, end, err := p.line(b, len(verb))
	if end == 0 {
		return 0, err
	}
	op.Kind, op.Arg = ErrFrom, bytes.Trim(arg, " \t'")
	return end, nil
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// couldBe reports whether b, which is shorter than verb or as long, may become it.
func couldBe(b []byte, verb string) bool {
	n := min(len(b), len(verb))
	return prefixFold(b[:n], verb) == n
}

// interest parses LS+ subject [queue weight] and LS- subject [queue].
func (p *LeafParser) interest(b []byte, op *Op, add bool) (int, error) {
	arg, end, err := p.line(b, 4)
	if end == 0 {
		return 0, err
	}
	var f [3][]byte
	n := fields(arg, f[:])
	op.Subject, op.Queue, op.Max = f[0], nil, 0
	switch {
	case n == 1:
	case add && n == 3:
		if op.Queue, op.Max = f[1], parseSize(f[2]); op.Max <= 0 {
			return 0, ErrArguments
		}
	case !add && n == 2:
		op.Queue = f[1]
	default:
		return 0, ErrArguments
	}
	op.Kind = LeafUnsub
	if add {
		op.Kind = LeafSub
	}
	return end, nil
}

// msg parses LMSG and HMSG in their four shapes.
func (p *LeafParser) msg(b []byte, op *Op, header bool) (int, error) {
	arg, end, err := p.line(b, 5)
	if end == 0 {
		return 0, err
	}
	sizes := 1
	if header {
		sizes = 2
	}
	if cap(p.fields) == 0 {
		p.fields = make([][]byte, 16)
	}
	f := p.fields
	n := fields(arg, f)
	for n > len(f) {
		if len(f) > maxQueues {
			return 0, ErrArguments
		}
		f = make([][]byte, 4*len(f))
		p.fields = f
		n = fields(arg, f)
	}
	if n < 1+sizes {
		return 0, ErrArguments
	}
	m := &op.Msg
	m.Subject, m.Reply, m.Tail, m.HdrLen, m.Queues = f[0], nil, nil, 0, nil
	mid := f[1 : n-sizes]
	plain := true
	switch {
	case len(mid) == 0:
	case len(mid) == 1 && !mark(mid[0], '|') && !mark(mid[0], '+'):
		m.Reply = mid[0]
	case mark(mid[0], '|') && len(mid) >= 2:
		m.Queues, plain = mid[1:], false
	case mark(mid[0], '+') && len(mid) >= 3:
		m.Reply, m.Queues, plain = mid[1], mid[2:], false
	default:
		return 0, ErrArguments
	}
	m.SizeArg = f[n-1]
	size := parseSize(f[n-1])
	hdr := 0
	if header {
		hdr = parseSize(f[n-2])
	}
	if size < 0 || hdr < 0 || hdr > size {
		return 0, ErrArguments
	}
	op.Kind = LeafMsg
	used, err := p.payload(b, end, size, m)
	m.HdrLen = hdr
	if used > 0 && plain && b[end-2] == '\r' && (!header || hdr > 0) && canonical(b[5:end-2], f[:n]) {
		m.Tail = b[5+len(m.Subject)+1 : used : used]
	}
	return used, err
}

func mark(f []byte, c byte) bool { return len(f) == 1 && f[0] == c }

// AppendLeafMsg appends m as LMSG or HMSG. queues are the groups of the receiver
// that are each to give it to one member, beside its plain subscriptions. Without
// headers the header block is left out.
func AppendLeafMsg[Q ~string | ~[]byte](b []byte, m *Msg, queues []Q, headers bool) []byte {
	b = AppendLeafHead(b, m, queues, headers)
	if headers {
		b = append(b, m.Data...)
	} else {
		b = append(b, m.Payload()...)
	}
	return append(b, "\r\n"...)
}

// AppendLeafHead appends the line in front of the payload of AppendLeafMsg.
func AppendLeafHead[Q ~string | ~[]byte](b []byte, m *Msg, queues []Q, headers bool) []byte {
	headers = headers && m.HdrLen > 0
	if headers {
		b = append(b, "HMSG "...)
	} else {
		b = append(b, "LMSG "...)
	}
	b = append(append(b, m.Subject...), ' ')
	switch {
	case len(queues) > 0 && len(m.Reply) > 0:
		b = append(append(append(b, "+ "...), m.Reply...), ' ')
	case len(queues) > 0:
		b = append(b, "| "...)
	case len(m.Reply) > 0:
		b = append(append(b, m.Reply...), ' ')
	}
	for _, q := range queues {
		b = append(append(b, q...), ' ')
	}
	switch {
	case headers:
		b = append(strconv.AppendInt(b, int64(m.HdrLen), 10), ' ')
		b = strconv.AppendInt(b, int64(len(m.Data)), 10)
	default:
		b = strconv.AppendInt(b, int64(len(m.Data)-m.HdrLen), 10)
	}
	return append(b, "\r\n"...)
}

// AppendLeafSub appends LS+ for a subject, with a queue group of so many members
// unless queue is "".
func AppendLeafSub(b []byte, subject, queue string, weight int) []byte {
	b = append(append(b, "LS+ "...), subject...)
	if queue != "" {
		b = append(append(append(b, ' '), queue...), ' ')
		b = strconv.AppendInt(b, int64(weight), 10)
	}
	return append(b, "\r\n"...)
}

// AppendLeafUnsub appends LS-.
func AppendLeafUnsub(b []byte, subject, queue string) []byte {
	b = append(append(b, "LS- "...), subject...)
	if queue != "" {
		b = append(append(b, ' '), queue...)
	}
	return append(b, "\r\n"...)
}

// ackMark begins the replies of JetStream that may say behind an @ which subject
// the message was on.
var ackMark = []byte("$JS.ACK.")

// SplitAck cuts a reply "$JS.ACK...@subject", with which deliveries of JetStream
// cross links, into the reply and the subject that the message is to have for a
// client. ok is false for every other reply.
func SplitAck(reply []byte) (ack, subject []byte, ok bool) {
	if !bytes.HasPrefix(reply, ackMark) {
		return nil, nil, false
	}
	i := bytes.IndexByte(reply, '@')
	if i < 0 || i == len(reply)-1 {
		return nil, nil, false
	}
	return reply[:i:i], reply[i+1:], true
}
