package client

import (
	"errors"

	"ganglion/core/conn"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// errClosed ends a session's reading after it closed itself.
var errClosed = errors.New("client: closed")

var errTLSRate = errors.New("connection_rate_limit is exceeded")

// say stages a line for the client itself, behind everything else of the batch.
func (c *Client) say(b *router.Batch, line string) {
	st := b.Own(c)
	if c.packs {
		st.AppendBlock([]byte(line))
	} else {
		st.AppendString(line)
	}
	st.Delivered(nil, 0)
}

// sayErr stages -ERR 'text'.
func (c *Client) sayErr(b *router.Batch, text string) {
	c.say(b, string(wire.AppendErr(nil, text)))
}

// ok stages +OK for verbose clients.
func (c *Client) ok(b *router.Batch) {
	if c.has(flagVerbose) {
		c.say(b, wire.LineOK)
	}
}

// cut ends the session: everything staged goes out, then -ERR 'text' unless text
// is empty, then the connection closes. The error it returns ends the reading.
func (c *Client) cut(b *router.Batch, r conn.CloseReason, text string) error {
	if text != "" {
		c.sayErr(b, text)
	}
	b.Flush()
	c.m.logCut(c, r, text)
	c.conn.Close(r)
	return errClosed
}

// parseFailed ends a session whose bytes make no sense.
func (c *Client) parseFailed(b *router.Batch, s *Settings, err error) {
	switch {
	case c.has(flagAwaitAuth):
		if errors.Is(err, wire.ErrControlLine) {
			c.cut(b, conn.MaxControlLine, wire.TextControlLine)
			return
		}
		if errors.Is(err, wire.ErrUnknownOp) {
			c.cut(b, conn.ParseError, wire.TextUnknownOp)
			return
		}
		c.cut(b, conn.AuthViolation, wire.TextAuthorization)
	case errors.Is(err, wire.ErrUnknownOp):
		c.cut(b, conn.ProtocolViolation, wire.TextUnknownOp)
	case errors.Is(err, wire.ErrControlLine):
		c.cut(b, conn.MaxControlLine, wire.TextControlLine)
	case errors.Is(err, wire.ErrMaxPayload):
		c.cut(b, conn.MaxPayload, wire.TextMaxPayload)
	default:
		c.cut(b, conn.ProtocolViolation, "")
	}
}
