package tcp_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"ganglion/listeners"
	"ganglion/listeners/listenertest"
	"ganglion/listeners/tcp"
)

// limits are wide enough for the suite and make all of them counted.
var limits = listeners.Limits{MaxConns: 1000, MaxPerAddr: 1000, AcceptRate: 1e6}

// opening returns what opens a listener for a test, behind a Gate if gated.
func opening(f listeners.OpenFunc, c listeners.Config, gated bool) func(*testing.T) net.Listener {
	return func(t *testing.T) net.Listener {
		t.Helper()
		c := c
		if c.Path == "tmp" {
			c.Path = t.TempDir() + "/s"
		}
		ln, err := f(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if gated {
			c.Limits = limits
			g := listeners.NewGate(ln, c)
			ln = g
			t.Cleanup(func() {
				if st := g.Stats(); st.Open != 0 {
					t.Errorf("%d places not given back", st.Open)
				}
			})
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
}

func open(t *testing.T) net.Listener {
	return opening(tcp.Open, listeners.Config{Host: "127.0.0.1"}, false)(t)
}

func dial(ctx context.Context, ln net.Listener) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, ln.Addr().Network(), ln.Addr().String())
}

func TestConformance(t *testing.T) {
	local := listeners.Config{Name: "tcp", Host: "127.0.0.1"}
	server, client := listenertest.Identity(t)
	overTLS := func(ctx context.Context, c listeners.Config) (net.Listener, error) {
		ln, err := tcp.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		return tls.NewListener(ln, server), nil
	}
	dialTLS := func(ctx context.Context, ln net.Listener) (net.Conn, error) {
		c, err := dial(ctx, ln)
		if err != nil {
			return nil, err
		}
		return tls.Client(c, client), nil
	}
	proxied := tcp.Opener(tcp.Options{ProxyProtocol: true})
	optional := tcp.Opener(tcp.Options{ProxyProtocol: true, ProxyOptional: true, ProxyGrace: time.Millisecond})
	for _, tc := range []struct {
		name string
		open listeners.OpenFunc
		c    listeners.Config
		dial listenertest.Dial
	}{
		{"TCP", tcp.Open, local, dial},
		{"Unix", tcp.OpenUnix, listeners.Config{Path: "tmp"}, dial},
		{"ProxyV1", proxied, local, dialV1},
		{"ProxyV2", proxied, local, dialV2},
		{"ProxyOptional", optional, local, dial},
		{"TLS", overTLS, local, dialTLS},
	} {
		t.Run(tc.name, func(t *testing.T) { listenertest.Run(t, opening(tc.open, tc.c, false), tc.dial) })
		t.Run(tc.name+"Gated", func(t *testing.T) { listenertest.Run(t, opening(tc.open, tc.c, true), tc.dial) })
	}
}

func TestSetOpensAllOrNone(t *testing.T) {
	busy := open(t)
	port := busy.Addr().(*net.TCPAddr).Port
	busy.Close()
	reg := listeners.Registry{tcp.Kind: tcp.Open, "failing": listenertest.Failing}
	for _, second := range []string{"failing", "nonesuch"} {
		_, err := reg.Open(context.Background(),
			listeners.Config{Name: "a", Kind: tcp.Kind, Host: "127.0.0.1", Port: port},
			listeners.Config{Name: "b", Kind: second})
		if err == nil {
			t.Fatalf("kind %s opened", second)
		}
		ln, err := net.Listen("tcp", busy.Addr().String())
		if err != nil {
			t.Fatalf("the first listener was not closed again: %v", err)
		}
		ln.Close()
	}
}

// While a listener is paused, clients wait in the backlog and are served after.
func TestPauseBacklog(t *testing.T) {
	reg := listeners.Registry{tcp.Kind: tcp.Open}
	set, err := reg.Open(t.Context(), listeners.Config{Name: "a", Kind: tcp.Kind, Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	gate := set[0].Gate
	gate.Pause()
	var clients [5]net.Conn
	for i := range clients {
		if clients[i], err = dial(t.Context(), gate); err != nil {
			t.Fatalf("dial while paused: %v", err)
		}
		defer clients[i].Close()
	}
	gate.Resume()
	for range clients {
		c, err := gate.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// Closed, it refuses; what it accepted stays.
	gate.Close()
	if c, err := dial(t.Context(), gate); err == nil {
		c.Close()
		t.Fatal("a closed listener accepts")
	}
	if st := gate.Stats(); st.Open != 5 || !st.Closed {
		t.Fatalf("stats %+v", st)
	}
}
