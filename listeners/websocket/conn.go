package websocket

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Conn is the server's end of a WebSocket connection as a stream: what is read
// are the payloads of data frames, one after the other; what is written goes out
// as one binary frame. Reads and writes may run at the same time.
//
// A reader that has a better way to wait reads NetConn itself and gives the bytes
// to Decode, and writes what AppendFrame returns in front of its own bytes; it
// must then not call Read and Write.
type Conn struct {
	nc     net.Conn
	remote net.Addr
	packs  bool // permessage-deflate was negotiated
	leaf   bool // it was asked for on pathLeaf
	d      decoder
	ahead  []byte // read by net/http behind the request

	mu  sync.Mutex
	req *http.Request

	// Of Read.
	raw, out []byte
	rest     []byte

	write sync.Mutex
	head  []byte
	done  bool // a close frame was sent
}

// newConn returns the connection of an upgraded request. brw is what net/http
// read through. maxPacked is 0 when no compression was negotiated.
func newConn(nc net.Conn, brw *bufio.ReadWriter, r *http.Request, remote net.Addr, maxPacked int) *Conn {
	c := &Conn{nc: nc, remote: remote, packs: maxPacked > 0, leaf: r.URL.Path == pathLeaf, req: r}
	c.d.maxPacked = maxPacked
	if c.leaf {
		c.nc = &layered{nc, nc}
	}
	if n := brw.Reader.Buffered(); n > 0 {
		b, _ := brw.Reader.Peek(n)
		c.ahead = append([]byte(nil), b...)
	}
	return c
}

// NetConn returns the connection that the frames travel on.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Buffered returns what was read from NetConn behind the upgrade request, once.
// The bytes are the caller's.
func (c *Conn) Buffered() []byte {
	b := c.ahead
	c.ahead = nil
	return b
}

// Request returns the upgrade request, for its cookies and headers, once: the
// connection doesn't hold it after that.
func (c *Conn) Request() *http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.req
	c.req = nil
	return r
}

// Leaf reports whether a leaf asked for the connection (Options.Leaf).
func (c *Conn) Leaf() bool { return c.leaf }

// Packs reports whether the client takes compressed frames: AppendFrame may be
// called with packed.
func (c *Conn) Packs() bool { return c.packs }

// Decode unpacks frames that were read from NetConn. out is stream bytes, which
// lie at the front of in, or, inflated, in memory that is valid until the next
// call; rest is what is to be given to Decode again; reply, control frames, is to
// be sent to the client. All is done when out and rest are empty. err is io.EOF
// when the client said goodbye, otherwise what it did wrong; its method CloseCode
// returns how to say goodbye.
func (c *Conn) Decode(in []byte) (out, rest, reply []byte, err error) { return c.d.decode(in) }

// AppendFrame appends the header of a binary frame of n bytes. packed says that
// they are deflate blocks (RFC 7692).
func (c *Conn) AppendFrame(b []byte, n int, packed bool) []byte {
	first := byte(bitFin | opBinary)
	if packed {
		first |= bitRSV1
	}
	return appendHeader(b, first, n)
}

// AppendClose appends a close frame. text is cut to 123 bytes.
func (c *Conn) AppendClose(b []byte, code int, text string) []byte {
	return appendClose(b, code, text)
}

const readSize = 16 << 10

// Read reads stream bytes, blocking.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.out) == 0 {
		in := c.rest
		if len(in) == 0 && (c.d.inflate == nil || !c.d.inflate.ready) {
			if in = c.Buffered(); in == nil {
				if c.raw == nil {
					c.raw = make([]byte, readSize)
				}
				n, err := c.nc.Read(c.raw)
				if n == 0 && err != nil {
					return 0, err
				}
				in = c.raw[:n]
			}
		}
		out, rest, reply, err := c.d.decode(in)
		c.out, c.rest = out, rest
		if len(reply) > 0 {
			c.reply(reply, err != nil)
		}
		if err != nil && len(out) == 0 {
			if pe, ok := err.(*protocolError); ok && pe.code != 0 {
				c.reply(appendClose(nil, pe.code, pe.text), true)
			}
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *Conn) reply(b []byte, last bool) {
	c.write.Lock()
	defer c.write.Unlock()
	if !c.done {
		c.nc.Write(b)
		c.done = last
	}
}

// Write sends p as one binary frame.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.write.Lock()
	defer c.write.Unlock()
	if c.done {
		return 0, errClosed
	}
	c.head = c.AppendFrame(c.head[:0], len(p), false)
	if c.leaf {
		frame := append(append(make([]byte, 0, len(c.head)+len(p)), c.head...), p...)
		n, err := c.nc.Write(frame)
		c.done = c.done || err != nil
		return max(n-len(c.head), 0), err
	}
	bufs := net.Buffers{c.head, p}
	n, err := bufs.WriteTo(c.nc)
	if err != nil {
		c.done = true // the frame is broken
	}
	return max(int(n)-len(c.head), 0), err
}

// Below has the frames of a leaf's connection (Leaf) travel over what put makes of
// the connection below, e.g. compression that both ends have agreed on. Nobody may
// read or write meanwhile, and only Read and Write are of use afterwards.
func (c *Conn) Below(put func(net.Conn) net.Conn) {
	if l, ok := c.nc.(*layered); ok {
		l.top = put(l.Conn)
	}
}

// layered is a connection with something on top that reads and writes for it. The
// rest, which may happen at any time, is the connection's own.
type layered struct {
	net.Conn
	top net.Conn
}

func (l *layered) Read(p []byte) (int, error)  { return l.top.Read(p) }
func (l *layered) Write(p []byte) (int, error) { return l.top.Write(p) }

// Close closes the connection below. It sends no close frame: who reads and
// writes NetConn itself has said goodbye.
func (c *Conn) Close() error { return c.nc.Close() }

// LocalAddr returns the listener's end.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the client's address, behind trusted proxies the one that
// they name.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetDeadline(t) }

// SetReadDeadline bounds Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline bounds Write; a frame that was cut by it ends the connection.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.nc.SetWriteDeadline(t) }

var _ io.ReadWriteCloser = (*Conn)(nil)
