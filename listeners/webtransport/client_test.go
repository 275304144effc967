package webtransport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"
	wt "github.com/quic-go/webtransport-go"

	"ganglion/listeners/listenertest"
	"ganglion/listeners/quic"
)

// serve opens a listener on a free port of localhost and returns it with what a
// client needs to trust it.
func serve(t testing.TB, o Options) (*Listener, *tls.Config) {
	t.Helper()
	server, client := listenertest.Identity(t)
	p, err := quic.OpenPort(t.Context(), "127.0.0.1", 0, quic.Options{TLS: server, Datagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	l, err := Listen(p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, client
}

// peer is a client's HTTP/3 connection.
type peer struct {
	*wt.ClientConn
	qc    *quicgo.Conn
	addr  string
	tr    *quicgo.Transport
	close sync.Once
}

// connect opens an HTTP/3 connection from localhost, whose address says where it
// is.
func connect(ctx context.Context, addr string, trust *tls.Config) (*peer, error) {
	udp, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	p := &peer{addr: addr, tr: &quicgo.Transport{Conn: udp}}
	cfg := trust.Clone()
	cfg.NextProtos = []string{ALPN}
	p.qc, err = p.tr.DialEarly(ctx, to, cfg, &quicgo.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
	if err == nil {
		p.ClientConn, err = (&wt.Transport{}).NewClientConn(p.qc)
	}
	if err != nil {
		p.tr.Close()
		udp.Close()
		return nil, err
	}
	return p, nil
}

func (p *peer) Close() {
	p.close.Do(func() {
		p.qc.CloseWithError(0x100, "")
		p.tr.Close()
		p.tr.Conn.Close()
	})
}

// openSession opens a session on a connection of its own.
func openSession(t *testing.T, l *Listener, trust *tls.Config, h http.Header) (*peer, *wt.Session) {
	t.Helper()
	p, err := connect(t.Context(), l.Addr().String(), trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	rsp, s, err := p.Dial(t.Context(), "https://"+p.addr+"/nats", h)
	if err != nil {
		t.Fatalf("session: %v, %v", rsp, err)
	}
	return p, s
}

// stream is a client's end of a NATS connection.
type stream struct {
	*wt.Stream
	p     *peer // goes with it, if any
	s     *wt.Session
	close sync.Once
}

// openStream opens a NATS connection on s.
func openStream(ctx context.Context, s *wt.Session, pre quic.Preamble) (*stream, error) {
	str, err := s.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := str.Write(quic.AppendPreamble(nil, pre)); err != nil {
		return nil, err
	}
	return &stream{Stream: str, s: s}, nil
}

// dial makes a NATS connection on a session of its own.
func dial(ctx context.Context, addr string, trust *tls.Config) (net.Conn, error) {
	p, err := connect(ctx, addr, trust)
	if err != nil {
		return nil, err
	}
	rsp, s, err := p.Dial(ctx, "https://"+addr+"/nats", nil)
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("session: %v: %w", rsp, err)
	}
	c, err := openStream(ctx, s, quic.Preamble{})
	if err != nil {
		p.Close()
		return nil, err
	}
	c.p = p
	return c, nil
}

func (c *stream) LocalAddr() net.Addr  { return c.s.LocalAddr() }
func (c *stream) RemoteAddr() net.Addr { return c.s.RemoteAddr() }
func (c *stream) CloseWrite() error    { return c.Stream.Close() }

// Close ends the connection, and the session below once the server has all.
func (c *stream) Close() error {
	c.close.Do(func() {
		c.Stream.Close()
		c.SetReadDeadline(time.Now().Add(time.Second))
		io.Copy(io.Discard, c.Stream)
		c.CancelRead(0)
		c.CancelWrite(0)
		if c.p != nil {
			c.s.CloseWithError(0, "")
			c.p.Close()
		}
	})
	return nil
}

// accepted accepts one connection in the background.
func accepted(t *testing.T, l net.Listener) func() *Conn {
	t.Helper()
	ch := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			ch <- c
		}
		close(ch)
	}()
	return func() *Conn {
		t.Helper()
		c, ok := <-ch
		if !ok {
			t.Fatal("nothing was accepted")
		}
		return c.(*Conn)
	}
}
