package tcp_test

import (
	"context"
	"net"
	"testing"

	"ganglion/listeners"
	"ganglion/listeners/listenertest"
	"ganglion/listeners/tcp"
)

func open(t *testing.T) net.Listener {
	t.Helper()
	ln, err := tcp.Open(context.Background(), listeners.Config{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestConformance(t *testing.T) {
	listenertest.Run(t, open, func(ctx context.Context, ln net.Listener) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", ln.Addr().String())
	})
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
