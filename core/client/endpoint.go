package client

import (
	"crypto/tls"
	"time"

	"ganglion/core/conn"
	"ganglion/core/limit"
)

// Endpoint says what the connections of a listener are. It must not be changed
// once it is in use.
type Endpoint struct {
	// Name of the listener, for logs, monitoring and hooks.
	Name string
	// Host and Port are what INFO says; zero values are the broker's own.
	Host string
	Port int
	// TLS says how connections become TLS; nil is not at all.
	TLS *TLS
	// Secure says that connections come with TLS below them, as wss does.
	Secure bool
	// PingInterval replaces the broker's; 0 does not.
	PingInterval time.Duration
	// Type is what allowed_connection_types calls the connections; "" is
	// WEBSOCKET for those in frames and STANDARD for all others.
	Type string
	// MapTLS has the client's certificate say who it is (verify_and_map).
	MapTLS bool
}

// TLSMode says when TLS begins.
type TLSMode uint8

const (
	// AfterInfo has the server send INFO in clear first, as NATS does by default.
	AfterInfo TLSMode = iota
	// First has the client begin with TLS.
	First
	// Auto waits for a client that begins with TLS, and sends INFO in clear when
	// none came within TLS.Delay.
	Auto
)

// Defaults of TLS, which are nats-server's.
const (
	DefaultTLSTimeout = 2 * time.Second
	DefaultTLSDelay   = 50 * time.Millisecond
)

// TLS says how connections become TLS.
type TLS struct {
	Config *tls.Config
	Mode   TLSMode
	// Delay is how long Auto waits; 0 is DefaultTLSDelay.
	Delay time.Duration
	// Timeout is for the client to begin, and again to finish, the handshake; 0
	// is DefaultTLSTimeout.
	Timeout time.Duration
	// AllowPlain lets clients stay without TLS.
	AllowPlain bool
	// Rate bounds handshakes a second; a connection above it is closed. nil is
	// no bound.
	Rate *limit.Bucket
	// Slots bounds the handshakes under way; nil is no bound.
	Slots chan struct{}
}

func (t *TLS) timeout() time.Duration {
	if t.Timeout > 0 {
		return t.Timeout
	}
	return DefaultTLSTimeout
}

func (t *TLS) delay() time.Duration {
	if t.Delay > 0 {
		return t.Delay
	}
	return DefaultTLSDelay
}

// awaitTLS has the connection become TLS as its endpoint says.
func (c *Client) awaitTLS(t *TLS) {
	c.setFlag(flagAwaitTLS, true)
	c.conn.AwaitTLS(&conn.Upgrade{
		Config: t.Config, Optional: t.AllowPlain, Timeout: t.timeout(), Slots: t.Slots,
		Begun: c.tlsBegun, Secured: c.secured, Failed: c.tlsFailed,
	})
}

// tlsBegun is called when the client begins the handshake. From then on INFO must
// not go out in clear; who sets flagFirstInfo sends it.
func (c *Client) tlsBegun() error {
	if c.flags.Or(flagFirstInfo)&flagFirstInfo == 0 {
		c.setFlag(flagLateInfo, true)
	}
	if r := c.ep.TLS.Rate; r != nil && !r.Take(time.Now(), 1) {
		return errTLSRate
	}
	return nil
}

// secured is called when TLS stands, or, with nil, when the client does without.
func (c *Client) secured(state *tls.ConnectionState) {
	c.setFlag(flagAwaitTLS, false)
	c.setFlag(flagSecure, state != nil)
	s := c.m.Settings()
	if c.has(flagLateInfo) || c.flags.Or(flagFirstInfo)&flagFirstInfo == 0 {
		i := c.info(s)
		c.conn.SendString(string(i.Append(nil)))
	}
	c.conn.Schedule(c.firstTick(s))
}

func (c *Client) tlsFailed(err error) {
	c.m.logCut(c, conn.TLSHandshakeError, "TLS handshake error: "+err.Error())
}

// tlsTick is Tick while the client has not begun its handshake; false when it
// need not.
func (c *Client) tlsTick() (next time.Duration, waiting bool) {
	t := c.ep.TLS
	switch {
	case t.Mode == Auto && c.flags.Or(flagFirstInfo)&flagFirstInfo == 0:
		s := c.m.Settings()
		i := c.info(s)
		c.conn.SendString(string(i.Append(nil)))
		return c.firstTick(s), true
	case c.has(flagLateInfo):
		return t.timeout(), true // the handshake has a limit of its own
	case t.AllowPlain && c.has(flagFirstInfo):
		return 0, false
	}
	c.m.logCut(c, conn.TLSHandshakeError, "TLS handshake timeout")
	c.conn.Close(conn.TLSHandshakeError)
	return 0, true
}
