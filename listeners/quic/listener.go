package quic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"ganglion/listeners"
)

// Opener returns the transport with options o (listeners.OpenFunc), on a UDP
// socket of its own. Its connections are *Conn.
func Opener(o Options) (listeners.OpenFunc, error) {
	if _, err := o.normal(); err != nil {
		return nil, err
	}
	return func(ctx context.Context, c listeners.Config) (net.Listener, error) {
		p, err := OpenPort(ctx, c.Host, c.Port, o)
		if err != nil {
			return nil, err
		}
		return listen(p, ALPN, true)
	}, nil
}

// OpenPort opens the UDP port of host and makes a Port of it.
func OpenPort(ctx context.Context, host string, port int, o Options) (*Port, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	pc, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s/udp: %w", addr, err)
	}
	return NewPort(pc, o)
}

// Listener accepts NATS connections on a Port. Create it with Listen.
type Listener struct {
	port  *Port
	alpn  string
	own   bool // the port goes with the listener
	conns chan *Conn
	done  chan struct{}
	once  sync.Once

	mu       sync.Mutex
	sessions map[*session]struct{}
	closed   bool
}

// Listen accepts NATS connections on p, which stays open when the listener is
// closed.
func Listen(p *Port) (*Listener, error) { return listen(p, ALPN, false) }

// ListenLeaf accepts the connections of leafs on p, as Listen does NATS
// connections.
func ListenLeaf(p *Port) (*Listener, error) { return listen(p, ALPNLeaf, false) }

func listen(p *Port, alpn string, own bool) (*Listener, error) {
	l := &Listener{port: p, alpn: alpn, own: own, conns: make(chan *Conn), done: make(chan struct{}), sessions: map[*session]struct{}{}}
	if err := p.Serve(alpn, l.serve); err != nil {
		return nil, err
	}
	return l, nil
}

// Port returns the port that l is on.
func (l *Listener) Port() *Port { return l.port }

// Addr returns the address listened on.
func (l *Listener) Addr() net.Addr { return l.port.Addr() }

// Refused counts the connections that were turned away (listeners.OpenFunc).
func (l *Listener) Refused() uint64 { return l.port.refused.Load() + l.port.odd.Load() }

// Accept returns the next connection whose preamble came, a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting. Connections that were accepted stay; QUIC connections
// without any are closed.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.port.Release(l.alpn)
		close(l.done)
		l.mu.Lock()
		l.closed = true
		ss := make([]*session, 0, len(l.sessions))
		for s := range l.sessions {
			ss = append(ss, s)
		}
		l.mu.Unlock()
		for _, s := range ss {
			s.linger.Wake()
		}
		if len(ss) == 0 {
			l.last()
		}
	})
	return nil
}

// last is called when l is closed and has no session left.
func (l *Listener) last() {
	if l.own {
		go l.port.Close() // it waits for the goroutine that this may be
	}
}

// session is a QUIC connection of a client.
type session struct {
	l      *Listener
	qc     *quicgo.Conn
	way    *Way
	linger *Linger
}

// serve accepts the streams of qc until it ends.
func (l *Listener) serve(qc *quicgo.Conn) {
	s := &session{l: l, qc: qc, way: l.port.Watch(qc)}
	s.linger = NewLinger(l.done, qc, s.expire)
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.sessions[s] = struct{}{}
	}
	l.mu.Unlock()
	if closed {
		return
	}
	s.linger.Idle(2 * l.port.opts.HandshakeTimeout)
	for {
		str, err := qc.AcceptStream(context.Background())
		if err != nil {
			break
		}
		s.linger.Begin()
		go s.greet(str)
	}
	s.linger.Stop()
	l.mu.Lock()
	delete(l.sessions, s)
	last := l.closed && len(l.sessions) == 0
	l.mu.Unlock()
	if last {
		l.last()
	}
}

// greet reads the preamble of str and hands the connection to Accept.
func (s *session) greet(str *quicgo.Stream) {
	o := &s.l.port.opts
	str.SetReadDeadline(time.Now().Add(o.HandshakeTimeout))
	pre, err := ReadPreamble(str)
	if err != nil {
		s.l.port.odd.Add(1)
		code := uint64(CodePreamble)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code = CodeTimeout
		}
		o.Logger.Debug("quic stream refused", "remote", s.qc.RemoteAddr(), "reason", err)
		s.drop(str, code, err.Error())
		return
	}
	str.SetReadDeadline(time.Time{})
	c := &Conn{s: s, str: str, pre: pre}
	select {
	case s.l.conns <- c:
	case <-s.l.done:
		s.drop(str, CodeClosed, "Listener Closed")
	case <-s.qc.Context().Done():
		s.drop(str, CodeNone, "")
	}
}

func (s *session) drop(str *quicgo.Stream, code uint64, text string) {
	str.CancelRead(quicgo.StreamErrorCode(code))
	str.CancelWrite(quicgo.StreamErrorCode(code))
	s.linger.End(code, text)
}

func (s *session) expire(code uint64, text string) {
	s.qc.CloseWithError(quicgo.ApplicationErrorCode(code), text)
}
