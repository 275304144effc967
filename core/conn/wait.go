package conn

import "sync"

// waiter is a connection that can say when a Read would not block, so that
// nobody need hold a buffer, or a stack that was deep once, until then. It is
// known by its method, as framer is.
type waiter interface {
	// Wait blocks until a Read would not.
	Wait() error
}

// turns are the goroutines that read connections which wait by themselves: a few,
// so that their stacks and buffers are few.
type turns struct {
	jobs chan *Conn
	mu   sync.Mutex
	n    int
	max  int
}

// turn has one of the Loop's goroutines read c once, or with kept only consume
// what was kept, and waits for it. It returns false when c is not to be read any
// more.
func (l *Loop) turn(c *Conn) bool {
	t := &l.turns
	select {
	case t.jobs <- c:
		return <-c.turned
	default:
	}
	t.mu.Lock()
	more := t.n < t.max
	if more {
		t.n++
	}
	t.mu.Unlock()
	if more {
		l.wg.Add(1)
		go l.takeTurns()
	}
	t.jobs <- c
	return <-c.turned
}

// takeTurns reads connections until the Loop ends.
func (l *Loop) takeTurns() {
	defer l.wg.Done()
	s := l.scratch.Get().(*scratch)
	defer l.scratch.Put(s)
	for c := range l.turns.jobs {
		c.turned <- c.readOnce(s)
	}
}

// readOnce reads c, which has something to read, and consumes that; or only what
// was kept while c was suspended.
func (c *Conn) readOnce(s *scratch) bool {
	if c.onlyKept {
		c.onlyKept = false
		return c.consumeKept(s)
	}
	alive := true
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
		return false
	}
	return alive
}

// waitShallow reads a connection that waits by itself.
func (c *Conn) waitShallow(w waiter) {
	c.unpark = make(chan struct{}, 1)
	c.turned = make(chan bool)
	for alive := true; alive; {
		if c.hold.Load() != running {
			if c.park() {
				<-c.unpark
			}
			c.onlyKept = true
		} else {
			w.Wait() // what it returns Read returns too
		}
		alive = c.loop.turn(c)
		c.stall()
	}
	c.readerGone()
}
