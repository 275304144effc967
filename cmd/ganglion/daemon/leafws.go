package daemon

import (
	"context"
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
		if !ofLeaf(nc) {
			return nc, nil
		}
		select {
		// Links read streams, not frames.
		case s.leafs <- &streamConn{nc}:
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

// streamConn hides that a connection is of WebSocket.
type streamConn struct{ net.Conn }

// ofLeaf reports whether a leaf asked for nc.
func ofLeaf(nc net.Conn) bool {
	for {
		if c, ok := nc.(*websocket.Conn); ok {
			return c.Leaf()
		}
		outer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return false
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
func dialWebSocket(ctx context.Context, u *url.URL, r *leaf.Remote) (net.Conn, error) {
	to := *u
	to.User = nil
	to.Path = strings.TrimSuffix(to.Path, "/") + "/leafnode"
	var below net.Conn
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			below = nc
			return nc, err
		},
		TLSClientConfig: r.TLS.Clone(), DisableKeepAlives: true,
	}
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
	below net.Conn
	end   context.CancelFunc
}

// Close ends the connection below at once: a link has said before why.
func (w *webConn) Close() error {
	defer w.end()
	return w.c.CloseNow()
}

func (w *webConn) LocalAddr() net.Addr  { return w.below.LocalAddr() }
func (w *webConn) RemoteAddr() net.Addr { return w.below.RemoteAddr() }
