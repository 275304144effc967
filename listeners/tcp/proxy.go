package tcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// maxPending is how many connections of one listener are waited on for a header,
// or have one and wait for Accept. Above it the system's backlog holds them: who
// opens connections and says nothing holds up others then, ProxyTimeout at most.
const maxPending = 1024

// errGone is for a connection that ended before its first byte: a load balancer's
// health check, which is no news.
var errGone = errors.New("closed before its PROXY header")

// proxyListener reads a PROXY header from each connection before Accept returns
// it. Connections that are waited on do not hold up others.
type proxyListener struct {
	// static after construction
	inner *net.TCPListener
	name  string
	o     Options
	done  chan struct{}
	slots chan struct{} // one token for each pending connection
	ready chan net.Conn
	errs  chan error // of the inner Accept, for the caller of ours

	refused atomic.Uint64
	log     boundedLog
	wg      sync.WaitGroup // the accept loop and one goroutine per pending connection

	mu      sync.Mutex
	closed  bool
	pending map[*net.TCPConn]struct{}
}

// proxyConn is a connection with the addresses of its header. Nothing behind the
// header was read, so that it may offer its descriptor.
type proxyConn struct {
	*net.TCPConn
	addrs addrs
}

func (c *proxyConn) RemoteAddr() net.Addr { return c.addrs.remote }
func (c *proxyConn) LocalAddr() net.Addr  { return c.addrs.local }

// NetConn returns the connection from the load balancer.
func (c *proxyConn) NetConn() net.Conn { return c.TCPConn }

// replayConn is a connection whose first bytes were read and turned out to be no
// header. It offers no descriptor, because those bytes are not to be found there.
type replayConn struct {
	net.Conn
	mu   sync.Mutex
	read []byte
}

func (c *replayConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	if len(c.read) > 0 {
		defer c.mu.Unlock()
		n := copy(b, c.read)
		if c.read = c.read[n:]; len(c.read) == 0 {
			c.read = nil
		}
		return n, nil
	}
	c.mu.Unlock()
	return c.Conn.Read(b)
}

// CloseWrite ends the stream to the peer.
func (c *replayConn) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

func newProxyListener(ln *net.TCPListener, name string, o Options, pending int) *proxyListener {
	l := &proxyListener{
		inner: ln, name: name, o: o, done: make(chan struct{}), slots: make(chan struct{}, pending),
		ready: make(chan net.Conn), errs: make(chan error), pending: map[*net.TCPConn]struct{}{},
	}
	l.log.limiter = rate.NewLimiter(1, 10)
	l.wg.Add(1)
	go l.run()
	return l
}

// Accept returns the next connection whose header has arrived.
func (l *proxyListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.done:
		return nil, fmt.Errorf("accept on listener %q: %w", l.name, net.ErrClosed)
	}
}

// Addr returns where l listens.
func (l *proxyListener) Addr() net.Addr { return l.inner.Addr() }

// Refused returns how many connections were refused because of their header.
func (l *proxyListener) Refused() uint64 { return l.refused.Load() }

// Close closes the listener and the connections that Accept has not returned.
func (l *proxyListener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		l.wg.Wait()
		return net.ErrClosed
	}
	l.closed = true
	close(l.done)
	for c := range l.pending {
		c.Close()
	}
	l.mu.Unlock()
	err := l.inner.Close()
	l.wg.Wait()
	return err
}

// run accepts connections until l is closed.
func (l *proxyListener) run() {
	defer l.wg.Done()
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			return
		}
		c, err := l.inner.AcceptTCP()
		if err != nil {
			<-l.slots
			select {
			case l.errs <- err:
				continue
			case <-l.done:
				return
			}
		}
		if !l.add(c) {
			c.Close()
			return
		}
		l.wg.Add(1)
		go l.serve(c)
	}
}

func (l *proxyListener) add(c *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.pending[c] = struct{}{}
	}
	return !l.closed
}

// serve gets one accepted connection ready for Accept.
func (l *proxyListener) serve(c *net.TCPConn) {
	defer l.wg.Done()
	defer func() { <-l.slots }()
	defer func() {
		l.mu.Lock()
		delete(l.pending, c)
		l.mu.Unlock()
	}()
	nc, err := l.prepare(c)
	if err != nil {
		l.refuse(c, err)
		return
	}
	select {
	case l.ready <- nc:
	case <-l.done:
		c.Close()
	}
}

// prepare reads c's header, if it is to have one.
func (l *proxyListener) prepare(c *net.TCPConn) (net.Conn, error) {
	if !l.trusted(c.RemoteAddr()) {
		if b := peek(c, headStart); len(b) > 1 && mayBeHeader(b) {
			return nil, errors.New("it begins with a PROXY header but its address is not one that may send them; add it if it is a load balancer")
		}
		return c, nil
	}
	first := &firstByte{c: c, timeout: l.o.ProxyTimeout}
	if l.o.ProxyOptional {
		first.grace = l.o.ProxyGrace
	}
	first.begin()
	a, read, err := readHeader(first)
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case late && len(read) == 0 && l.o.ProxyOptional:
		err = errNoHeader
	case late:
		err = fmt.Errorf("no whole PROXY header within %v", l.o.ProxyTimeout)
	case err != nil && err != errNoHeader && len(read) == 0:
		err = errGone
	}
	switch {
	case err == errNoHeader && l.o.ProxyOptional:
	case err != nil:
		return nil, err
	case a.remote != nil:
		return &proxyConn{c, a}, c.SetReadDeadline(time.Time{})
	default:
		read = nil
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if len(read) > 0 {
		return &replayConn{Conn: c, read: read}, nil
	}
	return c, nil
}

// firstByte reads c with one deadline for the first byte and one for all.
type firstByte struct {
	c              *net.TCPConn
	grace, timeout time.Duration // grace 0: as timeout
	end            time.Time
}

func (f *firstByte) begin() {
	now := time.Now()
	f.end = now.Add(f.timeout)
	d := f.timeout
	if f.grace > 0 {
		d = min(d, f.grace)
	}
	f.c.SetReadDeadline(now.Add(d))
}

func (f *firstByte) Read(b []byte) (int, error) {
	n, err := f.c.Read(b)
	if n > 0 && f.grace > 0 {
		f.grace = 0
		f.c.SetReadDeadline(f.end)
	}
	return n, err
}

// trusted reports whether a header from a is believed.
func (l *proxyListener) trusted(a net.Addr) bool {
	if len(l.o.ProxyFrom) == 0 {
		return true
	}
	ip := a.(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(l.o.ProxyFrom, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// refuse closes c and says so.
func (l *proxyListener) refuse(c *net.TCPConn, err error) {
	c.Close()
	select {
	case <-l.done:
		return
	default:
	}
	if err == errGone {
		l.o.Logger.Debug("connection closed before its PROXY header", "listener", l.name, "remote", c.RemoteAddr().String())
		return
	}
	l.refused.Add(1)
	if ok, unsaid := l.log.allow(); ok {
		l.o.Logger.Warn("connection refused", "listener", l.name, "remote", c.RemoteAddr().String(), "error", err, "unlogged", unsaid)
	}
}

// boundedLog says which lines about refused connections are written, so that who
// sends nonsense cannot fill the log.
type boundedLog struct {
	limiter *rate.Limiter
	left    atomic.Uint64
}

// allow reports whether a line may be written, and how many were not since the
// last.
func (b *boundedLog) allow() (ok bool, unsaid uint64) {
	if !b.limiter.Allow() {
		b.left.Add(1)
		return false, 0
	}
	return true, b.left.Swap(0)
}
