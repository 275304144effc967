package conn

import (
	"errors"
	"io"
	"time"
)

const (
	// readBufferSize is what a worker reads at a time.
	readBufferSize = 128 << 10
	// readsPerTurn bounds how long one busy connection keeps a worker.
	readsPerTurn = 4
)

// scratch is what a reader brings along.
type scratch struct {
	batch Batch
	buf   []byte
}

// settle flushes the batch if it still refers to bytes of the buffer.
func (s *scratch) settle() {
	if s.batch.Borrowed() {
		s.batch.Flush()
	}
}

// target returns the buffer to read into and how many bytes of an unfinished op
// it begins with.
func (c *Conn) target(s *scratch) (buf []byte, have int) {
	have = len(c.rest)
	if have == 0 {
		return s.buf, 0
	}
	if c.h.Need() <= len(s.buf) && have < len(s.buf) {
		copy(s.buf, c.rest)
		putBuf(c.rest)
		c.rest = nil
		return s.buf, have
	}
	// A large op gathers in memory of its own, which grows as its bytes arrive,
	// not as they are announced.
	if cap(c.rest)-have < len(s.buf)/2 {
		grown := getBuf(max(min(c.h.Need(), 2*cap(c.rest)), have+len(s.buf)/2))
		grown = append(grown, c.rest...)
		putBuf(c.rest)
		c.rest = grown
	}
	return c.rest[:cap(c.rest)], have
}

// took consumes buf, which target returned and reading filled, and keeps what is
// left of it. It returns false when c is not to be read any more.
func (c *Conn) took(s *scratch, buf []byte) bool {
	if c.Reason() != NotClosed {
		return false
	}
	n, err := c.h.Consume(s.batch, buf)
	c.h.ReadDone(s.batch)
	if err != nil {
		return false
	}
	left := buf[n:]
	own := c.rest != nil // buf is c.rest
	switch {
	case own && n == 0:
		c.rest = buf
	case own:
		s.settle()
		base := c.rest[:0]
		c.rest = nil
		c.keep(left)
		putBuf(base)
	default:
		c.keep(left)
	}
	return c.Reason() == NotClosed
}

func (c *Conn) keep(left []byte) {
	if len(left) > 0 {
		c.rest = append(getBuf(len(left)), left...)
	}
}

// readFailed closes c after a read returned err (nil at the end of the stream).
func (c *Conn) readFailed(err error) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		c.Close(ClientClosed)
		return
	}
	c.Close(ReadError)
}

// waitLoop reads a connection that has no descriptor of ours to wait on.
func (c *Conn) waitLoop() {
	defer c.loop.wg.Done()
	s := c.loop.scratch.Get().(*scratch)
	for alive := true; alive; {
		buf, have := c.target(s)
		n, err := c.nc.Read(buf[have:])
		if n > 0 {
			alive = c.took(s, buf[:have+n])
			s.batch.Flush()
		} else if have > 0 && c.rest == nil {
			c.keep(buf[:have])
		}
		if err != nil {
			c.readFailed(err)
			break
		}
		if c.pause > 0 {
			time.Sleep(c.pause) // a stalled producer: its own goroutine waits
			c.pause = 0
		}
	}
	c.loop.scratch.Put(s)
	c.readerGone()
}
