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
	raw   []byte // ciphertext; made when there is TLS
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
		return c.room(s.buf, 0), 0
	}
	if c.h.Need() <= len(s.buf) && have < len(s.buf) {
		copy(s.buf, c.rest)
		putBuf(c.rest)
		c.rest = nil
		return c.room(s.buf, have), have
	}
	if c.frame != nil {
		return s.buf, 0 // what comes out of the frames is put behind c.rest
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

// room returns as much of buf, which begins with have bytes, as c is to use.
func (c *Conn) room(buf []byte, have int) []byte {
	if c.most > 0 && have+c.most < len(buf) {
		return buf[:have+c.most]
	}
	return buf
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

// feed consumes buf[have:], which was read behind the have bytes of an unfinished
// op. It returns false when c is not to be read any more.
func (c *Conn) feed(s *scratch, buf []byte, have int) bool {
	if c.frame != nil {
		return c.decode(s, buf, have)
	}
	return c.took(s, buf)
}

// tookSealed consumes the ciphertext raw, all of it.
func (c *Conn) tookSealed(s *scratch, raw []byte) bool {
	c.sec.record.in = raw
	defer c.replySealed()
	for {
		buf, have := c.target(s)
		n, dry, err := c.sec.open(buf[have:])
		alive := true
		switch {
		case n > 0:
			alive = c.feed(s, buf[:have+n], have)
		case have > 0 && c.rest == nil:
			c.keep(buf[:have])
		}
		switch {
		case !alive:
			return false
		case err != nil:
			c.readFailed(err)
			return false
		case dry:
			return true
		}
		s.settle() // the buffer is used again
	}
}

// replySealed sends what crypto/tls itself has to say: alerts, key updates.
func (c *Conn) replySealed() {
	c.Lock()
	b := c.sec.record.take()
	if b == nil || c.out.closed {
		c.Unlock()
		return
	}
	c.queueLast(b)
	c.Unlock()
}

// waitLoop reads a connection that has no descriptor of ours to wait on, from
// early on, which was read ahead.
func (c *Conn) waitLoop(early []byte) {
	defer c.loop.wg.Done()
	if c.upgrade != nil && !c.upgradeWaiting() {
		c.readerGone()
		return
	}
	if w, ok := c.pipe.(waiter); ok && len(early) == 0 {
		c.waitShallow(w)
		return
	}
	s := c.loop.scratch.Get().(*scratch)
	c.unpark = make(chan struct{}, 1)
	alive := true
	if len(early) > 0 {
		alive = c.decode(s, early, 0)
		s.batch.Flush()
	}
	for alive {
		if c.hold.Load() != running {
			if c.park() {
				<-c.unpark
			}
			alive = c.consumeKept(s)
			continue
		}
		buf, have := c.target(s)
		n, err := c.pipe.Read(buf[have:])
		if n > 0 {
			alive = c.feed(s, buf[:have+n], have)
			s.batch.Flush()
		} else if have > 0 && c.rest == nil {
			c.keep(buf[:have])
		}
		if err != nil {
			c.readFailed(err)
			break
		}
		c.stall()
	}
	c.loop.scratch.Put(s)
	c.readerGone()
}

// stall has the goroutine of a stalled producer wait.
func (c *Conn) stall() {
	if c.pause > 0 {
		time.Sleep(c.pause)
		c.pause = 0
	}
}
