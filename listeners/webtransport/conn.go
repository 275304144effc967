package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	wt "github.com/quic-go/webtransport-go"

	"ganglion/listeners/quic"
)

// aheadSize is how much Wait reads: a stream of a session can't be looked at
// without reading it.
const aheadSize = 256

// moreWait bounds how long a Read that has something waits for more.
const moreWait = time.Millisecond

// Conn is the server's end of a NATS connection: one stream of a session.
type Conn struct {
	s   *session
	str *wt.Stream
	pre quic.Preamble

	// Of the reader.
	ahead    [aheadSize]byte
	from, to int   // what of ahead is to be read
	err      error // comes behind it

	write    sync.Mutex
	patience quic.Patience
	once     sync.Once
	lanes    atomic.Int32
	asked    atomic.Bool // for Request

	mu       sync.Mutex
	deadline time.Time // of reads, as the caller set it
	own      bool      // a deadline of ours is in its place
	code     uint64
	text     string
	abrupt   bool
}

// Wait blocks until a Read would not. Who waits this way needs no buffer
// meanwhile.
func (c *Conn) Wait() error {
	if c.from < c.to || c.err != nil {
		return c.err
	}
	n, err := c.str.Read(c.ahead[:])
	c.s.v.way.Look()
	if n == 0 {
		return err // Read returns it again
	}
	c.from, c.to, c.err = 0, n, lasting(err)
	return nil
}

// Read reads stream bytes.
func (c *Conn) Read(p []byte) (int, error) {
	if c.from == c.to {
		if c.err != nil {
			return 0, c.err
		}
		return c.str.Read(p)
	}
	n := copy(p, c.ahead[c.from:c.to])
	c.from += n
	if c.from < c.to || c.to < aheadSize || n == len(p) || c.err != nil {
		return n, nil
	}
	m, err := c.more(p[n:])
	c.err = lasting(err)
	return n + m, nil
}

// more reads what has come already. There is no way to ask for just that, so it
// waits a little.
func (c *Conn) more(p []byte) (int, error) {
	c.mu.Lock()
	c.own = true
	c.str.SetReadDeadline(time.Now().Add(moreWait))
	c.mu.Unlock()
	n, err := c.str.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = false
	c.str.SetReadDeadline(c.deadline)
	return n, err
}

// lasting returns err if it is not a deadline.
func lasting(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// Write writes stream bytes. It returns when QUIC has taken them all, not when the
// client has.
func (c *Conn) Write(p []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	return c.patience.Write(c.s.v.qc, c.str, p)
}

// Goodbye says why the connection is about to be closed, as the comment of package
// quic lists it. abrupt says that the client does not take what was written.
func (c *Conn) Goodbye(code uint64, text string, abrupt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code == quic.CodeNone {
		c.code, c.text, c.abrupt = code, text, abrupt
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// Close ends the connection. What was written is still delivered, unless a Write
// is stuck or Goodbye said otherwise.
func (c *Conn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		code, text, abrupt := c.code, c.text, c.abrupt
		c.mu.Unlock()
		c.str.CancelRead(wt.StreamErrorCode(code))
		if !abrupt && c.write.TryLock() {
			c.str.Close()
			c.write.Unlock()
		} else {
			c.str.CancelWrite(wt.StreamErrorCode(code))
		}
		// A client that resets the stream as if the session were over has a Read,
		// and a Write, wait for the session's end; only this ends them.
		c.SetDeadline(past)
		c.s.linger.End(code, text)
	})
	return nil
}

// CloseNow is Close without regard for what was written.
func (c *Conn) CloseNow() error {
	c.Goodbye(quic.CodeRefused, "Connection Refused", true)
	return c.Close()
}

// Request returns the request that opened the session, for its cookies and
// headers, once. It is the caller's.
func (c *Conn) Request() *http.Request {
	if c.asked.Swap(true) {
		return nil
	}
	return c.s.req.Clone(context.Background())
}

// LocalAddr returns the port's address.
func (c *Conn) LocalAddr() net.Addr { return c.s.v.qc.LocalAddr() }

// RemoteAddr returns the client's address of the moment: it may change.
func (c *Conn) RemoteAddr() net.Addr { return c.s.v.qc.RemoteAddr() }

// ConnectionState describes the TLS of the QUIC connection.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.s.v.qc.ConnectionState().TLS }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds Read and Wait.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.own {
		return nil // more sets it
	}
	return c.str.SetReadDeadline(t)
}

// SetWriteDeadline bounds Write, not counting times when nothing at all comes from
// the client; see quic.Patience.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.patience.SetDeadline(c.str, t) }

// Path returns what is known of the way to the client; Streams are those of the
// session.
func (c *Conn) Path() quic.Path { return c.s.v.way.Path(c.s.linger.Streams(), int(c.lanes.Load())) }

// PathStats is Path in terms of the standard library.
func (c *Conn) PathStats() map[string]int64 { return c.Path().Stats() }
