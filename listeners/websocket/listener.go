package websocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/coder/websocket"

	"ganglion/listeners"
)

// Opener returns the transport with options o (listeners.OpenFunc). Its
// connections are *Conn.
func Opener(o Options) (listeners.OpenFunc, error) {
	o, err := o.normal()
	if err != nil {
		return nil, err
	}
	if _, err := listeners.NewOrigins(o.SameOrigin, o.AllowedOrigins); err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	return func(ctx context.Context, c listeners.Config) (net.Listener, error) {
		addr := net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
		}
		return Listen(ln, o)
	}, nil
}

// Listener accepts WebSocket connections. Create it with Listen.
type Listener struct {
	ln     net.Listener
	opts   atomic.Pointer[settings]
	server *http.Server
	conns  chan *Conn
	done   chan struct{}
	once   sync.Once
	served chan struct{} // closed when the server has ended
	open   atomic.Int64  // connections that net/http has
}

// settings are options in the form in which requests need them.
type settings struct {
	Options
	origins *listeners.Origins
}

// Listen serves WebSocket on the connections of ln, which it owns.
func Listen(ln net.Listener, o Options) (*Listener, error) {
	l := &Listener{ln: ln, conns: make(chan *Conn), done: make(chan struct{}), served: make(chan struct{})}
	if err := l.Set(o); err != nil {
		ln.Close()
		return nil, err
	}
	s := l.opts.Load()
	l.server = &http.Server{
		Handler:           http.HandlerFunc(l.serve),
		ReadHeaderTimeout: s.HandshakeTimeout,
		IdleTimeout:       time.Minute,
		WriteTimeout:      time.Minute, // of pages; it ends with the upgrade
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(l.served)
		l.server.Serve(&accepter{l})
	}()
	return l, nil
}

// Set replaces the options of a listener at work; connections that exist keep
// theirs. HandshakeTimeout stays as it was.
func (l *Listener) Set(o Options) error {
	o, err := o.normal()
	if err != nil {
		return err
	}
	os, err := listeners.NewOrigins(o.SameOrigin, o.AllowedOrigins)
	if err != nil {
		return fmt.Errorf("websocket: %w", err)
	}
	l.opts.Store(&settings{o, os})
	return nil
}

// Addr returns the address listened on.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Accept returns the next connection that was upgraded, a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and the connections that were not upgraded.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	err := l.server.Close()
	<-l.served
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accepter is the listener that net/http sees.
type accepter struct{ l *Listener }

func (a *accepter) Addr() net.Addr { return a.l.ln.Addr() }
func (a *accepter) Close() error   { return a.l.ln.Close() }

func (a *accepter) Accept() (net.Conn, error) {
	for {
		nc, err := a.l.ln.Accept()
		if err != nil {
			return nil, err
		}
		s := a.l.opts.Load()
		if a.l.open.Add(1) > int64(s.MaxHandshakes) {
			a.l.open.Add(-1)
			nc.Close()
			continue
		}
		pre := &pending{Conn: nc, open: &a.l.open}
		if s.Secure != nil {
			pre.Conn = s.Secure(nc)
		}
		return pre, nil
	}
}

// pending is a connection that net/http has; closing it, or taking it away,
// makes room for another.
type pending struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (p *pending) release() { p.once.Do(func() { p.open.Add(-1) }) }

func (p *pending) Close() error {
	p.release()
	return p.Conn.Close()
}

// pathLeaf is where leafs ask for their connections.
const pathLeaf = "/leafnode"

// serve answers one request.
func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	s := l.opts.Load()
	if !asksUpgrade(r) {
		if s.Handler != nil && r.URL.Path != pathLeaf {
			s.Handler.ServeHTTP(w, r)
			return
		}
		refuse(w, http.StatusBadRequest)
		return
	}
	switch {
	case r.Method != http.MethodGet:
		refuse(w, http.StatusMethodNotAllowed)
		return
	case r.URL.Path == pathLeaf && !s.Leaf, r.URL.Path == "/mqtt":
		s.Logger.Info("websocket refused", "remote", r.RemoteAddr, "path", r.URL.Path, "reason", "not configured to accept it")
		refuse(w, http.StatusNotFound)
		return
	}
	if err := s.origins.Check(r, s.Secure != nil); err != nil {
		s.Logger.Info("websocket refused", "remote", r.RemoteAddr, "reason", err)
		refuse(w, http.StatusForbidden)
		return
	}
	l.upgrade(w, r, s)
}

// upgrade does the handshake and hands the connection to Accept.
func (l *Listener) upgrade(w http.ResponseWriter, r *http.Request, s *settings) {
	for k, v := range s.Headers {
		w.Header().Set(k, v)
	}
	mode := ws.CompressionDisabled
	if s.Compression {
		mode = ws.CompressionNoContextTakeover
	}
	h := &hijacker{ResponseWriter: w}
	c, err := ws.Accept(h, r, &ws.AcceptOptions{InsecureSkipVerify: true, CompressionMode: mode})
	if err != nil {
		s.Logger.Debug("websocket refused", "remote", r.RemoteAddr, "reason", err)
		return
	}
	c.CloseNow() // the library's end, which has nothing below it
	h.conn.SetDeadline(time.Time{})
	nc := h.conn
	if p, ok := nc.(*pending); ok {
		p.release()
		nc = p.Conn
	}
	maxPacked := 0
	if strings.Contains(w.Header().Get("Sec-Websocket-Extensions"), "permessage-deflate") {
		maxPacked = s.MaxCompressed
	}
	conn := newConn(nc, h.brw, strip(r), forwarded(r, nc.RemoteAddr(), s.ForwardedFrom), maxPacked)
	select {
	case l.conns <- conn:
	case <-l.done:
		conn.Close()
	}
}

// strip returns what is worth keeping of r: it must not hold the connection's
// buffers.
func strip(r *http.Request) *http.Request {
	return &http.Request{Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor, Header: r.Header, Host: r.Host, RemoteAddr: r.RemoteAddr}
}

// asksUpgrade reports whether r wants another protocol, or tries to.
func asksUpgrade(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Header.Get("Sec-Websocket-Key") != ""
}

// refuse answers with a bare status, as nats-server does.
func refuse(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Sec-Websocket-Version", "13")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, http.StatusText(status)+"\n")
}

// hijacker keeps the connection that the library takes over, and gives it one
// that leads nowhere: the library's own connection is not used.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
	brw  *bufio.ReadWriter
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	var err error
	h.conn, h.brw, err = http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	near, far := net.Pipe()
	far.Close()
	return near, bufio.NewReadWriter(bufio.NewReaderSize(near, 16), bufio.NewWriterSize(near, 16)), nil
}
