package link

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
)

// All addresses are in one network, so that neither host needs a route.
const prefixBits = 8

var (
	nearAddr    = netip.MustParseAddr("10.1.0.1")
	farAddr     = netip.MustParseAddr("10.2.0.1")
	outsideAddr = netip.MustParseAddr("10.3.0.1")
)

// The MTU of interfaces: what IPv4 asks for at least, what Ethernet has, and
// what TUN devices allow.
const (
	minMTU     = 68
	defaultMTU = 1500
	maxMTU     = 65535
)

// Options says how a link begins.
type Options struct {
	Seed  uint64 // of all random choices
	Shape Shape  // of both directions
	NAT   bool   // near is behind a NAT, and far sees it as [Link.Outside]
	MTU   int    // of both interfaces; 0 is 1500
}

// Link is an emulated link between two hosts. Its methods may be called from any
// goroutine.
type Link struct {
	Near *Host // the device
	Far  *Host // the server

	t     testing.TB
	edge  *edge
	pipes [2]*pipe // by Direction

	mu      sync.Mutex
	near    netip.Addr
	outside netip.Addr
}

// New makes a link for one test, whose end closes it and waits for its
// goroutines; close what uses it first, as t.Cleanup does in its order. Where
// namespaces are not to be had the test is skipped, or fails with
// GANGLION_CI=1 in the environment.
func New(t testing.TB, o Options) *Link {
	t.Helper()
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	if err := o.check(); err != nil {
		t.Fatalf("link: %v", err)
	}
	near, err := newNamespace(nearAddr, o.MTU)
	if err != nil {
		unavailable(t, err)
	}
	far, err := newNamespace(farAddr, o.MTU)
	if err != nil {
		near.close()
		unavailable(t, err)
	}
	e := newEdge(nearAddr, farAddr, outsideAddr, o.NAT, o.Seed)
	pass := func([]byte) reason { return passed }
	l := &Link{
		t: t, edge: e, near: nearAddr, outside: outsideAddr,
		Near: &Host{"near", e.nearAddr, near},
		Far:  &Host{"far", func() netip.Addr { return farAddr }, far},
		pipes: [2]*pipe{
			Up:   newPipe(near.tun, far.tun, e.up, pass, o.Seed, Up),
			Down: newPipe(far.tun, near.tun, pass, e.down, o.Seed, Down),
		},
	}
	for _, p := range l.pipes {
		p.shape = o.Shape
		p.start()
	}
	t.Cleanup(func() {
		near.close()
		far.close()
		for _, p := range l.pipes {
			p.stop()
		}
	})
	return l
}

func (o Options) check() error {
	return errors.Join(o.Shape.check(), checkMTU(o.MTU))
}

func checkMTU(mtu int) error {
	if mtu < minMTU || mtu > maxMTU {
		return fmt.Errorf("the interface's MTU is %d; it must be %d to %d", mtu, minMTU, maxMTU)
	}
	return nil
}

// unavailable ends a test that gets no link.
func unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("GANGLION_CI") == "1" {
		t.Fatalf("link: no network namespaces, and GANGLION_CI=1 wants them: %v", err)
	}
	t.Skipf("link: no network namespaces: %v", err)
}

// Set gives both directions a shape.
func (l *Link) Set(s Shape) {
	l.t.Helper()
	l.SetDirection(Up, s)
	l.SetDirection(Down, s)
}

// SetDirection gives one direction a shape.
func (l *Link) SetDirection(d Direction, s Shape) {
	l.t.Helper()
	l.Change(d, func(now *Shape) { *now = s })
}

// Change changes parts of a direction's shape and leaves the others. Packets in
// the queue feel a new Rate; those that have left it, no new Delay.
func (l *Link) Change(d Direction, change func(*Shape)) {
	l.t.Helper()
	if err := l.pipes[d].set(change); err != nil {
		l.t.Fatalf("link: shape of %v: %v", d, err)
	}
}

// Blackout begins or ends a blackout of both directions.
func (l *Link) Blackout(on bool) {
	l.t.Helper()
	l.BlackoutDirection(Up, on)
	l.BlackoutDirection(Down, on)
}

// BlackoutDirection begins or ends a blackout of one direction: a link half open.
func (l *Link) BlackoutDirection(d Direction, on bool) {
	l.t.Helper()
	l.Change(d, func(s *Shape) { s.Blackout = on })
}

// SetMTU sets the MTU of both interfaces: hosts then know it, cut TCP's segments
// to it and refuse larger packets that must not be fragmented. [Shape].MTU is for
// a path whose MTU nobody knows.
func (l *Link) SetMTU(mtu int) {
	l.t.Helper()
	if err := checkMTU(mtu); err != nil {
		l.t.Fatalf("link: %v", err)
	}
	for _, h := range []*Host{l.Near, l.Far} {
		if err := h.space.setMTU(mtu); err != nil {
			l.t.Fatalf("link: MTU %d on %s: %v", mtu, h.name, err)
		}
	}
}

// Outside returns the address under which far sees near: the NAT's, if there is
// one.
func (l *Link) Outside() netip.Addr { return l.edge.seen() }

// Rebind makes the NAT forget its mappings and take another address, which it
// returns. Near does not notice: its next packet comes to far from the new address
// and from a new port, and packets to the old one are dropped.
func (l *Link) Rebind() netip.Addr {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needNAT()
	l.outside = l.outside.Next()
	l.edge.rebind(l.outside)
	return l.outside
}

// RebindPorts is Rebind, but the NAT keeps its address: only ports change.
func (l *Link) RebindPorts() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needNAT()
	l.edge.rebind(l.outside)
}

func (l *Link) needNAT() {
	l.t.Helper()
	if !l.edge.translate {
		l.t.Fatal("link: rebinding without a NAT; set Options.NAT, or take Renumber")
	}
}

// Renumber moves near to another network: its interface loses its address and gets
// another, which is returned; a NAT is another, too. Sockets that are bound to the old
// address (every TCP connection, every connected UDP socket) can send no more;
// packets to it are dropped.
func (l *Link) Renumber() netip.Addr {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := l.near.Next()
	// The edge first: what near sends from the new address is never unroutable.
	l.edge.renumber(addr)
	if l.edge.translate {
		l.outside = l.outside.Next()
		l.edge.rebind(l.outside)
	}
	if err := l.Near.space.setAddr(addr); err != nil {
		l.t.Fatalf("link: give near the address %s: %v", addr, err)
	}
	l.near = addr
	return addr
}

// Stats returns what a direction counted so far.
func (l *Link) Stats(d Direction) Stats { return l.pipes[d].snapshot() }
