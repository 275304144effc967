package conn

import (
	"context"
	"net"
	"runtime"
	"sync"
	"time"
)

// LoopOptions configure a Loop.
type LoopOptions struct {
	// NewBatch makes the batch of one reader; reader numbers are small and
	// distinct among the workers that run at the same time.
	NewBatch func(reader int) Batch
	// Workers is the number of goroutines that read ready connections; 0 is
	// GOMAXPROCS plus one.
	Workers int
}

// Loop reads, and times, any number of connections.
type Loop struct {
	opts   LoopOptions
	wheel  *wheel
	budget budget
	poll   *poller // nil where the platform has none
	cancel context.CancelFunc
	wg     sync.WaitGroup

	scratch sync.Pool // *scratch, of reader goroutines
	mu      sync.Mutex
	readers int // numbers given out

	turns turns
}

// NewLoop starts a Loop.
func NewLoop(o LoopOptions) (*Loop, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0) + 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Loop{opts: o, wheel: newWheel(), cancel: cancel}
	l.turns.jobs, l.turns.max = make(chan *Conn), o.Workers
	l.scratch.New = func() any { return l.newScratch(readBufferSize / 4) }
	p, err := newPoller(l)
	if err != nil {
		cancel()
		return nil, err
	}
	l.poll = p
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		l.wheel.run(ctx)
	}()
	return l, nil
}

func (l *Loop) newScratch(size int) *scratch {
	l.mu.Lock()
	n := l.readers
	l.readers++
	l.mu.Unlock()
	return &scratch{batch: l.opts.NewBatch(n), buf: make([]byte, size)}
}

// SetMaxPendingTotal bounds the bytes queued for all connections together: above
// n the connection with the most is cut. 0, as at the start, is no bound.
func (l *Loop) SetMaxPendingTotal(n int64) { l.budget.limit.Store(n) }

// PendingTotal returns the bytes queued for all connections, and how many
// connections were cut because that was too much.
func (l *Loop) PendingTotal() (bytes int64, cuts uint64) {
	return l.budget.total.Load(), l.budget.cuts.Load()
}

// Add makes a Conn of nc. Nothing is read before Start, but it can be sent to.
func (l *Loop) Add(nc net.Conn, h Handler, limits *Limits) *Conn {
	c := &Conn{nc: nc, loop: l, h: h, limits: limits, fd: -1}
	var t *TLSConn
	c.frame, t, c.pipe = layers(nc)
	l.poll.adopt(c)
	switch {
	case t == nil:
	case c.fd >= 0:
		t.record.direct = true
		c.sec = t
	default:
		c.pipe = t
	}
	return c
}

// Start begins to read c.
func (c *Conn) Start() {
	var early []byte
	if c.frame != nil {
		early = c.frame.Buffered()
	}
	switch {
	case c.fd < 0:
		c.loop.wg.Add(1)
		go c.waitLoop(early)
	case len(early) > 0 || c.sec != nil: // crypto/tls may have read ahead as well
		c.loop.wg.Add(1)
		go c.firstTurn(early)
	case !c.loop.poll.watch(c):
		c.loop.wg.Add(1)
		go c.waitLoop(nil)
	}
}

// firstTurn consumes what was read ahead before c was given to the Loop, and
// puts c into the readiness set.
func (c *Conn) firstTurn(early []byte) {
	defer c.loop.wg.Done()
	s := c.loop.scratch.Get().(*scratch)
	alive := true
	switch {
	case c.sec != nil && len(early) == 0:
		alive = c.tookSealed(s, nil)
	case len(early) > 0:
		alive = c.decode(s, early, 0)
		if alive && c.sec != nil {
			alive = c.tookSealed(s, nil)
		}
	}
	s.batch.Flush()
	c.loop.scratch.Put(s)
	switch {
	case !alive:
		c.readerGone()
	case c.hold.Load() != running:
		c.loop.poll.letGo(c)
	default:
		c.loop.poll.rearm(c)
	}
}

// forget takes c out of the readiness set.
func (l *Loop) forget(c *Conn) { l.poll.unwatch(c) }

// Close ends the Loop's goroutines and waits for them. All connections must
// have been closed before.
func (l *Loop) Close() {
	l.cancel()
	l.poll.close()
	close(l.turns.jobs)
	l.wg.Wait()
}

// delayed has f called after d.
func delayed(d time.Duration, f func()) { time.AfterFunc(d, f) }
