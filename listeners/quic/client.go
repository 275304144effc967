package quic

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// closeWait bounds how long Close waits for the server to have got everything.
const closeWait = time.Second

// ClientConn is the client's end of a NATS connection. With lanes what comes on
// them is put, op by op, between what comes on the connection's own stream.
type ClientConn struct {
	s     *Session
	qc    *quicgo.Conn
	str   *quicgo.Stream
	pre   Preamble
	own   bool    // the session goes with it
	merge *merger // nil without lanes

	write     sync.Mutex
	connected bool // CONNECT was written; guarded by write

	end   sync.Once
	ended chan struct{} // closed when the server's last byte was read
	close sync.Once
	mu    sync.Mutex
	why   *CloseError
}

// Session returns the QUIC connection that c travels on.
func (c *ClientConn) Session() *Session { return c.s }

// Read reads what the server sends. After the last byte the error is io.EOF or a
// *CloseError.
func (c *ClientConn) Read(p []byte) (int, error) {
	var n int
	var err error
	if c.merge != nil {
		n, err = c.merge.Read(p)
	} else {
		n, err = c.str.Read(p)
	}
	if err == nil {
		return n, nil
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		select {
		case <-c.qc.Context().Done():
		default:
			return n, err
		}
	}
	return n, c.over(err)
}

// over notes that nothing more comes and returns the error that says so.
func (c *ClientConn) over(err error) error {
	c.end.Do(func() { close(c.ended) })
	if ce := closeError(err); ce != nil {
		c.mu.Lock()
		if c.why == nil || c.why.Code == ce.Code {
			c.why = ce
		}
		c.mu.Unlock()
		return ce
	}
	return err
}

// Reason returns why the server closed the connection, as far as it has said so,
// nil otherwise.
func (c *ClientConn) Reason() *CloseError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// Write sends p.
func (c *ClientConn) Write(p []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	if c.merge != nil && !c.connected {
		if q, at := c.withLanes(p); at > 0 {
			c.connected = true
			if _, err := c.str.Write(q); err != nil {
				return 0, c.failed(err)
			}
			return len(p), nil
		}
	}
	n, err := c.str.Write(p)
	return n, c.failed(err)
}

func (c *ClientConn) failed(err error) error {
	if ce := closeError(err); ce != nil {
		c.mu.Lock()
		if c.why == nil {
			c.why = ce
		}
		c.mu.Unlock()
		return ce
	}
	return err
}

// withLanes adds the lanes to the CONNECT that p begins with; at is 0 where there
// is none.
func (c *ClientConn) withLanes(p []byte) (q []byte, at int) {
	const verb = "CONNECT {"
	if len(p) <= len(verb) || !bytes.EqualFold(p[:len(verb)], []byte(verb)) {
		return nil, 0
	}
	list, err := json.Marshal(c.s.opts.Lanes)
	if err != nil {
		return nil, 0
	}
	q = append(append(append([]byte(nil), p[:len(verb)]...), `"lanes":`...), list...)
	if rest := bytes.TrimLeft(p[len(verb):], " "); len(rest) > 0 && rest[0] != '}' {
		q = append(q, ',')
	}
	return append(q, p[len(verb):]...), len(verb)
}

// Close ends the connection: what was written is delivered, for which it waits a
// second at most. A connection of Dial takes its QUIC connection along.
func (c *ClientConn) Close() error {
	c.close.Do(func() {
		c.write.Lock()
		c.str.Close()
		c.write.Unlock()
		c.s.forget(c)
		if c.merge != nil {
			c.merge.drain(func() { c.end.Do(func() { close(c.ended) }) })
		} else {
			c.str.SetReadDeadline(time.Time{})
			go func() {
				io.Copy(io.Discard, c.str)
				c.end.Do(func() { close(c.ended) })
			}()
		}
		t := time.NewTimer(closeWait)
		select {
		case <-c.ended:
		case <-c.qc.Context().Done():
		case <-t.C:
		}
		t.Stop()
		c.str.CancelRead(CodeNone)
		if c.merge != nil {
			c.merge.stop() // lanes have nobody left to hand on to
		}
		if c.own {
			c.s.Close()
		}
		if c.merge != nil {
			c.merge.wg.Wait()
		}
	})
	return nil
}

// ConnectionState describes the TLS of the QUIC connection.
func (c *ClientConn) ConnectionState() tls.ConnectionState { return c.qc.ConnectionState().TLS }

// LocalAddr returns the local address.
func (c *ClientConn) LocalAddr() net.Addr { return c.qc.LocalAddr() }

// RemoteAddr returns the server's address.
func (c *ClientConn) RemoteAddr() net.Addr { return c.qc.RemoteAddr() }

// SetDeadline sets both deadlines.
func (c *ClientConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.str.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read.
func (c *ClientConn) SetReadDeadline(t time.Time) error {
	if c.merge != nil {
		c.merge.setDeadline(t)
		return nil
	}
	return c.str.SetReadDeadline(t)
}

// SetWriteDeadline bounds Write.
func (c *ClientConn) SetWriteDeadline(t time.Time) error { return c.str.SetWriteDeadline(t) }
