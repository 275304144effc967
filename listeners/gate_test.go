package listeners_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ganglion/listeners"
)

// script is a listener of one's own, whose connections are made by the test.
type script struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
	asked  atomic.Int32 // calls of Accept
}

func newScript() *script {
	s := &script{conns: make(chan net.Conn), closed: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.closed) })
	return s
}

func (s *script) Accept() (net.Conn, error) {
	s.asked.Add(1)
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}
func (s *script) Close() error    { s.close(); return nil }
func (s *script) Addr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4222} }
func (s *script) Refused() uint64 { return 3 }

// peerConn is a connection from an address.
type peerConn struct {
	net.Conn // a pipe's end
	from     net.Addr
	closes   atomic.Int32
}

func (c *peerConn) RemoteAddr() net.Addr { return c.from }
func (c *peerConn) Close() error         { c.closes.Add(1); return c.Conn.Close() }

// arrive hands c, a new connection from addr, to the listener.
func (s *script) arrive(addr string) *peerConn {
	near, far := net.Pipe()
	near.Close()
	var from net.Addr = &net.UnixAddr{Name: addr, Net: "unix"}
	if a, err := net.ResolveTCPAddr("tcp", addr); err == nil {
		from = a
	}
	c := &peerConn{Conn: far, from: from}
	s.conns <- c
	return c
}

// gate returns a Gate over a script and the connections that its Accept returns.
func gate(t *testing.T, l listeners.Limits) (*listeners.Gate, *script, <-chan net.Conn) {
	t.Helper()
	s := newScript()
	g := listeners.NewGate(s, listeners.Config{Name: "edge", Kind: "script", Limits: l})
	accepted := make(chan net.Conn, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := g.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accept: %v", err)
				}
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() { g.Close(); <-done })
	return g, s, accepted
}

func TestMaxConns(t *testing.T) {
	g, s, accepted := gate(t, listeners.Limits{MaxConns: 2})
	s.arrive("10.0.0.1:1")
	s.arrive("10.0.0.1:2")
	first := <-accepted
	<-accepted
	refused := s.arrive("10.0.0.1:3")
	waitFor(t, func() bool { return g.Stats().RefusedMax == 1 })
	for range 2 { // a place is given back once
		first.Close()
	}
	s.arrive("10.0.0.1:4")
	if c := <-accepted; c.RemoteAddr().String() != "10.0.0.1:4" {
		t.Fatalf("accepted %v", c.RemoteAddr())
	}
	s.arrive("10.0.0.1:5")
	s.arrive("10.0.0.1:6") // comes when 5 has been dealt with
	if refused.closes.Load() != 1 {
		t.Fatalf("the refused connection was closed %d times", refused.closes.Load())
	}
	st := g.Stats()
	if st.Open != 2 || st.Accepted != 3 || st.RefusedMax < 2 || st.RefusedPerAddr != 0 || st.RefusedTransport != 3 {
		t.Fatalf("stats %+v", st)
	}
	if st.Name != "edge" || st.Kind != "script" || st.Addr != "127.0.0.1:4222" || st.Paused || st.Closed {
		t.Fatalf("stats %+v", st)
	}
}

func TestMaxPerAddr(t *testing.T) {
	for _, tc := range []struct {
		name          string
		first, second string
		ok            bool
	}{
		{"same IPv4", "10.0.0.1:1", "10.0.0.1:2", false},
		{"other IPv4", "10.0.0.1:1", "10.0.0.2:1", true},
		{"IPv4 in IPv6", "10.0.0.1:1", "[::ffff:10.0.0.1]:2", false},
		{"same IPv6", "[2001:db8::1]:1", "[2001:db8::1]:2", false},
		{"same /64", "[2001:db8::1]:1", "[2001:db8::ffff:1:2:3]:2", false},
		{"other /64", "[2001:db8::1]:1", "[2001:db8:0:1::1]:2", true},
		{"zones", "[fe80::1%1]:1", "[fe80::1%2]:2", false},
		{"no address", "/run/socket", "/run/socket", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, s, accepted := gate(t, listeners.Limits{MaxPerAddr: 1})
			s.arrive(tc.first)
			c := <-accepted
			s.arrive(tc.second)
			s.arrive("192.0.2.1:1") // comes when the second has been dealt with
			next := <-accepted
			if ok := next.RemoteAddr().String() != "192.0.2.1:1"; ok != tc.ok {
				t.Fatalf("accepted next: %v", next.RemoteAddr())
			}
			if tc.ok {
				return
			}
			if st := g.Stats(); st.RefusedPerAddr != 1 || st.Open != 2 {
				t.Fatalf("stats %+v", st)
			}
			c.Close()
			s.arrive(tc.second)
			<-accepted
		})
	}
}

func TestSetLimits(t *testing.T) {
	g, s, accepted := gate(t, listeners.Limits{})
	s.arrive("10.0.0.1:1")
	old := <-accepted
	if err := g.SetLimits(listeners.Limits{MaxConns: -1}); err == nil || !strings.Contains(err.Error(), "MaxConns is -1") {
		t.Fatalf("set: %v", err)
	}
	if err := g.SetLimits(listeners.Limits{MaxConns: 3, MaxPerAddr: 1}); err != nil {
		t.Fatal(err)
	}
	s.arrive("10.0.0.1:2") // the first of those that are counted by address
	<-accepted
	s.arrive("10.0.0.1:3") // refused
	old.Close()            // was not counted: takes nothing from the count
	s.arrive("10.0.0.1:4") // refused
	s.arrive("10.0.0.2:1")
	if c := <-accepted; c.RemoteAddr().String() != "10.0.0.2:1" {
		t.Fatalf("accepted %v", c.RemoteAddr())
	}
	if st := g.Stats(); st.RefusedPerAddr != 2 || st.Open != 2 {
		t.Fatalf("stats %+v", st)
	}
}

// The connections above the burst wait; Close does not wait for them.
func TestAcceptRate(t *testing.T) {
	g, s, accepted := gate(t, listeners.Limits{AcceptRate: 1e-6, AcceptBurst: 2})
	s.arrive("10.0.0.1:1")
	s.arrive("10.0.0.1:2")
	<-accepted
	<-accepted
	held := s.arrive("10.0.0.1:3")
	// A higher rate is not kept from the connection that waits already.
	waitFor(t, func() bool { return g.Stats().Delayed == 1 })
	if len(accepted) != 0 {
		t.Fatal("accepted above the rate")
	}
	if err := g.SetLimits(listeners.Limits{AcceptRate: 1000, AcceptBurst: 1}); err != nil {
		t.Fatal(err)
	}
	if c := <-accepted; c.RemoteAddr() != held.from {
		t.Fatalf("accepted %v", c.RemoteAddr())
	}
	if err := g.SetLimits(listeners.Limits{AcceptRate: 1e-6, AcceptBurst: 1}); err != nil {
		t.Fatal(err)
	}
	s.arrive("10.0.0.1:4")
	<-accepted
	held = s.arrive("10.0.0.1:5")
	waitFor(t, func() bool { return g.Stats().Delayed >= 2 && g.Stats().Open == 5 })
	g.Close()
	waitFor(t, func() bool { return g.Stats().Open == 4 })
	if st := g.Stats(); st.Accepted != 4 || !st.Closed || held.closes.Load() != 1 {
		t.Fatalf("stats %+v, closed %d times", st, held.closes.Load())
	}
}

// Everybody gets through at a rate, none is refused.
func TestAcceptRateRefusesNobody(t *testing.T) {
	g, s, accepted := gate(t, listeners.Limits{AcceptRate: 2000, AcceptBurst: 5})
	for i := range 50 {
		s.arrive(fmt.Sprintf("10.0.0.1:%d", i+1))
	}
	for range 50 {
		<-accepted
	}
	if st := g.Stats(); st.Accepted != 50 || st.RefusedMax+st.RefusedPerAddr != 0 {
		t.Fatalf("stats %+v", st)
	}
}

func TestPause(t *testing.T) {
	g, s, accepted := gate(t, listeners.Limits{})
	waitFor(t, func() bool { return s.asked.Load() == 1 })
	g.Pause()
	g.Pause()
	c := s.arrive("10.0.0.1:1") // Accept was waiting for one already
	waitFor(t, func() bool { return g.Stats().Open == 1 })
	if len(accepted) != 0 || !g.Stats().Paused {
		t.Fatal("accepted while paused")
	}
	g.Resume()
	if got := <-accepted; got.RemoteAddr() != c.from {
		t.Fatalf("accepted %v", got.RemoteAddr())
	}
	waitFor(t, func() bool { return s.asked.Load() == 2 })
	g.Pause()
	held := s.arrive("10.0.0.1:2")
	waitFor(t, func() bool { return g.Stats().Open == 2 })
	g.Close()
	waitFor(t, func() bool { return g.Stats().Open == 1 })
	if held.closes.Load() != 1 {
		t.Fatal("the connection that waited stays open")
	}
	if n := s.asked.Load(); n != 2 {
		t.Fatalf("the transport was asked for %d connections, while paused too", n)
	}
}

// A pause that begins before Accept keeps it from asking the transport.
func TestPauseBeforeAccept(t *testing.T) {
	s := newScript()
	g := listeners.NewGate(s, listeners.Config{})
	g.Pause()
	done := make(chan error)
	go func() { _, err := g.Accept(); done <- err }()
	g.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) || s.asked.Load() != 0 {
		t.Fatalf("%v, asked %d times", err, s.asked.Load())
	}
}

// Connections are accepted at the rate, to the tick, and a pause while one waits
// costs it nothing but the pause.
func TestAcceptPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, s, accepted := gate(t, listeners.Limits{AcceptRate: 2, AcceptBurst: 3})
		start := time.Now()
		go func() {
			for range 6 {
				s.arrive("10.0.0.1:1")
			}
		}()
		go func() {
			time.Sleep(600 * time.Millisecond)
			g.Pause()
			g.Resume()
			time.Sleep(800 * time.Millisecond)
			g.Pause()
			time.Sleep(600 * time.Millisecond)
			g.Resume()
		}()
		for i, want := range []time.Duration{0, 0, 0, 500 * time.Millisecond, time.Second, 2 * time.Second} {
			<-accepted
			if got := time.Since(start); got != want {
				t.Errorf("connection %d after %v, want %v", i, got, want)
			}
		}
		if st := g.Stats(); st.Delayed != 3 {
			t.Errorf("stats %+v", st)
		}
	})
}

// waitFor waits for what other goroutines do.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("did not happen")
		}
	}
}

// Places are counted right when many connections come and go at once.
func TestGateRace(t *testing.T) {
	g, s, accepted := gate(t, listeners.Limits{MaxConns: 20, MaxPerAddr: 5})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case c := <-accepted:
					var both sync.WaitGroup
					both.Go(func() { c.Close() })
					both.Go(func() { c.Close() })
					both.Wait()
				case <-stop:
					return
				}
			}
		})
	}
	for i := range 4 {
		wg.Go(func() {
			for k := range 200 {
				s.arrive(fmt.Sprintf("10.0.%d.%d:1", i, k%3))
				if st := g.Stats(); st.Open > 20 {
					t.Errorf("%d open", st.Open)
				}
				if k%50 == 0 {
					g.Pause()
					g.Resume()
				}
			}
		})
	}
	waitFor(t, func() bool {
		st := g.Stats()
		return st.Accepted+st.RefusedMax+st.RefusedPerAddr == 800 && st.Open == 0
	})
	close(stop)
	wg.Wait()
}
