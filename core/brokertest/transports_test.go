package brokertest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/brokertest"
	"ganglion/listeners"
	"ganglion/listeners/quic"
	"ganglion/listeners/tcp"
	"ganglion/listeners/websocket"
)

// transport is one way to reach a broker.
type transport struct {
	name string
	// listen opens a listener and says what its connections are.
	listen func(t testing.TB) (net.Listener, broker.Endpoint)
	// dial returns a connection on which INFO comes first, in clear.
	dial func(addr string) (net.Conn, error)
	// url and options are for nats.go; url "" where it can't.
	url     func(addr string) string
	options []nats.Option
	// unordered says that what comes on different subscriptions has no order.
	unordered bool
}

var overTCP = &transport{
	name: "tcp",
	listen: func(t testing.TB) (net.Listener, broker.Endpoint) {
		return open(t, tcp.Open), broker.Endpoint{Name: "tcp"}
	},
	dial: brokertest.DialTCP,
	url:  func(addr string) string { return "nats://" + addr },
}

func open(t testing.TB, f listeners.OpenFunc) net.Listener {
	t.Helper()
	ln, err := f(t.Context(), listeners.Config{Host: "127.0.0.1", Path: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// identity is a certificate for the loopback and who trusts it.
func identity(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert, key := writeCertificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	pem, err := os.ReadFile(cert)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{Certificates: []tls.Certificate{pair}}, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// transports returns every way to reach a broker.
func transports(t testing.TB) []*transport {
	server, client := identity(t)
	secure := []nats.Option{nats.Secure(client)}
	withTLS := func(o broker.TLS) func(testing.TB) (net.Listener, broker.Endpoint) {
		o.Config, o.Timeout = server, soon
		return func(t testing.TB) (net.Listener, broker.Endpoint) {
			return open(t, tcp.Open), broker.Endpoint{Name: "tls", TLS: &o}
		}
	}
	webSocket := func(o websocket.Options) func(testing.TB) (net.Listener, broker.Endpoint) {
		return func(t testing.TB) (net.Listener, broker.Endpoint) {
			f, err := websocket.Opener(o)
			must(t, err)
			return open(t, f), broker.Endpoint{Name: "websocket", Secure: o.Secure != nil}
		}
	}
	dialTLS := func(addr string) (net.Conn, error) {
		c, err := net.DialTimeout("tcp", addr, brokertest.Patience)
		if err != nil {
			return nil, err
		}
		return likeTCP(tls.Client(c, client)), nil
	}
	return []*transport{
		overTCP,
		{name: "tls", listen: withTLS(broker.TLS{}), dial: func(addr string) (net.Conn, error) { return dialAfterInfo(addr, client) },
			url: func(a string) string { return "tls://" + a }, options: secure},
		{name: "tls first", listen: withTLS(broker.TLS{Mode: broker.First}), dial: dialTLS,
			url: func(a string) string { return "tls://" + a }, options: append([]nats.Option{nats.TLSHandshakeFirst()}, secure...)},
		{name: "tls auto, first", listen: withTLS(broker.TLS{Mode: broker.Auto, Delay: soon}), dial: dialTLS,
			url: func(a string) string { return "tls://" + a }, options: append([]nats.Option{nats.TLSHandshakeFirst()}, secure...)},
		{name: "tls auto, after INFO", listen: withTLS(broker.TLS{Mode: broker.Auto}), dial: func(addr string) (net.Conn, error) { return dialAfterInfo(addr, client) },
			url: func(a string) string { return "tls://" + a }, options: secure},
		{name: "plain where tls is possible", listen: withTLS(broker.TLS{AllowPlain: true}),
			dial: func(addr string) (net.Conn, error) {
				c, err := brokertest.DialTCP(addr)
				return likeTCP(c), err
			},
			url: func(a string) string { return "nats://" + a }},
		{name: "ws", listen: webSocket(websocket.Options{}), dial: dialWebSocket(nil, ""), url: func(a string) string { return "ws://" + a }},
		{name: "ws compressed", listen: webSocket(websocket.Options{Compression: true}), dial: dialWebSocket(nil, ""),
			url: func(a string) string { return "ws://" + a }, options: []nats.Option{nats.Compression(true)}},
		{name: "wss", listen: webSocket(websocket.Options{Secure: func(nc net.Conn) net.Conn { return broker.TLSServer(nc, server) }}),
			dial: dialWebSocket(client, ""), url: func(a string) string { return "wss://" + a }, options: secure},
		overQUIC("quic", server, quic.DialOptions{TLS: client}),
		overWebTransport(server, client),
		overQUIC("quic, everything on lanes", server, quic.DialOptions{TLS: client, Lanes: []string{">"}}),
		{name: "unix", listen: func(t testing.TB) (net.Listener, broker.Endpoint) {
			return open(t, tcp.OpenUnix), broker.Endpoint{Name: "unix"}
		},
			dial: func(addr string) (net.Conn, error) {
				c, err := net.DialTimeout("unix", addr, brokertest.Patience)
				return likeTCP(c), err
			}},
		{name: "proxy", listen: func(t testing.TB) (net.Listener, broker.Endpoint) {
			return open(t, tcp.Opener(tcp.Options{ProxyProtocol: true})), broker.Endpoint{Name: "proxy"}
		}, dial: func(addr string) (net.Conn, error) {
			c, err := brokertest.DialTCP(addr)
			if err != nil {
				return nil, err
			}
			_, err = fmt.Fprint(c, "PROXY TCP4 127.0.0.1 127.0.0.2 4711 4222\r\n")
			return c, err
		}},
	}
}

// overQUIC is a stream of QUIC.
func overQUIC(name string, server *tls.Config, o quic.DialOptions) *transport {
	return &transport{
		name: name, unordered: len(o.Lanes) > 0,
		listen: func(t testing.TB) (net.Listener, broker.Endpoint) {
			f, err := quic.Opener(quic.Options{TLS: server})
			must(t, err)
			return open(t, f), broker.Endpoint{Name: "quic", Secure: true, Type: auth.TypeQUIC}
		},
		dial: func(addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), brokertest.Patience)
			defer cancel()
			c, err := quic.Dial(ctx, addr, o)
			if err != nil {
				return nil, err
			}
			return likeTCP(c), nil
		},
		url: func(addr string) string { return "tls://" + addr }, options: []nats.Option{nats.SetCustomDialer(&quic.Dialer{Options: o, Timeout: soon})},
	}
}

// TestConversationsOver plays the scripts over every transport: what is said is
// what is said over TCP.
func TestConversationsOver(t *testing.T) {
	all := transports(t)
	for file, scripts := range load(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			for _, s := range scripts {
				define(t, s)
				if notYet(t, s) != "" || strings.Contains(s.Config, "tls") || strings.Contains(s.Config, "leafnodes") { // its port is one
					continue
				}
				t.Run(s.Name, func(t *testing.T) {
					t.Parallel()
					want := s.Play(t, func(config string) string { return startGanglion(t, config) })
					for _, tr := range all[1:] {
						if s.Name == "max_connections" && strings.HasPrefix(tr.name, "tls") {
							continue // one too many is told so in clear, before TLS
						}
						if tr.unordered {
							continue
						}
						t.Run(tr.name, func(t *testing.T) {
							if !strings.HasPrefix(s.Name, "above") { // 60 MB each would starve the others
								t.Parallel()
							}
							got := s.PlayOver(t, func(config string) string { return startOver(t, config, tr) }, tr.dial)
							if got != want {
								t.Errorf("over TCP\n%s\nover %s\n%s", want, tr.name, got)
							}
						})
					}
				})
			}
		})
	}
}

// TestNATSGoOver uses nats.go over every transport that it has.
func TestNATSGoOver(t *testing.T) {
	for _, tr := range transports(t)[1:] {
		if tr.url == nil {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			addr := startOver(t, "server_name: gang", tr)
			runGo(t, target{addr, tr.url(addr), tr.options})
		})
	}
}

// dialAfterInfo reads INFO in clear, does the handshake, and gives back what was
// read.
func dialAfterInfo(addr string, cfg *tls.Config) (net.Conn, error) {
	c, err := brokertest.DialTCP(addr)
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Now().Add(brokertest.Patience))
	var line []byte
	for b := make([]byte, 1); len(line) == 0 || line[len(line)-1] != '\n'; {
		if _, err := c.Read(b); err != nil {
			return nil, err
		}
		line = append(line, b[0])
	}
	if bytes.Contains(line, []byte(`"tls_required":true`)) {
		c = tls.Client(c, cfg)
	} // else the broker refuses us and says so in clear
	return likeTCP(&replayed{c, bytes.NewReader(line)}), nil
}

// replayed is a connection of which a line was read already.
type replayed struct {
	net.Conn
	first *bytes.Reader
}

func (r *replayed) Read(p []byte) (int, error) {
	if r.first.Len() > 0 {
		return r.first.Read(p)
	}
	return r.Conn.Read(p)
}

// likeTCP hides from scripts how INFO of another transport differs.
func likeTCP(c net.Conn) net.Conn {
	if c == nil {
		return nil
	}
	return &alike{c, bufio.NewReader(c), nil}
}

type alike struct {
	net.Conn
	r    *bufio.Reader
	rest []byte
}

var (
	tlsFields = regexp.MustCompile(`"tls_(required|available)":true,`)
	clientIP  = regexp.MustCompile(`"client_ip":"[^"]*"`)
)

func (a *alike) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		b, err := a.r.ReadSlice('\n')
		if len(b) == 0 && err != nil {
			return 0, err
		}
		a.rest = bytes.Clone(b)
		if bytes.HasPrefix(b, []byte("INFO {")) {
			a.rest = clientIP.ReplaceAll(tlsFields.ReplaceAll(a.rest, nil), []byte(`"client_ip":"127.0.0.1"`))
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// dialWebSocket returns a dialer for WebSocket; extensions is what is offered.
func dialWebSocket(cfg *tls.Config, extensions string) func(addr string) (net.Conn, error) {
	return func(addr string) (net.Conn, error) {
		c, err := brokertest.DialTCP(addr)
		if err != nil {
			return nil, err
		}
		if cfg != nil {
			c = tls.Client(c, cfg)
		}
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n", extensions)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, errors.New(resp.Status)
		}
		return likeTCP(&framed{Conn: c, r: r}), nil
	}
}

// framed is a WebSocket client of few words: what is written is one frame, what
// is read the payload of the server's.
type framed struct {
	net.Conn
	r     *bufio.Reader
	left  int
	close []byte // payload of the close frame that came
}

func (f *framed) Write(p []byte) (int, error) {
	b := binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, uint64(len(p)))
	b = append(b, 1, 2, 3, 4)
	for i, x := range p {
		b = append(b, x^byte(i&3+1))
	}
	if _, err := f.Conn.Write(b); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *framed) Read(p []byte) (int, error) {
	for f.left == 0 {
		op, n, err := f.header()
		if err != nil {
			return 0, err
		}
		if op == 0x88 {
			f.close = make([]byte, n)
			io.ReadFull(f.r, f.close)
			return 0, io.EOF
		}
		f.left = n
	}
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

// header reads a frame's header. Reading goes on after a timeout as if nothing
// had happened, so it consumes nothing before all of it is there.
func (f *framed) header() (op byte, n int, err error) {
	h, err := f.r.Peek(2)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case h[1] < 126:
		n = int(h[1])
	case h[1] == 126:
		if h, err = f.r.Peek(4); err != nil {
			return 0, 0, err
		}
		n = int(binary.BigEndian.Uint16(h[2:]))
	default:
		if h, err = f.r.Peek(10); err != nil {
			return 0, 0, err
		}
		n = int(binary.BigEndian.Uint64(h[2:]))
	}
	op = h[0]
	f.r.Discard(len(h))
	return op, n, nil
}
