//go:build net

package brokertest_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/brokertest/link"
	"ganglion/core/monitor"
	"ganglion/listeners/quic"
)

func TestMain(m *testing.M) { os.Exit(link.Main(m)) }

// edge is a broker on the far side of a link, reached over TCP with TLS and over
// QUIC.
type edge struct {
	*link.Link
	broker   *broker.Broker
	port     *quic.Port
	tcp, udp string // addresses
	client   *tls.Config
	movable  bool
}

func newEdge(t *testing.T, lo link.Options, bo broker.Options, qo quic.Options) *edge {
	t.Helper()
	e := &edge{Link: link.New(t, lo), broker: newBroker(t, bo)}
	server, client := identity(t)
	e.client = client
	ln, err := e.Far.Listen("tcp", e.Far.Addr().String()+":0")
	must(t, err)
	e.tcp = ln.Addr().String()
	go e.broker.Serve(ln, broker.Endpoint{Name: "tls", TLS: &broker.TLS{Config: server, Timeout: time.Minute}})
	pc, err := e.Far.ListenPacket("udp", e.Far.Addr().String()+":0")
	must(t, err)
	qo.TLS = server
	e.port, err = quic.NewPort(pc, qo)
	must(t, err)
	ql, err := quic.Listen(e.port)
	must(t, err)
	e.udp = e.port.Addr().String()
	go e.broker.Serve(ql, broker.Endpoint{Name: "quic", Secure: true, Type: auth.TypeQUIC})
	t.Cleanup(func() {
		shutDown(t, e.broker)
		e.port.Close()
	})
	return e
}

func (e *edge) options(lanes ...string) quic.DialOptions {
	return quic.DialOptions{
		TLS: e.client, Lanes: lanes, Movable: e.movable, HandshakeTimeout: time.Minute,
		ListenPacket: func(context.Context) (net.PacketConn, error) { return e.Near.ListenPacket("udp", ":0") },
	}
}

// device connects over QUIC from near; it must never have to do so again. The
// session is given to take, if that is not nil.
func (e *edge) device(t *testing.T, take func(*quic.Session), lanes ...string) *nats.Conn {
	t.Helper()
	d := &sessionDialer{o: e.options(lanes...), addr: e.udp, take: take}
	nc, err := nats.Connect("nats://"+e.udp, nats.SetCustomDialer(d), nats.Timeout(time.Minute), nats.PingInterval(time.Hour),
		nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) {
			if err := nc.LastError(); err != nil {
				t.Errorf("the device was cut off: %v", err)
			}
		}))
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// inside connects at the broker itself.
func (e *edge) inside(t *testing.T) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(e.broker))
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

type sessionDialer struct {
	o    quic.DialOptions
	addr string
	take func(*quic.Session)
}

func (d *sessionDialer) SkipTLSHandshake() bool { return true }

func (d *sessionDialer) Dial(_, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := quic.Dial(ctx, d.addr, d.o)
	if err != nil {
		return nil, err
	}
	if d.take != nil {
		d.take(c.Session())
	}
	return c, nil
}

// count receives n numbered messages on subj, each once and in order.
type count struct {
	t    *testing.T
	sub  *nats.Subscription
	done chan struct{}
	once sync.Once
	next uint64
	n    uint64
}

func newCount(t *testing.T, nc *nats.Conn, subj string, n int) *count {
	t.Helper()
	c := &count{t: t, n: uint64(n), done: make(chan struct{})}
	sub, err := nc.Subscribe(subj, func(m *nats.Msg) {
		if got := binary.BigEndian.Uint64(m.Data); got != c.next {
			c.once.Do(func() {
				t.Errorf("%s: message %d came, %d was due", subj, got, c.next)
				close(c.done)
			})
		}
		if c.next++; c.next == c.n {
			c.once.Do(func() { close(c.done) })
		}
	})
	must(t, err)
	must(t, sub.SetPendingLimits(-1, -1))
	must(t, nc.Flush())
	c.sub = sub
	return c
}

func (c *count) wait() {
	c.t.Helper()
	defer c.sub.Unsubscribe()
	select {
	case <-c.done:
	case <-time.After(2 * time.Minute):
		c.t.Fatalf("only %d of %d messages came", c.next, c.n)
	}
}

func numbered(i, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(i))
	return b
}

// bothWays sends n messages of size bytes each way, every pause, calling at(i)
// before the i-th, and wants each of them once and in order.
func bothWays(t *testing.T, e *edge, dev *nats.Conn, n, size int, pause time.Duration, at func(i int)) {
	t.Helper()
	in := e.inside(t)
	up, down := newCount(t, in, "up", n), newCount(t, dev, "down", n)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range n {
		if at != nil {
			at(i)
		}
		must(t, dev.Publish("up", numbered(i, size)))
		must(t, in.Publish("down", numbered(i, size)))
		<-tick.C
	}
	must(t, in.Flush())
	up.wait()
	down.wait()
}

// TestNetQUIC has a device talk over bad links: nothing is lost, nothing comes
// twice, and it stays connected.
func TestNetQUIC(t *testing.T) {
	rtt60 := link.Shape{Delay: 30 * time.Millisecond}
	with := func(f func(*link.Shape)) link.Options {
		s := rtt60
		f(&s)
		return link.Options{Seed: 7, Shape: s}
	}
	for name, o := range map[string]link.Options{
		"loss 5 %":              with(func(s *link.Shape) { s.Loss = .05 }),
		"reordering":            with(func(s *link.Shape) { s.Reorder, s.ReorderDelay = .2, 20*time.Millisecond }),
		"jitter":                with(func(s *link.Shape) { s.Jitter, s.Unordered = 20*time.Millisecond, true }),
		"slow":                  with(func(s *link.Shape) { s.Rate, s.Delay = 256_000, 300*time.Millisecond }),
		"mtu 1280":              {Seed: 7, Shape: rtt60, MTU: 1280},
		"black hole above 1280": with(func(s *link.Shape) { s.MTU = 1280 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, o, broker.Options{}, quic.Options{})
			for _, lanes := range [][]string{nil, {"down"}} {
				dev := e.device(t, nil, lanes...)
				bothWays(t, e, dev, 400, 200, 4*time.Millisecond, nil)
				bothWays(t, e, dev, 5, 16<<10, 10*time.Millisecond, nil)
			}
		})
	}
}

// TestNetQUICBlackout cuts the link for ten seconds, which is less than the idle
// timeout.
func TestNetQUICBlackout(t *testing.T) {
	t.Parallel()
	e := newEdge(t, link.Options{Shape: link.Shape{Delay: 30 * time.Millisecond}}, broker.Options{}, quic.Options{})
	dev := e.device(t, nil)
	bothWays(t, e, dev, 600, 128, 20*time.Millisecond, func(i int) {
		if i == 50 {
			e.Blackout(true)
			time.AfterFunc(10*time.Second, func() { e.Blackout(false) })
		}
	})
	if d := e.Stats(link.Down).Dropped.Blackout; d == 0 {
		t.Error("the blackout hit nothing")
	}
}

// TestNetQUICMoves changes the device's address under traffic: its NAT's, which it
// does not notice, its own, and by moving to another socket.
func TestNetQUICMoves(t *testing.T) {
	for name, tc := range map[string]struct {
		nat  bool
		move func(t *testing.T, e *edge, s *quic.Session)
	}{
		"nat rebinds":       {true, func(t *testing.T, e *edge, s *quic.Session) { e.Rebind() }},
		"nat changes ports": {true, func(t *testing.T, e *edge, s *quic.Session) { e.RebindPorts() }},
		"renumbered":        {false, func(t *testing.T, e *edge, s *quic.Session) { e.Renumber() }},
		"migrates": {false, func(t *testing.T, e *edge, s *quic.Session) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			must(t, s.Migrate(ctx, nil))
		}},
		"migrates to where nobody answers": {false, func(t *testing.T, e *edge, s *quic.Session) {
			pc, err := e.Near.ListenPacket("udp", "127.0.0.1:0") // from here nothing gets out
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if err := s.Migrate(ctx, pc); err == nil {
				t.Error("moved to a network without a way out")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, link.Options{Shape: link.Shape{Delay: 30 * time.Millisecond}, NAT: tc.nat}, broker.Options{}, quic.Options{})
			e.movable = strings.HasPrefix(name, "migrates")
			var s *quic.Session
			dev := e.device(t, func(x *quic.Session) { s = x })
			moves := 0
			bothWays(t, e, dev, 600, 128, 5*time.Millisecond, func(i int) {
				if i%200 == 100 {
					moves++
					tc.move(t, e, s)
				}
			})
			var seen int64
			for _, c := range e.connections(t) {
				seen += c["migrations"]
			}
			want := int64(moves)
			if name == "migrates to where nobody answers" {
				want = 0
			}
			if seen != want {
				t.Errorf("monitoring shows %d migrations, want %d", seen, want)
			}
		})
	}
}

// connections returns what monitoring shows of the ways to clients over QUIC.
func (e *edge) connections(t *testing.T) (list []map[string]int64) {
	t.Helper()
	for _, c := range e.broker.Conns(monitor.ConnQuery{Open: true}) {
		if c.Path != nil {
			list = append(list, c.Path)
		}
	}
	if len(list) == 0 {
		t.Fatal("monitoring shows no connection over QUIC")
	}
	return list
}
