package webtransport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	quicgo "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"

	"ganglion/listeners/quic"
)

// Listener accepts NATS connections over WebTransport. Create it with Listen.
type Listener struct {
	port    *quic.Port
	server  *wt.Server
	opts    atomic.Pointer[settings]
	conns   chan *Conn
	done    chan struct{}
	once    sync.Once
	refused atomic.Uint64

	mu       sync.Mutex
	visits   map[*quicgo.Conn]*visit
	sessions map[*session]struct{}
	closed   bool
}

var errNoDatagrams = errors.New("webtransport: the port offers no datagrams, without which browsers don't connect; open it with quic.Options{Datagrams: true}")

// Listen serves HTTP/3 on p, which stays open when the listener is closed.
func Listen(p *quic.Port, o Options) (*Listener, error) {
	if !p.Datagrams() {
		return nil, errNoDatagrams
	}
	l := &Listener{port: p, conns: make(chan *Conn), done: make(chan struct{}), visits: map[*quicgo.Conn]*visit{}, sessions: map[*session]struct{}{}}
	if err := l.Set(o); err != nil {
		return nil, err
	}
	s := l.opts.Load()
	h3 := &http3.Server{Handler: http.HandlerFunc(l.answer), MaxHeaderBytes: maxHeaderBytes, EnableDatagrams: true, ConnContext: l.context, Logger: s.Logger}
	l.server = &wt.Server{H3: h3, ReorderingTimeout: s.HandshakeTimeout, CheckOrigin: func(*http.Request) bool { return true }} // answer has looked
	if err := p.Serve(ALPN, l.serve); err != nil {
		return nil, err
	}
	return l, nil
}

// Set replaces the options of a listener at work; sessions that exist keep theirs.
func (l *Listener) Set(o Options) error {
	s, err := o.normal()
	if err != nil {
		return err
	}
	l.opts.Store(s)
	return nil
}

// Port returns the port that l is on.
func (l *Listener) Port() *quic.Port { return l.port }

// Addr returns the address listened on.
func (l *Listener) Addr() net.Addr { return l.port.Addr() }

// Refused counts the sessions and streams that were turned away; the connections
// that the port itself refused are not among them (listeners.OpenFunc).
func (l *Listener) Refused() uint64 { return l.refused.Load() }

// Accept returns the next connection whose preamble came, a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close stops accepting. Connections that were accepted stay; sessions and QUIC
// connections without any are closed.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.port.Release(ALPN)
		close(l.done)
		l.mu.Lock()
		l.closed = true
		var wake []*quic.Linger
		for s := range l.sessions {
			wake = append(wake, s.linger)
		}
		for _, v := range l.visits {
			wake = append(wake, v.linger)
		}
		l.mu.Unlock()
		for _, w := range wake {
			w.Wake()
		}
	})
	return nil
}

// visit is a QUIC connection of a client.
type visit struct {
	qc     *quicgo.Conn
	way    *quic.Way
	linger *quic.Linger   // counts requests under way and sessions
	wg     sync.WaitGroup // of sessions and their streams
}

type visitKey struct{}

// context gives the requests of qc their visit.
func (l *Listener) context(ctx context.Context, qc *quicgo.Conn) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return context.WithValue(ctx, visitKey{}, l.visits[qc])
}

// serve serves qc until it ends.
func (l *Listener) serve(qc *quicgo.Conn) {
	v := &visit{qc: qc, way: l.port.Watch(qc)}
	v.linger = quic.NewLinger(l.done, qc, func(uint64, string) {
		qc.CloseWithError(quicgo.ApplicationErrorCode(http3.ErrCodeNoError), "")
	})
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.visits[qc] = v
	}
	l.mu.Unlock()
	if closed {
		return
	}
	s := l.opts.Load()
	v.linger.Idle(2 * s.HandshakeTimeout)
	v.wg.Go(func() { l.port.Shaken(context.Background(), qc) })
	if err := l.server.ServeQUICConn(qc); err != nil {
		s.Logger.Debug("http3 connection failed", "remote", qc.RemoteAddr(), "reason", err)
		qc.CloseWithError(quicgo.ApplicationErrorCode(http3.ErrCodeInternalError), "")
	}
	<-qc.Context().Done()
	v.linger.Stop()
	v.wg.Wait()
	l.mu.Lock()
	delete(l.visits, qc)
	l.mu.Unlock()
}
