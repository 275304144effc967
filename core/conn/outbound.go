package conn

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// writeTurn is how much one write of the writer goroutine takes at most, so
	// that pending falls, and the deadline starts anew, while a long queue drains.
	writeTurn = 1 << 20
	// directRounds bounds how often a committer that owns the socket goes on
	// with what others queued meanwhile before it leaves that to a writer.
	directRounds = 2
)

// chunk is queued bytes: b is unsent, base is the pooled memory they lie in.
type chunk struct{ b, base []byte }

// outbound is the write half of a Conn.
type outbound struct {
	mu sync.Mutex

	// Guarded by mu.
	queue   []chunk
	pending int64 // bytes in queue and in the writer's hands
	owned   bool  // somebody writes to the socket
	closed  bool  // nothing more is taken
	flush   bool  // closed, but what is queued goes out first
	gone    bool  // the reader has let go
	backlog bool  // in the Loop's backlog set
	saidBye bool  // no further frames go out
}

// Lock takes the outbound lock: until Send or Unlock nothing else is sent on c.
// A session uses it to decide what of a stage still holds before it sends it.
func (c *Conn) Lock() { c.out.mu.Lock() }

// Unlock releases what Lock took.
func (c *Conn) Unlock() { c.out.mu.Unlock() }

// Send sends x and releases the lock, which the caller holds. The bytes are on
// the socket, in the queue, or dropped because c is closed; x may be reset
// after it and its borrowed pieces reused. Send never blocks on the peer.
func (c *Conn) Send(x *Buffer) {
	o := &c.out
	n := x.Len()
	if n == 0 || o.closed {
		o.mu.Unlock()
		return
	}
	if c.frame != nil || c.sec != nil {
		if r := c.encode(x); r != NotClosed {
			c.fail(r)
			o.mu.Unlock()
			return
		}
		n = x.Len()
	}
	if o.owned || len(o.queue) > 0 || c.fd < 0 {
		c.enqueue(x)
		return
	}
	// The socket is idle: one attempt that does not wait, without the lock.
	o.owned = true
	o.mu.Unlock()
	sent, err := writeNow(c.fd, x)
	o.mu.Lock()
	if err != nil {
		c.fail(WriteError)
		c.release()
		return
	}
	if sent < n && !o.dropped() {
		rest := c.takeRest(x, sent)
		o.push(rest)
		c.account(int64(len(rest.b)))
	}
	c.continueDirect(sent == n)
}

// encode puts x into a frame and under TLS, as far as c has them, with the lock
// held. It returns why c must be closed when that can't be.
func (c *Conn) encode(x *Buffer) CloseReason {
	if c.out.pending+int64(x.Len()) > c.maxPending() {
		return SlowPending
	}
	if c.frame != nil && !x.raw {
		if x.packed {
			// What the peer's inflater puts behind a message begins in the
			// middle of an empty stored block (RFC 7692, section 7.2.1).
			x.Append(blockEnd)
		}
		x.prepend(c.frame.AppendFrame(x.head[:0], x.Len(), x.packed))
	}
	if c.sec != nil && c.sec.seal(x) != nil {
		return WriteError
	}
	return NotClosed
}

// dropped reports whether c was closed without a wish to flush.
func (o *outbound) dropped() bool { return o.closed && !o.flush }

// continueDirect goes on after a direct write, with the lock held and the
// socket owned: what others queued meanwhile is written too, then ownership ends
// or passes to a writer goroutine. It releases the lock.
func (c *Conn) continueDirect(idle bool) {
	o := &c.out
	for round := 0; idle && len(o.queue) > 0 && round < directRounds && !o.dropped(); round++ {
		ch := o.pop() // others may append to the last chunk of the queue
		o.mu.Unlock()
		sent, err := writeBytes(c.fd, ch.b)
		o.mu.Lock()
		if idle = err == nil && sent == len(ch.b); idle || err != nil || o.dropped() {
			c.account(-int64(len(ch.b)))
			putBuf(ch.base)
		} else {
			c.account(-int64(sent))
			o.push(chunk{ch.b[sent:], ch.base})
		}
		if err != nil {
			c.fail(WriteError)
		}
	}
	if len(o.queue) == 0 || o.dropped() {
		c.release()
		return
	}
	c.startWriter()
	o.mu.Unlock()
}

// pop takes the first chunk out of the queue.
func (o *outbound) pop() chunk {
	ch := o.queue[0]
	o.queue[0] = chunk{}
	if o.queue = o.queue[1:]; len(o.queue) == 0 {
		o.queue = nil
	}
	return ch
}

// push puts ch in front of the queue.
func (o *outbound) push(ch chunk) {
	o.queue = append(o.queue, chunk{})
	copy(o.queue[1:], o.queue)
	o.queue[0] = ch
}

// enqueue puts x behind what is queued and sees that somebody writes it. It
// releases the lock.
func (c *Conn) enqueue(x *Buffer) {
	o := &c.out
	n := int64(x.Len())
	if c.queued()+n > c.maxPending() {
		c.fail(SlowPending)
		o.mu.Unlock()
		return
	}
	c.put(x)
	c.account(n)
	if c.queued() > c.maxPending()/4*3 {
		c.congested.Store(true)
	}
	if !o.owned {
		o.owned = true
		c.startWriter()
	}
	o.mu.Unlock()
	c.loop.budget.check(c.loop)
}

// put copies x into the queue, or hands its memory over when there is much of it.
func (c *Conn) put(x *Buffer) {
	o := &c.out
	if !x.Borrows() && len(x.b) >= size16K {
		o.queue = append(o.queue, c.takeRest(x, 0))
		return
	}
	x.pieces(0, func(p []byte) {
		if k := len(o.queue) - 1; k >= 0 {
			last := &o.queue[k]
			if room := cap(last.b) - len(last.b); room > 0 {
				m := min(room, len(p))
				last.b = append(last.b, p[:m]...)
				p = p[m:]
			}
		}
		for len(p) > 0 {
			size := size2K
			if len(o.queue) > 0 || len(p) > size2K {
				size = min(max(len(p), size16K), size64K)
			}
			base := getBuf(size)
			m := min(cap(base), len(p))
			o.queue = append(o.queue, chunk{append(base, p[:m]...), base})
			p = p[m:]
		}
	})
}

// takeRest returns what lies behind the first skip bytes of x as one chunk.
func (c *Conn) takeRest(x *Buffer, skip int) chunk {
	if !x.Borrows() {
		ch := chunk{x.b[skip:], x.b}
		x.b = nil
		return ch
	}
	base := getBuf(x.Len() - skip)
	b := base
	x.pieces(skip, func(p []byte) { b = append(b, p...) })
	return chunk{b, base}
}

// account changes pending by n, with the lock held.
func (c *Conn) account(n int64) {
	o := &c.out
	o.pending += n
	c.pending.Store(o.pending)
	if c.together != nil {
		c.together.Add(n)
	}
	c.loop.budget.add(n)
	if n < 0 && c.queued() <= c.maxPending()/2 && c.congested.Load() {
		c.congested.Store(false)
	}
	if has := o.pending > 0; has != o.backlog {
		o.backlog = has
		c.loop.budget.mark(c, has)
	}
}

// dropQueue throws away what is queued, with the lock held.
func (c *Conn) dropQueue() {
	o := &c.out
	var n int64
	for _, ch := range o.queue {
		n += int64(len(ch.b))
		putBuf(ch.base)
	}
	o.queue = nil
	c.account(-n)
}

// startWriter starts the goroutine that drains the queue; the socket is owned.
func (c *Conn) startWriter() {
	c.loop.wg.Add(1)
	go c.writeLoop()
}

func (c *Conn) writeLoop() {
	defer c.loop.wg.Done()
	o := &c.out
	var vec net.Buffers
	var taken []chunk
	for {
		o.mu.Lock()
		if len(o.queue) == 0 || o.dropped() {
			c.release()
			return
		}
		taken, vec = taken[:0], vec[:0]
		total := 0
		for total < writeTurn && len(o.queue) > 0 {
			ch := o.pop()
			taken, vec = append(taken, ch), append(vec, ch.b)
			total += len(ch.b)
		}
		pipe := c.pipe
		o.mu.Unlock()

		w := vec
		if d := c.writeDeadline(); d > 0 {
			pipe.SetWriteDeadline(time.Now().Add(d))
		}
		_, err := w.WriteTo(pipe)
		for _, ch := range taken {
			putBuf(ch.base)
		}
		clear(taken)
		clear(vec)

		o.mu.Lock()
		c.account(-int64(total))
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.fail(SlowDeadline)
			} else {
				c.fail(WriteError)
			}
			c.release()
			return
		}
		o.mu.Unlock()
	}
}

// release ends ownership of the socket, with the lock held, and finishes the
// connection when the reader has let go already. It releases the lock.
func (c *Conn) release() {
	o := &c.out
	o.owned = false
	last := o.gone
	down := o.flush && !last
	o.flush = false
	if o.closed {
		c.dropQueue()
	}
	o.mu.Unlock()
	switch {
	case last:
		c.finish()
	case down:
		c.shutdown()
	}
}
