package brokertest_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	quicgo "github.com/quic-go/quic-go"
	wt "github.com/quic-go/webtransport-go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/brokertest"
	"ganglion/listeners/quic"
	"ganglion/listeners/webtransport"
)

// wtConn is a client's end of a NATS connection over WebTransport.
type wtConn struct {
	*wt.Stream
	s    *wt.Session
	tr   *wt.Transport
	once sync.Once
}

func (c *wtConn) LocalAddr() net.Addr  { return c.s.LocalAddr() }
func (c *wtConn) RemoteAddr() net.Addr { return c.s.RemoteAddr() }

// Close ends the connection behind what was written, as browsers' transport does.
func (c *wtConn) Close() error {
	c.once.Do(func() {
		c.Stream.Close()
		c.Stream.SetReadDeadline(time.Now().Add(time.Second))
		for b := make([]byte, 4<<10); ; {
			if _, err := c.Stream.Read(b); err != nil {
				break
			}
		}
		c.s.CloseWithError(0, "")
		c.tr.Close()
	})
	return nil
}

func dialWebTransport(ctx context.Context, addr string, trust *tls.Config) (net.Conn, error) {
	cfg := trust.Clone()
	cfg.NextProtos = []string{webtransport.ALPN}
	tr := &wt.Transport{TLSClientConfig: cfg, QUICConfig: &quicgo.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true}}
	_, s, err := tr.Dial(ctx, "https://"+addr+"/nats", nil)
	if err != nil {
		tr.Close()
		return nil, err
	}
	str, err := s.OpenStreamSync(ctx)
	if err == nil {
		_, err = str.Write(quic.AppendPreamble(nil, quic.Preamble{}))
	}
	if err != nil {
		s.CloseWithError(0, "")
		tr.Close()
		return nil, err
	}
	return &wtConn{Stream: str, s: s, tr: tr}, nil
}

// wtDialer is for nats.go.
type wtDialer struct{ trust *tls.Config }

func (d *wtDialer) SkipTLSHandshake() bool { return true }

func (d *wtDialer) Dial(_, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	return dialWebTransport(ctx, addr, d.trust)
}

// overWebTransport is a stream of a WebTransport session.
func overWebTransport(server, client *tls.Config) *transport {
	return &transport{
		name: "webtransport",
		listen: func(t testing.TB) (net.Listener, broker.Endpoint) {
			p, err := quic.OpenPort(t.Context(), "127.0.0.1", 0, quic.Options{TLS: server, Datagrams: true})
			must(t, err)
			l, err := webtransport.Listen(p, webtransport.Options{})
			must(t, err)
			t.Cleanup(func() {
				l.Close()
				ctx, cancel := context.WithTimeout(context.Background(), soon)
				defer cancel()
				p.Drain(ctx)
				p.Close()
			})
			return l, broker.Endpoint{Name: "webtransport", Secure: true, Type: auth.TypeWebTransport}
		},
		dial: func(addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), brokertest.Patience)
			defer cancel()
			c, err := dialWebTransport(ctx, addr, client)
			if err != nil {
				return nil, err
			}
			return likeTCP(c), nil
		},
		url: func(addr string) string { return "tls://" + addr }, options: []nats.Option{nats.SetCustomDialer(&wtDialer{client}), nats.Timeout(soon)},
	}
}
