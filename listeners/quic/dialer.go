package quic

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// Dialer is for nats.go:
//
//	d := &quic.Dialer{}
//	defer d.Close()
//	nc, err := nats.Connect("nats://edge.example.com:4222", nats.SetCustomDialer(d))
//
// It keeps what is needed to resume sessions. TLS is QUIC's; the options of nats.go
// for it have no effect.
type Dialer struct {
	// Options of the connections. A ClientSessionCache is added to TLS.
	Options DialOptions
	// Timeout bounds one Dial; 0 is two seconds, as nats.go has it.
	Timeout time.Duration
	// Share is how many NATS connections to one address travel on one QUIC
	// connection; 0 and 1 is a QUIC connection each.
	Share int

	once sync.Once
	opts DialOptions

	mu       sync.Mutex
	sessions map[string][]*shared
}

// shared is a session and the connections on it.
type shared struct {
	*Session
	d    *Dialer
	addr string
	uses int // guarded by Dialer.mu
}

const dialTimeout = 2 * time.Second

// Dial connects to address; network is not looked at (nats.CustomDialer).
func (d *Dialer) Dial(_, address string) (net.Conn, error) {
	t := d.Timeout
	if t == 0 {
		t = dialTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), t)
	defer cancel()
	return d.DialContext(ctx, address)
}

// SkipTLSHandshake tells nats.go that there is TLS already.
func (d *Dialer) SkipTLSHandshake() bool { return true }

func (d *Dialer) init() {
	d.once.Do(func() {
		d.opts = d.Options
		c := &tls.Config{}
		if d.opts.TLS != nil {
			c = d.opts.TLS.Clone()
		}
		if c.ClientSessionCache == nil {
			c.ClientSessionCache = tls.NewLRUClientSessionCache(64)
		}
		d.opts.TLS = c
		d.sessions = map[string][]*shared{}
	})
}

// DialContext connects to address, "host:port", until ctx ends.
func (d *Dialer) DialContext(ctx context.Context, address string) (net.Conn, error) {
	d.init()
	if d.Share <= 1 {
		c, err := Dial(ctx, address, d.opts)
		if err != nil {
			return nil, err // not a nil *ClientConn in a net.Conn
		}
		return c, nil
	}
	s, err := d.session(ctx, address)
	if err != nil {
		return nil, err
	}
	c, err := s.Open(ctx)
	if err != nil {
		s.release()
		return nil, err
	}
	return &sharing{ClientConn: c, s: s}, nil
}

// session returns one to address that has room.
func (d *Dialer) session(ctx context.Context, address string) (*shared, error) {
	d.mu.Lock()
	for _, s := range d.sessions[address] {
		select {
		case <-s.Done():
			continue
		default:
		}
		if s.uses < d.Share {
			s.uses++
			d.mu.Unlock()
			return s, nil
		}
	}
	d.mu.Unlock()
	qs, err := DialSession(ctx, address, d.opts)
	if err != nil {
		return nil, err
	}
	s := &shared{Session: qs, d: d, addr: address, uses: 1}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[address] = append(d.sessions[address], s)
	return s, nil
}

// release gives a place on s back, and closes s behind the last.
func (s *shared) release() {
	s.d.mu.Lock()
	s.uses--
	last := s.uses == 0
	if last {
		list := s.d.sessions[s.addr]
		for i, x := range list {
			if x == s {
				s.d.sessions[s.addr] = append(list[:i:i], list[i+1:]...)
			}
		}
	}
	s.d.mu.Unlock()
	if last {
		s.Close()
	}
}

// Close closes the QUIC connections that NATS connections share.
func (d *Dialer) Close() error {
	d.init()
	d.mu.Lock()
	var all []*shared
	for _, list := range d.sessions {
		all = append(all, list...)
	}
	d.mu.Unlock()
	for _, s := range all {
		s.Close()
	}
	return nil
}

// sharing is a connection on a shared session.
type sharing struct {
	*ClientConn
	s    *shared
	once sync.Once
}

func (c *sharing) Close() error {
	err := c.ClientConn.Close()
	c.once.Do(c.s.release)
	return err
}
