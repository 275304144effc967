package conn

// States of Conn.hold.
const (
	running   int32 = iota
	suspended       // the handler wants no more input; the reader still has c
	parked          // the reader let go of c
	resumed         // Resume came while the reader still had c
)

// Suspend has c not read, and Handler.Consume not take more than it returned
// already, until Resume. Only its handler calls it, in Consume, which then
// returns at once and, while the same read goes on, consumes nothing. What was
// read already is kept, a read buffer's worth at most.
func (c *Conn) Suspend() { c.hold.Store(suspended) }

// Suspended reports whether Resume is still to come.
func (c *Conn) Suspended() bool { return c.hold.Load() == suspended }

// Resume ends Suspend: what was kept is consumed, then c is read again. It must
// be called once for each Suspend, from any goroutine, also when c was closed
// meanwhile: until then Handler.Closed waits.
func (c *Conn) Resume() {
	if c.hold.CompareAndSwap(suspended, resumed) {
		return // the reader finds it when it is done
	}
	if !c.hold.CompareAndSwap(parked, running) {
		return
	}
	if c.unpark != nil {
		c.unpark <- struct{}{} // a reader of its own waits for it
		return
	}
	c.loop.wg.Add(1)
	go func() {
		defer c.loop.wg.Done()
		c.proceed()
	}()
}

// park is called by c's reader when it is done with a read, and reports whether c
// stays with nobody until Resume. With false and hold not running, Resume has
// come already.
func (c *Conn) park() bool {
	if c.hold.Load() == running {
		return false
	}
	if c.hold.CompareAndSwap(suspended, parked) {
		return true
	}
	c.hold.Store(running)
	return false
}

// proceed consumes what was kept of a connection that nobody reads, and gives it
// back to the set of those that are.
func (c *Conn) proceed() {
	s := c.loop.scratch.Get().(*scratch)
	alive := c.consumeKept(s)
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

// consumeKept hands on what a suspended read left behind; false when c is not to
// be read any more. The handler is called even when nothing was left: it may have
// something to finish.
func (c *Conn) consumeKept(s *scratch) bool {
	alive := c.took(s, c.rest)
	s.batch.Flush()
	return alive
}
