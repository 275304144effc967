package listeners

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Gate is a net.Listener in front of another: it counts open connections,
// applies Limits and can be paused. Its connections cost 32 bytes more than the
// other's and no goroutine; they offer NetConn, and SyscallConn, CloseRead and
// CloseWrite when the other's do.
type Gate struct {
	// static after construction
	inner      net.Listener
	name, kind string
	done       chan struct{} // closed by Close
	close      func() error

	accepted, refusedMax, refusedAddr, delayed atomic.Uint64

	mu      sync.Mutex
	limits  Limits
	bucket  *rate.Limiter // nil: no rate
	open    int
	peers   map[netip.Addr]*peer // of the connections that were counted by address
	paused  bool
	changed chan struct{} // closed and replaced when paused or bucket change
}

// NewGate returns a Gate in front of ln with c's name, kind and limits, which
// must be valid. It owns ln.
func NewGate(ln net.Listener, c Config) *Gate {
	g := &Gate{inner: ln, name: c.Name, kind: c.Kind, done: make(chan struct{}), changed: make(chan struct{})}
	g.setLimits(c.Limits)
	g.close = sync.OnceValue(func() error {
		close(g.done)
		return ln.Close()
	})
	return g
}

// Accept returns the next connection that the limits allow, at the pace that
// they allow. It waits while g is paused.
func (g *Gate) Accept() (net.Conn, error) {
	for {
		if err := g.pass(false); err != nil {
			return nil, err
		}
		nc, err := g.inner.Accept()
		if err != nil {
			return nil, err
		}
		c, ok := g.enter(nc)
		if !ok {
			refuse(nc)
			continue
		}
		// While this one waits, those behind it do so in the transport's backlog.
		if err := g.pass(true); err != nil {
			c.Close()
			return nil, err
		}
		g.accepted.Add(1)
		return c, nil
	}
}

// pass waits until g is not paused and, for a connection that wants to pass,
// until it may by the accept rate. It returns net.ErrClosed when g is closed.
func (g *Gate) pass(one bool) error {
	late := false
	for {
		g.mu.Lock()
		changed, paused, bucket := g.changed, g.paused, g.bucket
		g.mu.Unlock()
		var (
			turn    <-chan time.Time
			release = func() {}
		)
		if !paused {
			if !one || bucket == nil {
				return nil
			}
			r := bucket.Reserve()
			d := r.Delay()
			if d <= 0 {
				return nil
			}
			if !late {
				late = true
				g.delayed.Add(1)
			}
			t := time.NewTimer(d)
			turn, release = t.C, func() { t.Stop(); r.Cancel() }
		}
		select {
		case <-turn:
			one = false // its turn has come, unless g was paused meanwhile
		case <-changed:
			release()
		case <-g.done:
			release()
			return fmt.Errorf("accept on listener %q: %w", g.name, net.ErrClosed)
		}
	}
}

// enter gives nc a place; false when there is none.
func (g *Gate) enter(nc net.Conn) (net.Conn, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := &g.limits
	if l.MaxConns > 0 && g.open >= l.MaxConns {
		g.refusedMax.Add(1)
		return nil, false
	}
	var p *peer
	if l.MaxPerAddr > 0 {
		if addr := peerAddr(nc.RemoteAddr()); addr.IsValid() {
			if p = g.peers[addr]; p == nil {
				p = &peer{addr: addr}
				g.peers[addr] = p
			}
			if p.open >= l.MaxPerAddr {
				g.refusedAddr.Add(1)
				return nil, false
			}
			p.open++
		}
	}
	g.open++
	return wrap(nc, g, p), true
}

// leave takes a place back.
func (g *Gate) leave(p *peer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if p == nil {
		return
	}
	if p.open--; p.open == 0 {
		delete(g.peers, p.addr)
	}
}

// SetLimits replaces the limits. Connections that are open stay, above a limit
// too. MaxPerAddr, when it was 0, counts connections from now on.
func (g *Gate) SetLimits(l Limits) error {
	if err := l.Check(); err != nil {
		return fmt.Errorf("listener %q: %w", g.name, err)
	}
	g.setLimits(l)
	return nil
}

func (g *Gate) setLimits(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.MaxPerAddr > 0 && g.peers == nil {
		g.peers = map[netip.Addr]*peer{}
	}
	if l.AcceptRate != g.limits.AcceptRate || l.burst() != g.limits.burst() {
		g.bucket = nil
		if l.AcceptRate > 0 {
			g.bucket = rate.NewLimiter(rate.Limit(l.AcceptRate), l.burst())
		}
		g.change()
	}
	g.limits = l
}

// change wakes those who wait in pass, with mu held.
func (g *Gate) change() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Pause stops accepting: the socket stays open, so clients connect and wait in
// the system's backlog until Resume, or their own timeout; none is refused as
// long as there is room in it. A connection that arrives at an Accept that was
// already waiting waits there. A transport that accepts by itself, WebSocket for
// one, still answers handshakes as far as its own queue goes. Connections that
// were accepted are not concerned.
func (g *Gate) Pause() { g.setPaused(true) }

// Resume ends a pause.
func (g *Gate) Resume() { g.setPaused(false) }

func (g *Gate) setPaused(p bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused != p {
		g.paused = p
		g.change()
	}
}

// Close closes the listener for good: new connections are refused by the system,
// Accept returns net.ErrClosed. Connections that were accepted stay open and
// counted, which is what a lame duck needs.
func (g *Gate) Close() error { return g.close() }

// Addr returns where g listens.
func (g *Gate) Addr() net.Addr { return g.inner.Addr() }

// Stats are a listener's facts and counters.
type Stats struct {
	Name, Kind, Addr string
	// Open is how many connections are open now.
	Open int
	// Accepted is how many were accepted and handed on.
	Accepted uint64
	// RefusedMax and RefusedPerAddr were above MaxConns and MaxPerAddr.
	RefusedMax, RefusedPerAddr uint64
	// RefusedTransport were turned away by the transport, e.g. without a valid
	// PROXY header.
	RefusedTransport uint64
	// Delayed is how many had to wait because of AcceptRate.
	Delayed uint64
	// Paused and Closed say that new connections are not accepted.
	Paused, Closed bool
}

// Stats returns g's statistics.
func (g *Gate) Stats() Stats {
	s := Stats{
		Name: g.name, Kind: g.kind, Addr: g.inner.Addr().String(),
		Accepted: g.accepted.Load(), RefusedMax: g.refusedMax.Load(), RefusedPerAddr: g.refusedAddr.Load(), Delayed: g.delayed.Load(),
	}
	if r, ok := g.inner.(interface{ Refused() uint64 }); ok {
		s.RefusedTransport = r.Refused()
	}
	select {
	case <-g.done:
		s.Closed = true
	default:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Open, s.Paused = g.open, g.paused
	return s
}
