package conn

import (
	"net"
	"net/http"
)

// framer is a connection that carries the stream in frames, as WebSocket does.
// It is known by its methods, so that a listener need not know this package.
type framer interface {
	net.Conn

	// NetConn returns the connection that the frames travel on.
	NetConn() net.Conn
	// Buffered returns what was read from NetConn ahead, once.
	Buffered() []byte
	// Decode unpacks what was read from NetConn: out is stream bytes, rest what
	// is to be given to Decode again, reply is to be sent to the peer as it is.
	// in is decoded in place where possible, to its front; out may also lie in
	// memory that is valid until the next call. All is done when out and rest
	// are both empty. After an error (io.EOF when the peer closed) reply still
	// goes out.
	Decode(in []byte) (out, rest, reply []byte, err error)
	// AppendFrame appends what stands in front of n stream bytes in one frame;
	// packed says that they are deflate blocks.
	AppendFrame(b []byte, n int, packed bool) []byte
	// AppendClose appends a frame that says goodbye.
	AppendClose(b []byte, code int, text string) []byte
}

// Packs reports whether c's frames may be deflate blocks; what is sent on c must
// then either be blocks throughout (Buffer.AppendBlock, AppendBlocks) or not at
// all.
func (c *Conn) Packs() bool {
	p, ok := c.frame.(interface{ Packs() bool })
	return ok && p.Packs()
}

// TakeRequest returns the HTTP request that c began with, nil for none or when it
// was taken before: an idle connection has no use for it.
func (c *Conn) TakeRequest() *http.Request {
	if r, ok := c.frame.(interface{ Request() *http.Request }); ok {
		return r.Request()
	}
	return nil
}

// maxFrameHead is how much AppendFrame appends at most.
const maxFrameHead = 16

// layers finds what nc consists of: the frames and the TLS on top, and at the
// bottom what reads and writes go to.
func layers(nc net.Conn) (f framer, t *TLSConn, base net.Conn) {
	type wrapper interface{ NetConn() net.Conn }
	base = nc
	for x := nc; x != nil; {
		switch l := x.(type) {
		case framer:
			f = l
			x = l.NetConn()
			base = x
		case *TLSConn:
			return f, l, l.record.Conn
		case wrapper:
			x = l.NetConn() // a wrapper above frames or TLS is transparent
		case waiter: // what counts and closes it stays around it; see finish
			return f, nil, x
		default:
			return f, nil, base
		}
	}
	return f, nil, base
}

// decode gives the frames in buf[have:] to the handler as a stream, behind the
// have bytes of an unfinished op or, if there is one, behind c.rest, which buf is
// not part of. It returns false when c is not to be read any more.
func (c *Conn) decode(s *scratch, buf []byte, have int) bool {
	raw := buf[have:]
	for first := true; ; first = false {
		if !first {
			s.settle() // out may be used again by Decode
		}
		out, rest, reply, err := c.frame.Decode(raw)
		if len(reply) > 0 {
			c.sendRaw(reply)
		}
		alive := true
		inPlace := first && c.rest == nil && len(out) > 0 && &out[0] == &buf[have:][0]
		if first && have > 0 && !inPlace {
			c.keep(buf[:have])
		}
		switch {
		case inPlace:
			alive = c.took(s, buf[:have+len(out)])
		case len(out) > 0:
			alive = c.tookMore(s, out)
		}
		if err != nil {
			if alive {
				c.frameFailed(err)
			}
			return false
		}
		if !alive {
			return false
		}
		if len(out) == 0 && len(rest) == 0 {
			return true
		}
		raw = rest
	}
}

// tookMore consumes out, which lies elsewhere than the op that it goes on with.
func (c *Conn) tookMore(s *scratch, out []byte) bool {
	if c.rest == nil {
		return c.took(s, out)
	}
	if cap(c.rest)-len(c.rest) < len(out) {
		grown := getBuf(max(len(c.rest)+len(out), min(c.h.Need(), 2*cap(c.rest))))
		grown = append(grown, c.rest...)
		putBuf(c.rest)
		c.rest = grown
	}
	return c.took(s, append(c.rest, out...))
}

// wireCoder is an error that knows with which code and text to say goodbye.
type wireCoder interface {
	error
	CloseCode() (code int, text string)
}

// frameFailed ends c after its frames made no sense, or said goodbye.
func (c *Conn) frameFailed(err error) {
	c.out.mu.Lock()
	c.out.saidBye = true
	c.out.mu.Unlock()
	if w, ok := err.(wireCoder); ok {
		if code, text := w.CloseCode(); code != 0 {
			c.sendRaw(c.frame.AppendClose(nil, code, text))
		}
		c.Close(ProtocolViolation)
		return
	}
	c.readFailed(err)
}

// sendRaw sends b as it is, under TLS if there is any.
func (c *Conn) sendRaw(b []byte) {
	var x Buffer
	x.Append(b)
	x.raw = true
	c.Lock()
	c.Send(&x)
	x.Reset(0)
}

// farewell returns what is to be sent last, nil for nothing. The lock is held.
func (c *Conn) farewell(r CloseReason) []byte {
	var x Buffer
	if code, text := r.closeCode(); c.frame != nil && code != 0 && !c.out.saidBye {
		x.Set(c.frame.AppendClose(x.Reserve(128), code, text))
	}
	if c.sec == nil {
		return x.b
	}
	if x.Len() > 0 && c.sec.seal(&x) != nil {
		x.Reset(0)
		return nil
	}
	c.sec.CloseWrite()
	if b := c.sec.record.take(); b != nil {
		x.Append(b)
		putBuf(b)
	}
	return x.b
}

// closeCode returns the WebSocket close code and text for r; 0 for none, where
// nats-server drops the connection.
func (r CloseReason) closeCode() (int, string) {
	switch r {
	case ClientClosed, WriteError, ReadError, ParseError, ProtocolViolation, TLSHandshakeError:
		return 0, ""
	case Shutdown:
		return 1001, r.String()
	case MaxPayload:
		return 1009, r.String()
	}
	return 1008, r.String()
}
