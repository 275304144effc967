package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// Upgrade says how a plain connection becomes TLS before its session begins.
type Upgrade struct {
	Config *tls.Config
	// Optional has a peer whose first byte begins no TLS record stay without.
	Optional bool
	// Timeout is how long the handshake may take once the peer began it.
	Timeout time.Duration
	// Slots bounds the handshakes that are under way at the same time; nil is
	// no bound. Others wait for a slot within their timeout.
	Slots chan struct{}
	// Begun is called when the peer begins a handshake; an error refuses it.
	Begun func() error
	// Secured is called on the reader's goroutine, before any byte of the
	// session is consumed: with nil when the peer stays without TLS.
	Secured func(*tls.ConnectionState)
	// Failed is called instead when the handshake failed; the connection is
	// closed after it.
	Failed func(error)
}

// recordHandshake is the first byte of a TLS connection.
const recordHandshake = 22

var errNoSlot = errors.New("too many TLS handshakes under way")

// AwaitTLS has c begin with a TLS handshake as soon as the peer sends something.
// It is called before Start. Until the peer does, c costs what any idle
// connection costs; nothing may be sent while a handshake is under way.
func (c *Conn) AwaitTLS(u *Upgrade) { c.upgrade = u }

// ConnectionState describes the TLS that c travels under, nil for none.
func (c *Conn) ConnectionState() *tls.ConnectionState {
	type stater interface{ ConnectionState() tls.ConnectionState }
	c.Lock()
	sec, pipe := c.sec, c.pipe
	c.Unlock()
	if sec != nil {
		s := sec.ConnectionState()
		return &s
	}
	if t, ok := pipe.(stater); ok {
		s := t.ConnectionState()
		return &s
	}
	if t, ok := c.nc.(stater); ok {
		s := t.ConnectionState()
		return &s
	}
	return nil
}

// Framed reports whether c travels in frames, as WebSocket does.
func (c *Conn) Framed() bool { return c.frame != nil }

// handshake runs the handshake on nc, blocking. It returns nil after telling
// Failed.
func (c *Conn) handshake(nc net.Conn) *TLSConn {
	u := c.upgrade
	ctx, cancel := context.WithTimeout(context.Background(), u.Timeout)
	defer cancel()
	if err := u.Begun(); err != nil {
		u.Failed(err)
		return nil
	}
	if u.Slots != nil {
		select {
		case u.Slots <- struct{}{}:
			defer func() { <-u.Slots }()
		case <-ctx.Done():
			u.Failed(errNoSlot)
			return nil
		}
	}
	t := TLSServer(nc, u.Config)
	t.record.lent = true
	if err := t.HandshakeContext(ctx); err != nil {
		u.Failed(err)
		return nil
	}
	return t
}

// upgradeWaiting is the upgrade of a connection that a goroutine reads. It
// returns false when c is not to be read any more.
func (c *Conn) upgradeWaiting() bool {
	u := c.upgrade
	first := make([]byte, 1) // until it comes nothing has begun
	if _, err := c.pipe.Read(first); err != nil {
		c.readFailed(err)
		return false
	}
	nc := &prefixed{Conn: c.pipe, first: first}
	if u.Optional && first[0] != recordHandshake {
		c.setPipe(nc, nil)
		u.Secured(nil)
		return true
	}
	t := c.handshake(nc)
	if t == nil {
		c.Close(TLSHandshakeError)
		return false
	}
	c.setPipe(t, nil)
	state := t.ConnectionState()
	u.Secured(&state)
	return true
}

// setPipe replaces what c is written to and ends the upgrade.
func (c *Conn) setPipe(nc net.Conn, sec *TLSConn) {
	c.upgrade = nil
	c.Lock()
	if c.pipe != nc {
		c.pipe = nc
	}
	c.sec = sec
	c.Unlock()
}

// prefixed is a connection of which a first byte was read already.
type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 && len(b) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
