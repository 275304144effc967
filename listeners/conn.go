package listeners

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is an accepted connection that gives its place back when it is closed.
// There is one for each idle connection, so it holds nothing else.
type conn struct {
	net.Conn
	gate atomic.Pointer[Gate] // nil once the place is given back
	peer *peer                // nil when addresses are not counted
}

// Close closes the connection and, the first time, gives its place back.
func (c *conn) Close() error {
	err := c.Conn.Close()
	if g := c.gate.Swap(nil); g != nil {
		g.leave(c.peer)
	}
	return err
}

// NetConn returns the connection of the transport, to be asked for what it
// offers. Only the outer connection is to be closed.
func (c *conn) NetConn() net.Conn { return c.Conn }

type (
	halfCloser interface{ CloseWrite() error }
	socket     interface {
		syscall.Conn
		halfCloser
		CloseRead() error
	}
)

// A wrapper offers what its connection does, so there is one for each
// combination that transports have.
type (
	rawConn    struct{ conn } // a descriptor
	halfConn   struct{ conn } // half-close, as TLS has
	socketConn struct{ conn } // both, as TCP and unix sockets have
)

func (c *rawConn) SyscallConn() (syscall.RawConn, error) { return c.Conn.(syscall.Conn).SyscallConn() }
func (c *halfConn) CloseWrite() error                    { return c.Conn.(halfCloser).CloseWrite() }
func (c *socketConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}
func (c *socketConn) CloseRead() error  { return c.Conn.(socket).CloseRead() }
func (c *socketConn) CloseWrite() error { return c.Conn.(halfCloser).CloseWrite() }

// wrap returns nc as a connection that has a place of g's.
func wrap(nc net.Conn, g *Gate, p *peer) net.Conn {
	var (
		outer net.Conn
		inner *conn
	)
	switch nc.(type) {
	case socket:
		c := &socketConn{conn{Conn: nc, peer: p}}
		outer, inner = c, &c.conn
	case syscall.Conn:
		c := &rawConn{conn{Conn: nc, peer: p}}
		outer, inner = c, &c.conn
	case halfCloser:
		c := &halfConn{conn{Conn: nc, peer: p}}
		outer, inner = c, &c.conn
	default:
		inner = &conn{Conn: nc, peer: p}
		outer = inner
	}
	inner.gate.Store(g)
	return outer
}

// refuse closes nc without waiting for its peer.
func refuse(nc net.Conn) {
	if c, ok := nc.(interface{ CloseNow() error }); ok {
		c.CloseNow()
		return
	}
	// A farewell that the transport would write or wait for fails at once.
	nc.SetDeadline(time.Unix(1, 0))
	nc.Close()
}
