package client

import (
	"time"

	"ganglion/core/conn"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// rttPing is when a session is pinged first, to learn its round-trip time.
const rttPing = 2200 * time.Millisecond

// connect runs CONNECT, the first or a later one.
func (c *Client) connect(b *router.Batch, s *Settings, arg []byte) error {
	o, err := wire.ParseConnect(arg)
	if err != nil {
		return c.cut(b, conn.ProtocolViolation, "")
	}
	id, err := s.Auth.Authenticate(&o)
	if err != nil || o.Account != "" && o.Account != c.acc.Name() {
		s.Log.Error("authentication error", "cid", c.cid, "remote", c.addr(), "user", o.User)
		return c.cut(b, conn.AuthViolation, wire.TextAuthorization)
	}
	if o.Protocol != 0 && o.Protocol != 1 {
		return c.cut(b, conn.BadClientProtocol, wire.TextClientProtocol)
	}
	headers := o.Headers && !s.NoHeaders
	if o.NoResponders && !headers {
		return c.cut(b, conn.NoRespNeedsHeaders, wire.TextNeedsHeaders)
	}
	c.setFlag(flagVerbose, o.Verbose)
	c.setFlag(flagPedantic, o.Pedantic)
	c.setFlag(flagEcho, o.Echo)
	c.setFlag(flagHeaders, headers)
	c.setFlag(flagNoResponders, o.NoResponders)
	c.setFlag(flagInfo, o.Protocol >= 1)
	first := !c.has(flagConnected)
	if first {
		c.conn.TakeRequest() // its cookies have no part in who this is yet
	}
	c.setFlag(flagConnected, true)
	if first {
		c.firstRTT.Store(int64(time.Since(c.start)))
	}
	c.setFlag(flagAwaitAuth, false)
	c.configure(s)
	c.who.Store(&identity{name: o.Name, lang: o.Lang, version: o.Version, user: id.User})
	c.origin = nil

	o.AuthToken, o.Pass, o.JWT, o.Sig = "", "", "", ""
	for _, h := range s.Connect {
		if err := h.OnConnect(c.Origin(), &o); err != nil {
			s.Log.Warn("connect hook refused", "cid", c.cid, "remote", c.addr(), "error", err)
			return c.cut(b, conn.AuthViolation, wire.TextAuthorization)
		}
	}
	if first {
		c.conn.Schedule(c.firstTick(s))
	}
	if first && c.m.events != nil {
		c.m.events.Connected(c)
	}
	c.ok(b)
	return nil
}

// Deauthorize closes a session whose credentials may not hold any more; its
// client connects, and authenticates, anew.
func (c *Client) Deauthorize() {
	c.end(conn.AuthViolation, wire.TextAuthorization)
}
