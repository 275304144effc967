package broker_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/local"
	"ganglion/core/wire"
)

// TestPeer: a peer inside the process publishes, requests and subscribes like a
// client.
func TestPeer(t *testing.T) {
	b, url := start(t, broker.Options{})
	p := b.Peer("test")
	nc := connect(t, url)
	if _, err := nc.Subscribe("outside", func(m *nats.Msg) { m.Respond([]byte("from outside")) }); err != nil {
		t.Fatal(err)
	}
	nc.Flush()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m, err := p.Request(ctx, "outside", []byte("x"))
	if err != nil || string(m.Payload()) != "from outside" {
		t.Fatalf("%v, %v", m, err)
	}
	if _, err := p.Request(ctx, "nobody", nil); !errors.Is(err, local.ErrNoResponders) {
		t.Fatalf("request to nobody: %v", err)
	}
	sub, err := p.Subscribe("inside.*", "q", 0, func(m *wire.Msg) {
		p.Publish(&wire.Msg{Subject: m.Reply, Data: append([]byte("got "), m.Payload()...)})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := nc.Request("inside.x", []byte("y"), 10*time.Second)
	if err != nil || string(r.Data) != "got y" {
		t.Fatalf("%v, %v", r, err)
	}
	sub.Close()
	if _, err := nc.Request("inside.x", nil, 10*time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Fatalf("request after close: %v", err)
	}
	if _, err := p.Subscribe("bad..subject", "", 0, nil); err == nil {
		t.Fatal("bad subject passed")
	}
}

// TestPeerIsBounded: a handler that hangs costs what its queue holds, and no
// publisher waits for it.
func TestPeerIsBounded(t *testing.T) {
	b, url := start(t, broker.Options{})
	hang := make(chan struct{})
	sub, err := b.Peer("test").Subscribe("x", "", 10, func(*wire.Msg) { <-hang })
	if err != nil {
		t.Fatal(err)
	}
	c := quiet(t, url)
	for range 100 {
		c.send("PUB x 0\r\n\r\n")
	}
	c.sync()
	if d := sub.Dropped(); d < 85 {
		t.Fatalf("%d dropped", d)
	}
	close(hang)
	sub.Close()
}

// TestPrepare: options change for sessions that exist, or not at all.
func TestPrepare(t *testing.T) {
	b, url := start(t, broker.Options{})
	c := quiet(t, url)
	c.sync()
	o := b.Options()
	o.MaxPayload = 1 << 30
	if _, _, err := b.Prepare(o); err == nil {
		t.Fatal("a payload above 64 MB passed")
	}
	o.MaxPayload = 10
	_, abort, err := b.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	abort()
	c.send("PUB a 11\r\nhello world\r\n")
	c.sync()
	commit, _, err := b.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	c.send("PUB a 11\r\n")
	c.expect("-ERR 'Maximum Payload Violation'")
	c.closed()

	d := quiet(t, url)
	d.sync()
	o.Auth = auth.Options{Token: "t"}
	commit, _, err = b.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	d.expect("-ERR 'Authorization Violation'")
	d.closed()
}

// TestHalfOpen: a peer that vanished without a FIN is found by its missing PONGs.
func TestHalfOpen(t *testing.T) {
	b, _ := start(t, broker.Options{PingInterval: 50 * time.Millisecond, WriteDeadline: 500 * time.Millisecond})
	near, far := net.Pipe() // nobody reads near any more
	ln := &oneConn{conn: far, done: make(chan struct{})}
	go b.Serve(ln, broker.Endpoint{Name: "half"})
	buf := make([]byte, 4096)
	if _, err := near.Read(buf); err != nil {
		t.Fatal(err)
	}
	closedReason(t, b, "Stale Connection")
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn net.Conn
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
