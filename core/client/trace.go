package client

import (
	"context"

	"ganglion/core/wire"
)

// trace logs one op. CONNECT is logged without its argument, which holds
// secrets, and payloads only up to the configured length.
func (c *Client) trace(s *Settings, op *wire.Op) {
	args := []any{"cid", c.cid, "remote", c.addr(), "op", op.Kind.String()}
	switch op.Kind {
	case wire.Pub, wire.HPub:
		p := op.Msg.Payload()
		if s.MaxTraced > 0 && len(p) > s.MaxTraced {
			p = p[:s.MaxTraced]
		}
		args = append(args, "subject", string(op.Msg.Subject), "reply", string(op.Msg.Reply), "size", len(op.Msg.Data), "payload", string(p))
	case wire.Sub:
		args = append(args, "subject", string(op.Subject), "queue", string(op.Queue), "sid", string(op.SID))
	case wire.Unsub:
		args = append(args, "sid", string(op.SID), "max", op.Max)
	}
	s.Log.Log(context.Background(), LevelTrace, "<<-", args...)
}
