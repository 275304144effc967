package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// Conn is the server's end of a NATS connection: one stream of a QUIC connection.
type Conn struct {
	s   *session
	str *quicgo.Stream
	pre Preamble

	ready    bool    // the handshake is complete; of the reader
	peek     [1]byte // of the reader
	write    sync.Mutex
	patience Patience
	once     sync.Once
	lanes    atomic.Int32

	mu     sync.Mutex
	code   uint64
	text   string
	abrupt bool
}

var errHandshake = errors.New("quic: the handshake did not complete")

// settle waits for the handshake, before which nothing but the preamble counts.
func (c *Conn) settle() error {
	if c.ready {
		return nil
	}
	if !c.s.l.port.Shaken(context.Background(), c.s.qc) {
		return errHandshake
	}
	c.ready = true
	return nil
}

// Wait blocks until a Read would not. Who waits this way needs no buffer
// meanwhile.
func (c *Conn) Wait() error {
	if err := c.settle(); err != nil {
		return err
	}
	_, err := c.str.Peek(c.peek[:])
	c.s.way.Look()
	return err
}

// Read reads stream bytes.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.settle(); err != nil {
		return 0, err
	}
	return c.str.Read(p)
}

// Write writes stream bytes. It returns when QUIC has taken them all, not when the
// client has.
func (c *Conn) Write(p []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	return c.patience.Write(c.s.qc, c.str, p)
}

// Goodbye says why the connection is about to be closed, as the package's comment
// lists it. abrupt says that the client does not take what was written.
func (c *Conn) Goodbye(code uint64, text string, abrupt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code == CodeNone {
		c.code, c.text, c.abrupt = code, text, abrupt
	}
}

// Close ends the connection. What was written is still delivered, unless a Write
// is stuck or Goodbye said otherwise.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		code, text, abrupt := c.code, c.text, c.abrupt
		c.mu.Unlock()
		c.str.CancelRead(quicgo.StreamErrorCode(code))
		if !abrupt && c.write.TryLock() {
			c.str.Close()
			c.write.Unlock()
		} else {
			c.str.CancelWrite(quicgo.StreamErrorCode(code))
		}
		c.s.linger.End(code, text)
	})
	return nil
}

// CloseNow is Close without regard for what was written.
func (c *Conn) CloseNow() error {
	c.Goodbye(CodeRefused, "Connection Refused", true)
	return c.Close()
}

// LocalAddr returns the port's address.
func (c *Conn) LocalAddr() net.Addr { return c.s.qc.LocalAddr() }

// RemoteAddr returns the client's address of the moment: it may change.
func (c *Conn) RemoteAddr() net.Addr { return c.s.qc.RemoteAddr() }

// ConnectionState describes the TLS of the QUIC connection.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.s.qc.ConnectionState().TLS }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.str.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read and Wait.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.str.SetReadDeadline(t) }

// SetWriteDeadline bounds Write, not counting times when nothing at all comes from
// the client; see Patience.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.patience.SetDeadline(c.str, t) }

// TakesLanes reports whether OpenLane may be called.
func (c *Conn) TakesLanes() bool { return c.pre.Lanes && c.s.l.port.opts.MaxLanes > 0 }

// errNoLane is returned by OpenLane where there can't be another.
var errNoLane = errors.New("quic: no further lane")

// OpenLane opens a stream to the client beside this one: only Write, Goodbye,
// Close, addresses and the deadline of writes are of use on it. It does not block;
// an error means that the client allows no further one at the moment.
func (c *Conn) OpenLane() (net.Conn, error) {
	if !c.TakesLanes() || c.lanes.Add(1) > int32(min(c.s.l.port.opts.MaxLanes, 1<<20)) {
		if c.TakesLanes() {
			c.lanes.Add(-1)
		}
		return nil, errNoLane
	}
	str, err := c.s.qc.OpenUniStream()
	if err != nil {
		c.lanes.Add(-1)
		return nil, err
	}
	l := &lane{Conn: c, str: str}
	str.SetPriority(urgencyLight, true)
	if _, err := str.Write(AppendLaneHead(nil, c.pre.Number)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Path returns what is known of the way to the client.
func (c *Conn) Path() Path { return c.s.way.Path(c.s.linger.Streams(), int(c.lanes.Load())) }

// PathStats is Path in terms of the standard library (listeners.OpenFunc).
func (c *Conn) PathStats() map[string]int64 { return c.Path().Stats() }
