package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	ws "github.com/coder/websocket"

	"ganglion/core/leaf"
	"ganglion/listeners/websocket"
)

// split makes two listeners of one of WebSocket: of clients, whose Accept also
// feeds the other, and of leafs.
func split(ln net.Listener) (clients, leafs net.Listener) {
	s := &splitter{Listener: ln, leafs: make(chan net.Conn), done: make(chan struct{})}
	s.end = sync.OnceFunc(func() { close(s.done) })
	return s, &leafSide{s}
}

type splitter struct {
	net.Listener
	leafs chan net.Conn
	done  chan struct{}
	end   func()
}

// Accept returns the next connection of a client.
func (s *splitter) Accept() (net.Conn, error) {
	for {
		nc, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := ofLeaf(nc)
		if c == nil {
			return nc, nil
		}
		select {
		// Links read streams, not frames.
		case s.leafs <- &streamConn{nc, c}:
		case <-s.done:
			nc.Close()
		}
	}
}

// Close ends both sides.
func (s *splitter) Close() error {
	s.end()
	return s.Listener.Close()
}

// streamConn hides that a connection is of WebSocket (leaf.Framed).
type streamConn struct {
	net.Conn
	c *websocket.Conn
}

// Below puts something below the frames.
func (s *streamConn) Below(put func(net.Conn) net.Conn) { s.c.Below(put) }

// ofLeaf returns the WebSocket connection of nc if a leaf asked for it.
func ofLeaf(nc net.Conn) *websocket.Conn {
	for {
		if c, ok := nc.(*websocket.Conn); ok {
			if c.Leaf() {
				return c
			}
			return nil
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = outer.NetConn()
	}
}

type leafSide struct{ *splitter }

// Accept returns the next connection of a leaf.
func (s *leafSide) Accept() (net.Conn, error) {
	select {
	case nc := <-s.leafs:
		return nc, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close has leafs turned away from now on.
func (s *leafSide) Close() error {
	s.end()
	return nil
}

// dialWebSocket connects to the WebSocket port of a hub.
func dialWebSocket(ctx context.Context, u *url.URL, r *leaf.Remote, p *proxy) (net.Conn, error) {
	to := *u
	to.User = nil
	to.Path = strings.TrimSuffix(to.Path, "/") + "/leafnode"
	var below *layered
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := p.dial(ctx, network, addr)
		if err == nil && u.Scheme == "wss" {
			nc, err = secure(ctx, nc, u.Hostname(), r.TLS)
		}
		if err != nil {
			return nil, err
		}
		below = &layered{nc, nc}
		return below, nil
	}
	// What is put below the frames goes above TLS.
	t := &http.Transport{DialContext: dial, DialTLSContext: dial, DisableKeepAlives: true}
	o := &ws.DialOptions{HTTPClient: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	o.CompressionMode = ws.CompressionDisabled
	if r.WSCompression {
		o.CompressionMode = ws.CompressionNoContextTakeover
	}
	c, answer, err := ws.Dial(ctx, to.String(), o)
	switch {
	case err != nil && answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return nil, fmt.Errorf("websocket: the hub answers %s to the request for %s; it needs a leafnodes listener beside websocket", answer.Status, to.Path)
	case err != nil:
		return nil, fmt.Errorf("websocket: %w", err)
	case below == nil:
		c.CloseNow()
		return nil, errors.New("websocket: there is no connection")
	}
	c.SetReadLimit(-1)
	life, end := context.WithCancel(context.Background())
	return &webConn{Conn: ws.NetConn(life, c, ws.MessageBinary), c: c, below: below, end: end}, nil
}

// webConn is a connection to a hub by WebSocket.
type webConn struct {
	net.Conn
	c     *ws.Conn
	below *layered
	end   context.CancelFunc
}

// Close ends the connection below at once: a link has said before why.
func (w *webConn) Close() error {
	defer w.end()
	return w.c.CloseNow()
}

// Below puts something below the frames (leaf.Framed).
func (w *webConn) Below(put func(net.Conn) net.Conn) { w.below.top = put(w.below.Conn) }

func (w *webConn) LocalAddr() net.Addr  { return w.below.LocalAddr() }
func (w *webConn) RemoteAddr() net.Addr { return w.below.RemoteAddr() }

// layered is a connection with something on top that reads and writes for it. The
// rest, which may happen at any time, is the connection's own.
type layered struct {
	net.Conn
	top net.Conn
}

func (l *layered) Read(p []byte) (int, error)  { return l.top.Read(p) }
func (l *layered) Write(p []byte) (int, error) { return l.top.Write(p) }

// secure puts TLS on nc.
func secure(ctx context.Context, nc net.Conn, host string, c *tls.Config) (net.Conn, error) {
	if c = c.Clone(); c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	t := tls.Client(nc, c)
	if err := t.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}
