package quic

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// DialOptions configure the client's side. The zero value asks the system's roots
// about the server's certificate.
type DialOptions struct {
	// TLS says whom to trust, and may have a client's certificate. With a
	// ClientSessionCache sessions are resumed, and the preamble travels in the
	// first packet. NextProtos is filled in; ServerName is the host dialed unless
	// it is set.
	TLS *tls.Config
	// ALPN is the protocol asked for; "" is ALPN, the package's constant.
	ALPN string
	// Lanes are subjects, with wildcards or without, whose subscriptions are to be
	// delivered each on a stream of its own; see the package's comment.
	Lanes []string
	// HandshakeTimeout bounds the handshake; 0 is DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long nothing may come from the server before it is taken
	// for gone; 0 is DefaultIdleTimeout.
	IdleTimeout time.Duration
	// KeepAlive is after how long without a packet from the server one is asked
	// for, which also keeps the ports of NATs open; 0 is 15 seconds, negative
	// never.
	KeepAlive time.Duration
	// ListenPacket opens the socket; nil is a UDP socket on any address, which
	// goes on when the host's address changes.
	ListenPacket func(ctx context.Context) (net.PacketConn, error)
	// Movable lets Session.Migrate exchange the socket. Packets then stay at 1,200
	// bytes and go one by one.
	Movable bool
}

// dialKeepAlive is below the half minute after which many NATs forget.
const dialKeepAlive = 15 * time.Second

// Session is a client's QUIC connection, which carries any number of NATS
// connections. Create it with DialSession.
type Session struct {
	opts   DialOptions
	addr   net.Addr
	pc     net.PacketConn
	moving sync.Mutex    // one Migrate at a time
	ready  chan struct{} // closed when first is there

	mu      sync.Mutex
	qc      *quicgo.Conn
	first   *quicgo.Stream         // of qc, for early data, until somebody takes it; or nil
	next    uint16                 // number of the next connection that takes lanes
	numbers map[uint16]*ClientConn // of those that take lanes
	closed  bool
	lanes   sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context
}

// Dial connects to a NATS server at addr, "host:port", over a QUIC connection of
// its own, which is closed with the returned connection.
func Dial(ctx context.Context, addr string, o DialOptions) (*ClientConn, error) {
	s, err := DialSession(ctx, addr, o)
	if err != nil {
		return nil, err
	}
	c, err := s.Open(ctx)
	if err != nil {
		s.Close()
		return nil, err
	}
	c.own = true
	return c, nil
}

// DialSession makes a QUIC connection to addr, "host:port". ctx bounds the
// handshake.
func DialSession(ctx context.Context, addr string, o DialOptions) (*Session, error) {
	ua, err := resolve(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("quic: dial %s: %w", addr, err)
	}
	if o.ListenPacket == nil {
		o.ListenPacket = func(ctx context.Context) (net.PacketConn, error) {
			return (&net.ListenConfig{}).ListenPacket(ctx, "udp", ":0")
		}
	}
	pc, err := o.ListenPacket(ctx)
	if err != nil {
		return nil, fmt.Errorf("quic: dial %s: %w", addr, err)
	}
	if o.Movable {
		pc = &movable{cur: pc}
	} else {
		pc = keepSteady(pc)
	}
	s := &Session{opts: o, addr: ua, pc: pc, ready: make(chan struct{}), numbers: map[uint16]*ClientConn{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.qc, err = quicgo.DialEarly(ctx, pc, ua, s.tls(addr), s.config()); err != nil {
		pc.Close()
		s.stop()
		return nil, fmt.Errorf("quic: dial %s: %w", addr, err)
	}
	s.reserve()
	if len(o.Lanes) > 0 {
		s.lanes.Go(s.acceptLanes)
	}
	return s, nil
}

func (s *Session) tls(addr string) *tls.Config {
	c := &tls.Config{}
	if s.opts.TLS != nil {
		c = s.opts.TLS.Clone()
	}
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{cmp.Or(s.opts.ALPN, ALPN)}
	if c.ClientSessionCache != nil {
		once, verify := &singleUse{cache: c.ClientSessionCache}, c.VerifyConnection
		c.ClientSessionCache = once
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if once.early() {
				s.hold()
			}
			if verify != nil {
				return verify(cs)
			}
			return nil
		}
	}
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return c
}

func (s *Session) config() *quicgo.Config {
	o := &s.opts
	c := &quicgo.Config{
		HandshakeIdleTimeout: DefaultHandshakeTimeout, MaxIdleTimeout: DefaultIdleTimeout, KeepAlivePeriod: dialKeepAlive,
		MaxIncomingStreams: -1, MaxIncomingUniStreams: -1, InitialPacketSize: packetSize,
	}
	if o.HandshakeTimeout > 0 {
		c.HandshakeIdleTimeout = o.HandshakeTimeout
	}
	if o.IdleTimeout > 0 {
		c.MaxIdleTimeout = o.IdleTimeout
	}
	if o.KeepAlive != 0 {
		c.KeepAlivePeriod = max(o.KeepAlive, 0)
	}
	if len(o.Lanes) > 0 {
		c.MaxIncomingUniStreams = 1 << 10
	}
	return c
}

// resolve looks addr up.
func resolve(ctx context.Context, addr string) (*net.UDPAddr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, err
	}
	best := ips[0]
	for _, ip := range ips { // many networks carry IPv6 only in name
		if ip.IP.To4() != nil {
			best = ip
			break
		}
	}
	return &net.UDPAddr{IP: best.IP, Port: n, Zone: best.Zone}, nil
}

// Open opens a NATS connection on s: it has sent its preamble, and the server's
// INFO is to be read first.
func (s *Session) Open(ctx context.Context) (*ClientConn, error) {
	for {
		s.mu.Lock()
		qc, str, closed := s.qc, s.first, s.closed
		s.first = nil
		s.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		c, err := s.open(ctx, qc, str)
		if !errors.Is(err, quicgo.Err0RTTRejected) {
			return c, err
		}
		// The server has forgotten the session; the handshake went on without.
		next, err := qc.NextConnection(ctx)
		if err != nil {
			return nil, fmt.Errorf("quic: %w", err)
		}
		s.mu.Lock()
		if s.qc == qc {
			s.qc, s.first = next, nil
		}
		s.mu.Unlock()
	}
}

// open opens one on str, or without that on a new stream.
func (s *Session) open(ctx context.Context, qc *quicgo.Conn, str *quicgo.Stream) (*ClientConn, error) {
	if str == nil {
		if err := shaken(ctx, qc); err != nil {
			return nil, err
		}
		var err error
		if str, err = qc.OpenStreamSync(ctx); err != nil {
			return nil, fmt.Errorf("quic: open a stream: %w", err)
		}
	}
	c := &ClientConn{s: s, qc: qc, str: str, ended: make(chan struct{})}
	if len(s.opts.Lanes) > 0 {
		if err := s.number(c); err != nil {
			str.CancelWrite(CodeNone)
			return nil, err
		}
	}
	if _, err := str.Write(AppendPreamble(nil, c.pre)); err != nil {
		s.forget(c)
		return nil, fmt.Errorf("quic: preamble: %w", err)
	}
	// Only the preamble may be early data. INFO comes with the end of the
	// handshake, so this takes no time.
	if err := shaken(ctx, qc); err != nil {
		s.forget(c)
		str.CancelWrite(CodeNone)
		return nil, err
	}
	if _, err := str.Write(nil); errors.Is(err, quicgo.Err0RTTRejected) {
		s.forget(c)
		return nil, err
	}
	if c.pre.Lanes {
		c.merge = newMerger()
		c.merge.read(str)
	}
	return c, nil
}

// shaken waits for the end of the handshake.
func shaken(ctx context.Context, qc *quicgo.Conn) error {
	select {
	case <-qc.HandshakeComplete():
		return nil
	case <-qc.Context().Done():
		return fmt.Errorf("quic: %w", context.Cause(qc.Context()))
	case <-ctx.Done():
		return fmt.Errorf("quic: handshake: %w", ctx.Err())
	}
}

// Early reports whether the preamble travelled in the first packet and was taken.
func (s *Session) Early() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.qc.ConnectionState().Used0RTT
}

// number gives c a number of its own.
func (s *Session) number(c *ClientConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.numbers) > 1<<15 {
		return errors.New("quic: too many connections with lanes")
	}
	for s.numbers[s.next] != nil {
		s.next++
	}
	c.pre = Preamble{Lanes: true, Number: s.next}
	s.numbers[s.next] = c
	s.next++
	return nil
}

func (s *Session) forget(c *ClientConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.numbers[c.pre.Number] == c {
		delete(s.numbers, c.pre.Number)
	}
}

// acceptLanes hands lanes to their connections.
func (s *Session) acceptLanes() {
	for {
		s.mu.Lock()
		qc := s.qc
		s.mu.Unlock()
		str, err := qc.AcceptUniStream(s.ctx)
		if errors.Is(err, quicgo.Err0RTTRejected) {
			if next, err := qc.NextConnection(s.ctx); err == nil {
				s.mu.Lock()
				s.qc, s.first = next, nil
				s.mu.Unlock()
				continue
			}
		}
		if err != nil {
			return
		}
		s.lanes.Go(func() { s.serveLane(str) })
	}
}

func (s *Session) serveLane(str *quicgo.ReceiveStream) {
	n, err := ReadLaneHead(str)
	s.mu.Lock()
	c := s.numbers[n]
	s.mu.Unlock()
	if err != nil || c == nil {
		str.CancelRead(CodePreamble)
		return
	}
	c.merge.pump(str)
	str.CancelRead(CodeNone)
}

// Close closes the QUIC connection and all that travels on it.
func (s *Session) Close() error { return s.closeWith(CodeNone, "") }

func (s *Session) closeWith(code uint64, text string) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	qc := s.qc
	s.mu.Unlock()
	qc.CloseWithError(quicgo.ApplicationErrorCode(code), text)
	s.stop()
	s.pc.Close()
	s.lanes.Wait()
	return nil
}

// Done is closed when the QUIC connection has ended.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.qc.Context().Done()
}
