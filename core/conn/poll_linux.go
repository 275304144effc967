//go:build !portable

package conn

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

const (
	// eventsPerWait is how many ready connections a worker takes at a time.
	eventsPerWait = 16
	// manyReady is how many ready connections make it worth waking another
	// worker before they are read.
	manyReady = 4
	// turnBytes is how much is read in one turn before the connections that are
	// still waiting in it are given to another worker.
	turnBytes = readBufferSize
	interest  = syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT
)

// slot is a Conn's place in the poller's table.
type slot struct {
	index, gen int32
	in         bool
}

// poller is an epoll set nested in Go's netpoller, and the workers that share it.
type poller struct {
	loop *Loop
	ep   int
	file *os.File
	raw  syscall.RawConn

	lead sync.Mutex // held by the worker that waits

	mu    sync.RWMutex
	table []*Conn
	free  []int32
	gen   int32
}

func newPoller(l *Loop) (*poller, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("conn: epoll_create: %w", err)
	}
	if err := syscall.SetNonblock(ep, true); err != nil {
		syscall.Close(ep)
		return nil, fmt.Errorf("conn: epoll set: %w", err)
	}
	p := &poller{loop: l, ep: ep, file: os.NewFile(uintptr(ep), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("conn: epoll set: %w", err)
	}
	for range l.opts.Workers {
		w := &worker{poller: p}
		w.ready = w.tryWait
		l.wg.Add(1)
		go w.run()
	}
	return p, nil
}

func (p *poller) close() { p.file.Close() }

// adopt finds the descriptor of c's connection if it is one that we may use
// directly.
func (p *poller) adopt(c *Conn) {
	sc, ok := c.pipe.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { c.fd = int(fd) })
}

// watch puts c into the set; from then on a worker may hold it.
func (p *poller) watch(c *Conn) bool {
	p.mu.Lock()
	p.gen++
	c.slot.gen = p.gen
	if n := len(p.free); n > 0 {
		c.slot.index = p.free[n-1]
		p.free = p.free[:n-1]
		p.table[c.slot.index] = c
	} else {
		c.slot.index = int32(len(p.table))
		p.table = append(p.table, c)
	}
	c.slot.in = true
	p.mu.Unlock()
	if p.ctl(syscall.EPOLL_CTL_ADD, c) != nil {
		p.unwatch(c)
		return false
	}
	return true
}

func (p *poller) ctl(op int, c *Conn) error {
	ev := syscall.EpollEvent{Events: interest, Fd: c.slot.index, Pad: c.slot.gen}
	_, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(p.ep), uintptr(op), uintptr(c.fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// rearm lets the set, which c may not be in yet, report c again.
func (p *poller) rearm(c *Conn) {
	if !c.slot.in {
		if !p.watch(c) {
			c.Close(ReadError)
			c.readerGone()
		}
		return
	}
	c.held.Store(false)
	if err := p.ctl(syscall.EPOLL_CTL_MOD, c); err != nil {
		c.Close(ReadError)
		c.readerGone()
	}
}

// letGo parks c, which its handler suspended, or goes on with it if that is over
// already.
func (p *poller) letGo(c *Conn) {
	if c.park() {
		return
	}
	c.loop.wg.Add(1)
	go func() {
		defer c.loop.wg.Done()
		c.proceed()
	}()
}

// unwatch takes c out. Its reader has let go.
func (p *poller) unwatch(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.slot.in {
		return
	}
	c.slot.in = false
	p.table[c.slot.index] = nil
	p.free = append(p.free, c.slot.index)
	p.ctl(syscall.EPOLL_CTL_DEL, c)
}

// worker takes ready connections and reads them. Of all workers one leads: it
// waits in the set. It stays leader while its work is short, because waking
// another costs more than the work, and hands over when there is much to do.
type worker struct {
	poller  *poller
	s       *scratch
	leading bool
	n       int
	bytes   int // read in this turn
	events  [eventsPerWait]syscall.EpollEvent
	conns   [eventsPerWait]*Conn
	ready   func(uintptr) bool
}

// tryWait asks the set without waiting; the netpoller calls it again when the
// set becomes readable.
func (w *worker) tryWait(fd uintptr) bool {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&w.events[0])), eventsPerWait, 0, 0, 0)
		if e == syscall.EINTR {
			continue
		}
		w.n = int(n)
		return e != 0 || n > 0
	}
}

func (w *worker) run() {
	p := w.poller
	defer p.loop.wg.Done()
	for {
		p.lead.Lock()
		w.leading = true
		w.n = 0
		if err := p.raw.Read(w.ready); err != nil || w.n <= 0 {
			w.handOver()
			return
		}
		if w.n >= manyReady {
			w.handOver()
		}
		w.turn()
		w.handOver()
	}
}

// handOver lets another worker wait in the set.
func (w *worker) handOver() {
	if w.leading {
		w.leading = false
		w.poller.lead.Unlock()
	}
}

// turn reads the connections that are ready, flushes once and re-arms them. The
// flush comes first: otherwise another worker could read, and deliver, what the
// same publisher sent later.
func (w *worker) turn() {
	p := w.poller
	if w.s == nil {
		w.s = p.loop.newScratch(readBufferSize)
	}
	p.mu.RLock()
	for i := range w.n {
		ev := &w.events[i]
		c := p.table[ev.Fd]
		if c != nil && (c.slot.gen != ev.Pad || c.held.Swap(true)) {
			c = nil
		}
		w.conns[i] = c
	}
	p.mu.RUnlock()
	var now [eventsPerWait]state
	w.bytes = 0
	for i := range w.n {
		if w.bytes >= turnBytes {
			w.giveBack(i)
			break
		}
		if c := w.conns[i]; c != nil {
			now[i] = w.readReady(c)
			w.s.settle()
		}
	}
	if w.s.batch.Busy() {
		w.handOver()
	}
	w.s.batch.Flush()
	for i := range w.n {
		c := w.conns[i]
		w.conns[i] = nil
		switch {
		case c == nil, now[i] == lent:
		case now[i] == gone:
			c.readerGone()
		case c.hold.Load() != running:
			w.poller.letGo(c)
		case c.pause > 0:
			d := c.pause
			c.pause = 0
			delayed(d, func() { p.rearm(c) })
		default:
			p.rearm(c)
		}
	}
}

// giveBack returns the connections from the i-th on to the set, unread.
func (w *worker) giveBack(i int) {
	for j := i; j < w.n; j++ {
		if c := w.conns[j]; c != nil {
			w.conns[j] = nil
			w.poller.rearm(c)
		}
	}
	w.n = i
	w.handOver()
}

// state is what a worker knows of a connection after reading it.
type state uint8

const (
	open state = iota // to be read again
	gone              // not to be read any more
	lent              // somebody else reads it now
)

// readReady reads c until its socket is empty or its turn is over.
func (w *worker) readReady(c *Conn) state {
	if c.upgrade != nil {
		return c.upgradeReady()
	}
	if c.sec != nil {
		return w.readSealed(c)
	}
	for range readsPerTurn {
		buf, have := c.target(w.s)
		n, err := readNow(c.fd, buf[have:])
		if n <= 0 {
			if have > 0 && c.rest == nil {
				c.keep(buf[:have])
			}
			return c.nothing(err)
		}
		w.bytes += n
		if !c.feed(w.s, buf[:have+n], have) {
			return gone
		}
		if have+n < len(buf) || c.pause > 0 || c.hold.Load() != running {
			return open
		}
		w.handOver()
		w.s.settle()
	}
	return open
}

// readSealed is readReady for TLS.
func (w *worker) readSealed(c *Conn) state {
	if w.s.raw == nil {
		w.s.raw = make([]byte, readBufferSize)
	}
	for range readsPerTurn {
		raw := c.room(w.s.raw, 0)
		n, err := readNow(c.fd, raw)
		if n <= 0 {
			return c.nothing(err)
		}
		w.bytes += n
		if !c.tookSealed(w.s, raw[:n]) {
			return gone
		}
		if n < len(raw) || c.pause > 0 || c.hold.Load() != running {
			return open
		}
		w.handOver()
		w.s.settle()
	}
	return open
}

// nothing is called when a read gave err instead of bytes.
func (c *Conn) nothing(err error) state {
	if err != syscall.EAGAIN {
		c.readFailed(err)
		return gone
	}
	if c.Reason() != NotClosed {
		return gone
	}
	return open
}
