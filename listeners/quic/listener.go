package quic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
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
		return listen(p, true)
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

// lingering is how long a QUIC connection without a stream is kept: one that the
// client ended may be wanted again, one that the server ended has but to deliver
// its last words.
const (
	lingerIdle  = 10 * time.Second
	lingerEnded = time.Second
	lingerMin   = 20 * time.Millisecond
)

// Listener accepts NATS connections on a Port. Create it with Listen.
type Listener struct {
	port  *Port
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
func Listen(p *Port) (*Listener, error) { return listen(p, false) }

func listen(p *Port, own bool) (*Listener, error) {
	l := &Listener{port: p, own: own, conns: make(chan *Conn), done: make(chan struct{}), sessions: map[*session]struct{}{}}
	if err := p.Serve(ALPN, l.serve); err != nil {
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
		l.port.Release(ALPN)
		close(l.done)
		l.mu.Lock()
		l.closed = true
		ss := make([]*session, 0, len(l.sessions))
		for s := range l.sessions {
			ss = append(ss, s)
		}
		l.mu.Unlock()
		for _, s := range ss {
			s.wake()
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
	l       *Listener
	qc      *quicgo.Conn
	remote  atomic.Pointer[net.Addr] // as last seen
	moves   atomic.Uint64
	streams atomic.Int32

	mu     sync.Mutex
	linger *time.Timer
	code   uint64 // of the NATS connection that ended last
	text   string
}

// serve accepts the streams of qc until it ends.
func (l *Listener) serve(qc *quicgo.Conn) {
	s := &session{l: l, qc: qc}
	addr := qc.RemoteAddr()
	s.remote.Store(&addr)
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.sessions[s] = struct{}{}
	}
	l.mu.Unlock()
	if closed {
		return
	}
	s.idle(2 * l.port.opts.HandshakeTimeout)
	for {
		str, err := qc.AcceptStream(context.Background())
		if err != nil {
			break
		}
		s.begin()
		go s.greet(str)
	}
	s.stop()
	l.port.migrations.Add(s.moves.Load())
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
		code := uint64(codePreamble)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code = codeTimeout
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
		s.drop(str, codeClosed, "Listener Closed")
	case <-s.qc.Context().Done():
		s.drop(str, codeNone, "")
	}
}

func (s *session) drop(str *quicgo.Stream, code uint64, text string) {
	str.CancelRead(quicgo.StreamErrorCode(code))
	str.CancelWrite(quicgo.StreamErrorCode(code))
	s.end(code, text)
}

// begin counts a stream.
func (s *session) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams.Add(1)
	if s.linger != nil {
		s.linger.Stop()
	}
}

// end counts a stream that ended for the reason given.
func (s *session) end(code uint64, text string) {
	s.mu.Lock()
	s.code, s.text = code, text
	s.streams.Add(-1)
	s.mu.Unlock()
	s.wake()
}

// wake has s end soon if it has no stream.
func (s *session) wake() {
	s.mu.Lock()
	left, code := s.streams.Load(), s.code
	s.mu.Unlock()
	if left > 0 {
		return
	}
	d := lingerIdle
	select {
	case <-s.l.done: // what was sent last needs a round trip, and perhaps another
		d = max(3*s.qc.ConnectionStats().SmoothedRTT, lingerMin)
	default:
		if code != codeNone {
			d = lingerEnded
		}
	}
	s.idle(d)
}

// idle ends s after d, unless a stream comes.
func (s *session) idle(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linger == nil {
		s.linger = time.AfterFunc(d, s.expire)
		return
	}
	s.linger.Reset(d)
}

func (s *session) expire() {
	s.mu.Lock()
	left, code, text := s.streams.Load(), s.code, s.text
	s.mu.Unlock()
	if left > 0 {
		return
	}
	if code == codeNone && text == "" {
		select {
		case <-s.l.done:
			code, text = codeClosed, "Listener Closed"
		default:
			code, text = codeTimeout, "No Stream"
		}
	}
	s.qc.CloseWithError(quicgo.ApplicationErrorCode(code), text)
}

func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linger != nil {
		s.linger.Stop()
	}
}

// look notes a change of the client's address.
func (s *session) look() net.Addr {
	now := s.qc.RemoteAddr()
	if old := s.remote.Load(); *old != now {
		moved := (*old).String() != now.String()
		if s.remote.CompareAndSwap(old, &now) && moved {
			s.moves.Add(1)
			s.l.port.opts.Logger.Debug("quic connection migrated", "from", *old, "to", now)
		}
	}
	return now
}
