package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ganglion/core/auth"
	"ganglion/core/conn"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// rttPing is when a session is pinged first, to learn its round-trip time.
const rttPing = 2200 * time.Millisecond

// handshake is what a session needs until its client is who it says.
type handshake struct {
	nonce   string        // to be signed by the client
	upgrade *http.Request // that the session began with
	attempt *attempt      // under way
}

// noShake is of sessions that need nothing of it.
var noShake = &handshake{}

// afterConnect returns what is kept of h for a later CONNECT.
func afterConnect(h *handshake) *handshake {
	if h.nonce == "" {
		return noShake
	}
	return &handshake{nonce: h.nonce}
}

// attempt is a CONNECT whose credentials are being checked elsewhere.
type attempt struct {
	opts wire.ConnectOptions
	id   *auth.Identity
	err  error
}

// connect runs CONNECT, the first or a later one. What takes long to check is
// checked elsewhere, and the session suspended meanwhile.
func (c *Client) connect(b *router.Batch, s *Settings, arg []byte) error {
	o, err := wire.ParseConnect(arg)
	if err != nil {
		return c.cut(b, conn.ProtocolViolation, "")
	}
	if c.shake == noShake && !c.has(flagConnected) {
		c.shake = &handshake{}
	}
	r := c.request(s, &o)
	if s.Auth.Quick(r) {
		id, err := s.Auth.Authenticate(c.m.ctx, r)
		return c.connected(b, s, &o, id, err)
	}
	if c.shake == noShake {
		c.shake = &handshake{}
	}
	a := &attempt{opts: o}
	r.Connect = &a.opts
	c.shake.attempt = a
	c.conn.Suspend()
	ctx, cancel := context.WithTimeout(c.m.ctx, s.Auth.Timeout(c.ep.Name))
	err = s.Pool.Go(ctx, s.Auth.Cost(r), func(done bool) {
		if done {
			a.err = auth.ErrBusy
		} else {
			a.id, a.err = s.Auth.Authenticate(ctx, r)
		}
		cancel()
		c.conn.Resume()
	})
	if err != nil {
		cancel()
		a.err = err
		c.conn.Resume()
	}
	return nil
}

// request is what is known of a client that says who it is.
func (c *Client) request(s *Settings, o *wire.ConnectOptions) *auth.Request {
	r := &auth.Request{
		Connect: o, Nonce: c.shake.nonce, Listener: c.ep.Name, Type: c.connectionType(), Kind: "Client", CID: c.cid, Remote: c.ip, Host: c.remote,
		HTTP: c.upgradeRequest(), MapTLS: c.ep.MapTLS,
	}
	if c.has(flagSecure) {
		if t := c.conn.ConnectionState(); t != nil && t.HandshakeComplete {
			r.TLS = t
		}
	}
	return r
}

// upgradeRequest returns the HTTP request that the session began with, nil for
// none. It is kept until the client is who it says.
func (c *Client) upgradeRequest() *http.Request {
	if c.shake.upgrade == nil && !c.has(flagConnected) {
		c.shake.upgrade = c.conn.TakeRequest()
	}
	return c.shake.upgrade
}

// connectionType names how the session came, as in allowed_connection_types.
func (c *Client) connectionType() string {
	switch {
	case c.ep.Type != "":
		return c.ep.Type
	case c.conn.Framed():
		return auth.TypeWebSocket
	}
	return auth.TypeStandard
}

// connected goes on with a CONNECT whose credentials were checked: id or err came
// of it.
func (c *Client) connected(b *router.Batch, s *Settings, o *wire.ConnectOptions, id *auth.Identity, err error) error {
	if err == nil && o.Account != "" && o.Account != id.Account.Name() {
		err = fmt.Errorf("%w: CONNECT names account %q", auth.ErrDenied, o.Account)
	}
	switch {
	case errors.Is(err, auth.ErrBusy): // clients come back by themselves
		return c.cut(b, conn.AuthTimeout, "")
	case err != nil:
		return c.denied(b, s, o, err)
	}
	if o.Protocol != 0 && o.Protocol != 1 {
		return c.cut(b, conn.BadClientProtocol, wire.TextClientProtocol)
	}
	headers := o.Headers && !s.NoHeaders
	if o.NoResponders && !headers {
		return c.cut(b, conn.NoRespNeedsHeaders, wire.TextNeedsHeaders)
	}
	g := newGrant(s, id)
	if !c.m.join(c, g.acc) {
		s.Log.Error(wire.TextMaxAccountConns, "cid", c.cid, "remote", c.addr(), "account", g.acc.Name(), "max_connections", g.acc.Spec().Limits.Conns)
		return c.cut(b, conn.MaxAccountConns, wire.TextMaxAccountConns)
	}
	c.leaveSubs(g)
	c.setFlag(flagVerbose, o.Verbose)
	c.setFlag(flagPedantic, o.Pedantic)
	c.setFlag(flagEcho, o.Echo)
	c.setFlag(flagHeaders, headers)
	c.setFlag(flagNoResponders, o.NoResponders)
	c.setFlag(flagInfo, o.Protocol >= 1)
	c.nameLanes(b, o.Lanes)
	first := !c.has(flagConnected)
	c.upgradeRequest() // it is let go now
	c.setFlag(flagConnected, true)
	c.shake = afterConnect(c.shake)
	if first {
		c.firstRTT.Store(int64(time.Since(c.start)))
	}
	c.setFlag(flagAwaitAuth, false)
	c.conn.Lock()
	c.take(g)
	c.conn.Unlock()
	c.configure(s)
	c.who.Store(&identity{name: o.Name, lang: o.Lang, version: o.Version, user: id.User})
	c.origin = nil
	if first && !id.Anonymous {
		s.Failures.Succeeded(c.ip)
	}

	o.AuthToken, o.Pass, o.JWT, o.Sig = "", "", "", ""
	for _, h := range s.Connect {
		if err := h.OnConnect(c.Origin(), o); err != nil {
			s.Log.Warn("connect hook refused", "cid", c.cid, "remote", c.addr(), "error", err)
			return c.cut(b, conn.AuthViolation, wire.TextAuthorization)
		}
	}
	if end, _ := c.expiry(); first || !end.IsZero() {
		c.conn.Schedule(c.untilExpiry(c.firstTick(s)))
	}
	if first && c.m.events != nil {
		c.m.events.Connected(c)
	}
	if first && !c.admitSession(s) {
		return c.cut(b, conn.RateLimit, "")
	}
	c.ok(b)
	return nil
}

// denied ends a session whose credentials are missing or wrong.
func (c *Client) denied(b *router.Batch, s *Settings, o *wire.ConnectOptions, err error) error {
	if c.m.logAuth() {
		s.Log.Error("authentication error", "cid", c.cid, "remote", c.addr(), "user", o.User, "nkey", o.NKey, "reason", err)
	}
	s.Failures.Failed(c.ip)
	if c.m.events != nil {
		c.who.Store(&identity{name: o.Name, lang: o.Lang, version: o.Version, user: o.User})
		c.m.events.Refused(c)
	}
	r, text := refusal(err)
	if (r == conn.AuthExpired || r == conn.Revoked) && c.grant.Load().id == nil {
		r, text = conn.AuthViolation, wire.TextAuthorization // it never was in
	}
	return c.cut(b, r, text)
}

// leaveSubs ends the subscriptions of a session that goes over to another account.
func (c *Client) leaveSubs(g *grant) {
	old := c.grant.Load()
	if old.acc == g.acc {
		return
	}
	c.conn.Lock()
	subs := c.subs.takeAll()
	for _, sub := range subs {
		sub.Closed = true
	}
	c.conn.Unlock()
	if len(subs) > 0 {
		old.acc.UnsubscribeAll(subs)
		endLanes(subs)
	}
}

// Deauthorize closes a session whose credentials may not hold any more; its
// client connects, and authenticates, anew.
func (c *Client) Deauthorize() {
	c.end(conn.AuthViolation, wire.TextAuthorization)
}

// TLS returns the session's TLS state, nil without.
func (c *Client) TLS() *tls.ConnectionState {
	if !c.has(flagSecure) {
		return nil
	}
	return c.conn.ConnectionState()
}
