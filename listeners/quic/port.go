package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"golang.org/x/time/rate"
)

// Port is a UDP socket on which QUIC connections are accepted and handed, by what
// they ask for with ALPN, to those who serve that: NATS to a Listener, HTTP/3 to
// whoever has claimed it. Create it with NewPort.
type Port struct {
	pc        net.PacketConn
	transport *quicgo.Transport
	ln        *quicgo.EarlyListener
	opts      Options
	retry     *rate.Limiter // connections taken on trust; nil is none
	done      chan struct{} // closed by Close
	close     func() error
	wg        sync.WaitGroup

	conns, handshakes           atomic.Int64
	accepted, refused, retried  atomic.Uint64
	failed, resumed, early, odd atomic.Uint64
	migrations                  atomic.Uint64
	lost, sent                  atomic.Uint64 // of connections that ended

	mu     sync.Mutex
	serves map[string]func(*quicgo.Conn) // by ALPN
	config *tls.Config
	open   map[*quicgo.Conn]struct{}
}

var errTaken = errors.New("somebody serves it already")

// NewPort accepts QUIC connections on pc, which it owns. Connections whose ALPN
// nobody has claimed are refused.
func NewPort(pc net.PacketConn, o Options) (*Port, error) {
	o, err := o.normal()
	if err != nil {
		pc.Close()
		return nil, err
	}
	pc = keepSteady(pc)
	p := &Port{pc: pc, opts: o, done: make(chan struct{}), serves: map[string]func(*quicgo.Conn){}, open: map[*quicgo.Conn]struct{}{}}
	if o.RetryRate > 0 {
		p.retry = rate.NewLimiter(rate.Limit(o.RetryRate), o.RetryRate)
	}
	p.close = sync.OnceValue(p.shut)
	p.setTLS(o.TLS)
	p.transport = &quicgo.Transport{Conn: pc, ConnectionIDLength: 8, VerifySourceAddress: p.verify, ConnContext: p.admit}
	p.ln, err = p.transport.ListenEarly(&tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: p.configFor}, &quicgo.Config{
		HandshakeIdleTimeout: o.HandshakeTimeout, MaxIdleTimeout: o.IdleTimeout, KeepAlivePeriod: max(o.KeepAlive, 0),
		MaxIncomingStreams: int64(o.MaxStreams), MaxIncomingUniStreams: maxUniStreams,
		InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow, MaxConnectionReceiveWindow: maxConnWindow,
		InitialPacketSize: packetSize, Allow0RTT: !o.No0RTT, EnableDatagrams: o.Datagrams, EnableStreamResetPartialDelivery: o.Datagrams,
	})
	if err != nil {
		pc.Close()
		return nil, fmt.Errorf("quic: %w", err)
	}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the address listened on.
func (p *Port) Addr() net.Addr { return p.pc.LocalAddr() }

// Datagrams reports whether the port offers QUIC datagrams (Options.Datagrams).
func (p *Port) Datagrams() bool { return p.opts.Datagrams }

// Serve has f serve the connections that ask for alpn. f is called on a goroutine
// of its own, possibly before the handshake is complete; the connection is closed
// when it returns.
func (p *Port) Serve(alpn string, f func(*quicgo.Conn)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serves[alpn] != nil {
		return fmt.Errorf("quic: ALPN %q: %w", alpn, errTaken)
	}
	p.serves[alpn] = f
	p.retake()
	return nil
}

// Release ends what Serve began, for connections to come.
func (p *Port) Release(alpn string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.serves, alpn)
	p.retake()
}

// SetTLS replaces the certificates of connections to come.
func (p *Port) SetTLS(c *tls.Config) { p.setTLS(c) }

func (p *Port) setTLS(c *tls.Config) {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config = c
	p.retake()
}

// retake makes the TLS configuration offer what is served, with mu held.
func (p *Port) retake() {
	c := p.config.Clone()
	c.NextProtos = nil
	for alpn := range p.serves {
		c.NextProtos = append(c.NextProtos, alpn)
	}
	slices.Sort(c.NextProtos)
	if len(c.NextProtos) == 0 {
		c.NextProtos = []string{"none"} // nobody asks for it, so everybody is refused
	}
	p.config = c
}

func (p *Port) configFor(*tls.ClientHelloInfo) (*tls.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config, nil
}

// verify reports whether a client must show first that it gets what is sent to
// its address.
func (p *Port) verify(net.Addr) bool {
	if p.retry != nil && p.handshakes.Load() < int64(p.opts.MaxHandshakes/2) && p.retry.Allow() {
		return false
	}
	p.retried.Add(1)
	return true
}

var errFull = errors.New("quic: too many connections or handshakes")

// admit counts a connection that begins, or refuses it.
func (p *Port) admit(ctx context.Context, _ *quicgo.ClientInfo) (context.Context, error) {
	if p.conns.Add(1) > int64(p.opts.MaxConns) || p.handshakes.Load() >= int64(p.opts.MaxHandshakes) {
		p.conns.Add(-1)
		p.refused.Add(1)
		return ctx, errFull
	}
	p.handshakes.Add(1)
	h := &shaking{p: p}
	context.AfterFunc(ctx, func() {
		p.conns.Add(-1)
		if h.over() {
			p.failed.Add(1)
		}
	})
	return context.WithValue(ctx, shakingKey{}, h), nil
}

// shaking is a handshake under way.
type shaking struct {
	p    *Port
	once atomic.Bool
}

type shakingKey struct{}

// over says that the handshake has ended; false when that was known.
func (h *shaking) over() bool {
	if h.once.Swap(true) {
		return false
	}
	h.p.handshakes.Add(-1)
	return true
}

// accept hands out connections until the port is closed.
func (p *Port) accept() {
	for {
		qc, err := p.ln.Accept(context.Background())
		if err != nil {
			return
		}
		p.accepted.Add(1)
		state := qc.ConnectionState()
		p.mu.Lock()
		f := p.serves[state.TLS.NegotiatedProtocol]
		p.open[qc] = struct{}{}
		p.mu.Unlock()
		if f == nil {
			f = func(*quicgo.Conn) {}
		}
		p.wg.Add(1)
		go p.run(qc, f)
	}
}

// run serves qc until it is done. What it needs of the stack before f is little:
// f keeps this goroutine.
func (p *Port) run(qc *quicgo.Conn, f func(*quicgo.Conn)) {
	defer p.wg.Done()
	f(qc)
	select {
	case <-qc.Context().Done():
	default:
		qc.CloseWithError(CodeClosed, "Listener Closed")
	}
	s := qc.ConnectionStats()
	p.lost.Add(s.PacketsLost)
	p.sent.Add(s.PacketsSent)
	p.mu.Lock()
	delete(p.open, qc)
	p.mu.Unlock()
}

// Shaken waits until qc's handshake is complete; false when it failed, or ctx
// ended.
func (p *Port) Shaken(ctx context.Context, qc *quicgo.Conn) bool {
	select {
	case <-qc.HandshakeComplete():
	case <-qc.Context().Done():
		return false
	case <-ctx.Done():
		return false
	}
	h, _ := qc.Context().Value(shakingKey{}).(*shaking)
	if h == nil || !h.over() {
		return true
	}
	s := qc.ConnectionState()
	if s.TLS.DidResume {
		p.resumed.Add(1)
	}
	if s.Used0RTT {
		p.early.Add(1)
	}
	return true
}

// Close stops accepting and closes all connections, at once. A Listener of p is
// to be closed, and its connections are, before.
func (p *Port) Close() error { return p.close() }

func (p *Port) shut() error {
	close(p.done)
	p.ln.Close()
	p.mu.Lock()
	open := make([]*quicgo.Conn, 0, len(p.open))
	for qc := range p.open {
		open = append(open, qc)
	}
	p.mu.Unlock()
	for _, qc := range open {
		qc.CloseWithError(CodeClosed, "Listener Closed")
	}
	err := errors.Join(p.transport.Close(), p.pc.Close())
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Drain waits until no connection is left, each of which closes by itself soon
// after its last stream, or until ctx ends.
func (p *Port) Drain(ctx context.Context) {
	t := time.NewTicker(drainEvery)
	defer t.Stop()
	for p.conns.Load() > 0 {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

const drainEvery = 5 * time.Millisecond
