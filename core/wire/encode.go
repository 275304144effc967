package wire

import "strconv"

// Fixed lines of the server.
const (
	LineOK   = "+OK\r\n"
	LinePing = "PING\r\n"
	LinePong = "PONG\r\n"
)

// AppendErr appends -ERR 'text'.
func AppendErr(b []byte, text string) []byte {
	b = append(b, "-ERR '"...)
	b = append(b, text...)
	return append(b, "'\r\n"...)
}

// AppendMsgHead appends everything that stands before the Data of m: "MSG
// subject sid [reply] size CRLF", or HMSG when header is true and m has one.
// Without header the header block is left out of the size and the caller
// leaves it out of the payload (m.Payload()).
func AppendMsgHead(b []byte, m *Msg, sid string, header bool) []byte {
	header = header && m.HdrLen > 0
	if header {
		b = append(b, "HMSG "...)
	} else {
		b = append(b, "MSG "...)
	}
	b = append(b, m.Subject...)
	b = append(b, ' ')
	b = append(b, sid...)
	b = append(b, ' ')
	if len(m.Reply) > 0 {
		b = append(b, m.Reply...)
		b = append(b, ' ')
	}
	switch {
	case header:
		b = strconv.AppendInt(b, int64(m.HdrLen), 10)
		b = append(b, ' ')
		fallthrough
	case m.HdrLen == 0:
		if m.SizeArg != nil {
			b = append(b, m.SizeArg...)
		} else {
			b = strconv.AppendInt(b, int64(len(m.Data)), 10)
		}
	default:
		b = strconv.AppendInt(b, int64(len(m.Data)-m.HdrLen), 10)
	}
	return append(b, "\r\n"...)
}

// AppendMsg appends m as one whole MSG or HMSG for the subscription sid.
func AppendMsg(b []byte, m *Msg, sid string, header bool) []byte {
	b = AppendMsgHead(b, m, sid, header)
	if header {
		b = append(b, m.Data...)
	} else {
		b = append(b, m.Payload()...)
	}
	return append(b, "\r\n"...)
}

// AppendPub appends m as a client would publish it.
func AppendPub(b []byte, m *Msg) []byte {
	if m.HdrLen > 0 {
		b = append(b, "HPUB "...)
	} else {
		b = append(b, "PUB "...)
	}
	b = append(b, m.Subject...)
	b = append(b, ' ')
	if len(m.Reply) > 0 {
		b = append(b, m.Reply...)
		b = append(b, ' ')
	}
	if m.HdrLen > 0 {
		b = strconv.AppendInt(b, int64(m.HdrLen), 10)
		b = append(b, ' ')
	}
	b = strconv.AppendInt(b, int64(len(m.Data)), 10)
	b = append(b, "\r\n"...)
	b = append(b, m.Data...)
	return append(b, "\r\n"...)
}
