package conn

import (
	"net"
	"sync/atomic"
	"time"
)

// Batch is what a reader carries along: deliveries staged by handlers, to be
// flushed when the reads of one turn are done.
type Batch interface {
	// Flush commits everything staged.
	Flush()
	// Borrowed reports whether staged deliveries refer to bytes of the read
	// buffer, so that it must not be reused before Flush.
	Borrowed() bool
	// Busy reports whether a Flush now would be much work, so that another
	// worker had better look after the other connections meanwhile.
	Busy() bool
}

// Handler is the protocol half of a connection: client, leaf link, route.
// Consume, Need, ReadDone and Closed are never called at the same time; Tick
// may be called beside them.
type Handler interface {
	// Consume takes whole ops from data and returns the bytes used. The rest is
	// presented again with more behind it. data is borrowed until the batch is
	// flushed. An error ends the reading; the handler has called Conn.Close.
	Consume(b Batch, data []byte) (n int, err error)
	// Need returns the length that the unconsumed rest must reach before
	// Consume can go on; 0 when unknown.
	Need() int
	// ReadDone is called after all bytes of one read were consumed.
	ReadDone(b Batch)
	// Tick is called when the time asked for by Conn.Schedule is over. It
	// returns when it wants to be called again; 0 for never.
	Tick(now time.Time) time.Duration
	// Closed is called once, after the last read and write.
	Closed(r CloseReason)
}

// Limits are a connection's limits. They may be shared and changed at run time.
type Limits struct {
	MaxPending    atomic.Int64 // bytes; a queue above it makes a slow consumer
	WriteDeadline atomic.Int64 // nanoseconds for one write; 0 is none
}

// Conn is one connection. Create it with Loop.Add, then Start it.
type Conn struct {
	// Static after construction.
	nc     net.Conn
	loop   *Loop
	h      Handler
	limits *Limits
	fd     int    // -1 where reads and writes go through pipe
	slot   slot   // place in the readiness set
	frame  framer // nil: the stream is not in frames

	// Set before the session's first byte is read or, with the lock held, written.
	pipe net.Conn // what is below the frames, and below TLS that does not block
	sec  *TLSConn // TLS that does not block; nil for none

	// Owned by the reader of the moment.
	rest    []byte // unconsumed bytes of an op that is not whole yet
	pause   time.Duration
	most    int      // bytes to read at a time; 0 is a whole buffer
	upgrade *Upgrade // TLS that is to come; nil for none

	// held is set while a worker holds the connection. Epoll alone sees to that;
	// the atomic is what carries one holder's writes over to the next.
	held atomic.Bool

	// hold is one of running, suspended, parked, resumed; see Suspend. unpark
	// wakes a reader of its own, nil where there is none.
	hold   atomic.Int32
	unpark chan struct{}

	// Of a connection that waits by itself; see turn.
	turned   chan bool
	onlyKept bool

	lane     bool          // only written; see OpenLane
	together *atomic.Int64 // pending of a connection and its lanes; nil without

	congested atomic.Bool
	reason    atomic.Uint32
	pending   atomic.Int64 // copy of out.pending for lock-free looks
	timer     timer

	out outbound
}

// NetConn returns the underlying connection. It must not be read, written or
// closed.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Pending returns the bytes queued for the peer.
func (c *Conn) Pending() int64 { return c.pending.Load() }

// Congested reports whether the peer has fallen so far behind that its
// producers should slow down.
func (c *Conn) Congested() bool { return c.congested.Load() }

// Reason returns why c was closed, NotClosed while it is open.
func (c *Conn) Reason() CloseReason { return CloseReason(c.reason.Load()) }

// IsClosed reports whether nothing more is sent; the caller holds the lock.
func (c *Conn) IsClosed() bool { return c.out.closed }

// Pause delays the next read of c by d. Only its handler calls it, in Consume
// or ReadDone.
func (c *Conn) Pause(d time.Duration) { c.pause = d }

// ReadAtMost has c read n bytes at a time, about; 0 is as many as there is room
// for. What Suspend leaves behind is then no more than that. Only its handler
// calls it, in Consume or ReadDone.
func (c *Conn) ReadAtMost(n int) { c.most = n }

// SendString sends a line that is not part of a batch.
func (c *Conn) SendString(s string) {
	var x Buffer
	x.AppendString(s)
	c.Lock()
	c.Send(&x)
	x.Reset(0)
}

func (c *Conn) maxPending() int64            { return c.limits.MaxPending.Load() }
func (c *Conn) writeDeadline() time.Duration { return time.Duration(c.limits.WriteDeadline.Load()) }

// Close closes c for the reason r. What is queued goes out first, within the
// write deadline, unless the reason is that the peer does not take it. Only the
// first call counts. Handler.Closed follows, on another goroutine.
func (c *Conn) Close(r CloseReason) {
	c.out.mu.Lock()
	c.fail(r)
	c.out.mu.Unlock()
}

// Abort closes c, if that has not happened yet, and gives up what is queued.
func (c *Conn) Abort() {
	c.out.mu.Lock()
	c.fail(WriteError)
	c.out.flush = false
	c.out.mu.Unlock()
	c.shutdown()
}

// fail marks c closed, with the lock held, and shuts the socket down, or leaves
// that to the socket's owner while there is something to flush.
func (c *Conn) fail(r CloseReason) {
	o := &c.out
	if o.closed {
		return
	}
	if !r.slow() && (c.frame != nil || c.sec != nil) {
		c.queueLast(c.farewell(r))
	}
	o.closed = true
	c.reason.Store(uint32(r))
	c.goodbye(r)
	o.gone = o.gone || c.lane
	if o.owned && (!r.slow() || o.saidBye) {
		o.flush = true
		return
	}
	c.dropQueue()
	if c.lane && !o.owned {
		c.loop.wg.Add(1)
		go func() {
			defer c.loop.wg.Done()
			c.finish()
		}()
		return
	}
	c.shutdown()
}

// queueLast sends b behind everything else, with the lock held: at once if the
// socket is idle and takes it, by its writer otherwise.
func (c *Conn) queueLast(b []byte) {
	o := &c.out
	switch {
	case len(b) == 0:
		return
	case !o.owned && len(o.queue) == 0 && c.fd >= 0:
		writeBytes(c.fd, b)
		putBuf(b)
		return
	}
	o.queue = append(o.queue, chunk{b, b})
	c.account(int64(len(b)))
	if !o.owned {
		o.owned = true
		c.startWriter()
	}
}

// readerGone is called by the reader when it will not touch c again.
func (c *Conn) readerGone() {
	if c.rest != nil {
		putBuf(c.rest)
		c.rest = nil
	}
	o := &c.out
	o.mu.Lock()
	o.gone = true
	last := !o.owned
	o.mu.Unlock()
	if last {
		c.finish()
	}
}

// finish closes the descriptor and tells the handler; neither reader nor writer
// is left.
func (c *Conn) finish() {
	c.loop.wheel.cancel(c)
	c.loop.forget(c)
	c.nc.Close()
	c.h.Closed(c.Reason())
}

type halfCloser interface {
	CloseRead() error
	CloseWrite() error
}

// shutdown makes reads and writes of the socket fail, which wakes whoever sits
// in one. It does not block.
func (c *Conn) shutdown() {
	if c.fd >= 0 { // then pipe stays what it is
		if hc, ok := c.pipe.(halfCloser); ok {
			hc.CloseWrite()
			hc.CloseRead()
			return
		}
	}
	// Close of a layered connection may wait for its peer.
	c.loop.wg.Add(1)
	go func() {
		defer c.loop.wg.Done()
		c.nc.Close()
	}()
}
