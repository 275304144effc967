package broker_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
)

// start serves a broker on a loopback port and returns its URL.
func start(t testing.TB, o broker.Options) (*broker.Broker, string) {
	t.Helper()
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- b.Serve(ln, broker.Endpoint{Name: "tcp"}) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return b, "nats://" + ln.Addr().String()
}

func connect(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestPubSub(t *testing.T) {
	_, url := start(t, broker.Options{})
	a, b := connect(t, url), connect(t, url)
	sub, err := b.SubscribeSync("greet.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := a.Publish("greet.joe", []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if m.Subject != "greet.joe" || string(m.Data) != "hello" {
			t.Fatalf("got %q on %q", m.Data, m.Subject)
		}
	}
}

func TestRequestReply(t *testing.T) {
	_, url := start(t, broker.Options{})
	a, b := connect(t, url), connect(t, url)
	if _, err := b.QueueSubscribe("svc", "q", func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	b.Flush()
	for range 100 {
		m, err := a.Request("svc", []byte("x"), 5*time.Second)
		if err != nil || string(m.Data) != "x" {
			t.Fatalf("reply %v, %v", m, err)
		}
	}
	if _, err := a.Request("nobody", nil, 5*time.Second); err != nats.ErrNoResponders {
		t.Fatalf("request to nobody: %v", err)
	}
}

func TestInProcess(t *testing.T) {
	b, url := start(t, broker.Options{})
	in := connect(t, "", nats.InProcessServer(b))
	out := connect(t, url)
	sub, err := in.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	in.Flush()
	out.Publish("a.b", []byte("1"))
	if m, err := sub.NextMsg(5 * time.Second); err != nil || string(m.Data) != "1" {
		t.Fatalf("got %v, %v", m, err)
	}
}

// Lame duck mode of one listener: its clients are told and closed, the others
// stay.
func TestLameDuckListener(t *testing.T) {
	b, url := start(t, broker.Options{LameDuckGrace: -1, LameDuckDuration: time.Millisecond})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(ln, broker.Endpoint{Name: "second"}) }()
	told, closed := make(chan struct{}), make(chan struct{})
	leaving, err := nats.Connect("nats://"+ln.Addr().String(), nats.MaxReconnects(0),
		nats.LameDuckModeHandler(func(*nats.Conn) { close(told) }), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer leaving.Close()
	staying, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer staying.Close()
	if err := leaving.Flush(); err != nil { // it is known to understand INFO
		t.Fatal(err)
	}
	if err := b.LameDuckListener(t.Context(), "nonesuch"); err == nil {
		t.Error("lame duck mode of a listener that is not there")
	}
	if err := b.LameDuckListener(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	for name, ch := range map[string]chan struct{}{"told": told, "closed": closed} {
		select {
		case <-ch:
		case <-time.After(20 * time.Second):
			t.Fatalf("its client was not %s", name)
		}
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := staying.Flush(); err != nil || staying.IsClosed() {
		t.Errorf("the other listener's client: %v", err)
	}
}
