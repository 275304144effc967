//go:build !portable

package conn

import (
	"io"
	"syscall"
	"unsafe"
)

// upgradeReady is called when a peer that is to begin TLS has sent something. The
// handshake blocks, so it runs on a goroutine of its own, which is gone when it
// is over.
func (c *Conn) upgradeReady() state {
	u := c.upgrade
	if c.Reason() != NotClosed {
		return gone
	}
	if u.Optional {
		switch b, err := peekNow(c.fd); {
		case err != nil:
			return c.nothing(err)
		case b != recordHandshake:
			c.upgrade = nil
			u.Secured(nil)
			return open
		}
	}
	c.loop.wg.Add(1)
	go c.upgradeNow()
	return lent
}

func (c *Conn) upgradeNow() {
	defer c.loop.wg.Done()
	u := c.upgrade
	t := c.handshake(c.pipe)
	if t == nil {
		c.Close(TLSHandshakeError)
		c.readerGone()
		return
	}
	state := t.ConnectionState()
	t.record.direct = true
	c.setPipe(c.pipe, t)
	u.Secured(&state)
	s := c.loop.scratch.Get().(*scratch)
	alive := c.tookSealed(s, nil)
	s.batch.Flush()
	c.loop.scratch.Put(s)
	if !alive {
		c.readerGone()
		return
	}
	if c.hold.Load() != running {
		c.loop.poll.letGo(c)
		return
	}
	c.loop.poll.rearm(c)
}

// peekNow looks at the first byte that is to be read.
func peekNow(fd int) (byte, error) {
	var b [1]byte
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		switch {
		case e == syscall.EINTR:
		case e != 0:
			return 0, e
		case n == 0:
			return 0, io.EOF
		default:
			return b[0], nil
		}
	}
}
