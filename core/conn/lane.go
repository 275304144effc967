package conn

import (
	"errors"
	"net"
	"sync/atomic"
)

// laner is a connection that can open further ones to the same peer, which are
// only written.
type laner interface {
	// TakesLanes reports whether the peer wants such.
	TakesLanes() bool
	// OpenLane opens one. It must not block.
	OpenLane() (net.Conn, error)
}

var errNoLanes = errors.New("conn: the connection has no lanes")

// TakesLanes reports whether OpenLane is of use.
func (c *Conn) TakesLanes() bool {
	l, ok := c.pipe.(laner)
	return ok && l.TakesLanes()
}

// OpenLane returns a connection beside c that is only written, so that what waits
// on it holds up nothing on c. What waits on c and all its lanes together counts
// for each one's MaxPending. h's Closed is called when the lane has ended; nothing
// else of it is. It does not block; the caller must not hold c's lock.
func (c *Conn) OpenLane(h Handler) (*Conn, error) {
	p, ok := c.pipe.(laner)
	if !ok {
		return nil, errNoLanes
	}
	nc, err := p.OpenLane()
	if err != nil {
		return nil, err
	}
	c.Lock()
	if c.together == nil {
		c.together = &atomic.Int64{}
		c.together.Store(c.out.pending)
	}
	together := c.together
	c.Unlock()
	return &Conn{nc: nc, pipe: nc, loop: c.loop, h: h, limits: c.limits, fd: -1, lane: true, together: together}, nil
}

// EndLane closes a lane behind what is queued.
func (c *Conn) EndLane() {
	c.out.mu.Lock()
	c.fail(laneDone)
	c.out.mu.Unlock()
}

// queued returns what counts for MaxPending, with the lock held.
func (c *Conn) queued() int64 {
	if c.together != nil {
		return c.together.Load()
	}
	return c.out.pending
}

// firstCloseCode is what the numbers of CloseReason are added to on the wire.
const firstCloseCode = 0x100

// goodbye tells a transport that carries reasons why c is about to be closed.
func (c *Conn) goodbye(r CloseReason) {
	g, ok := c.pipe.(interface {
		Goodbye(code uint64, text string, abrupt bool)
	})
	switch {
	case !ok:
	case r == ClientClosed || r == laneDone:
		g.Goodbye(0, "", false)
	default:
		g.Goodbye(firstCloseCode+uint64(r), r.String(), r.slow())
	}
}

// PathStats returns what the transport knows of the way to the peer, by name; nil
// for nothing.
func (c *Conn) PathStats() map[string]int64 {
	if p, ok := c.pipe.(interface{ PathStats() map[string]int64 }); ok {
		return p.PathStats()
	}
	return nil
}
