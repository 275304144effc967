package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one client connection of a leg.
type conn struct {
	*sock
	control
	over   transport
	frames *frames // takes frame headers off, on a WebSocket
	sink   sink    // where attach sends what arrives; the control itself unless set
	pongs  atomic.Int64
}

// receive takes in what was read.
func (c *conn) receive(b []byte) error {
	if c.frames != nil {
		return c.frames.data(b, c.sink)
	}
	return c.sink.data(b)
}

// session owns the connections and goroutines of one leg against one server.
type session struct {
	// Static after construction.
	ctx    context.Context // ends with the leg, or with its first failure
	cancel context.CancelCauseFunc
	srv    *server
	zip    *inflater // shared by all that negotiate compression, which one loop must read
	others []*server // of the same leg
	joint  bool      // the CPU time of all of them is measured together

	loops     sync.WaitGroup
	closing   atomic.Bool
	measuring atomic.Bool // true within the measured window
	draining  atomic.Bool // requesters send no more
	conns     []*conn     // owned by the leg's own goroutine
}

func newSession(ctx context.Context, srv *server) *session {
	s := &session{srv: srv, zip: newInflater()}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// stop ends the leg with err, unless that is only the echo of its end.
func (s *session) stop(err error) {
	if err != nil && !errors.Is(err, errClosing) {
		s.cancel(err)
	}
}

// err is why the leg failed, with the server's last words.
func (s *session) err() error {
	if s.ctx.Err() == nil {
		return nil
	}
	return context.Cause(s.ctx)
}

// close ends all goroutines and connections.
func (s *session) close() {
	s.closing.Store(true)
	s.cancel(errClosing)
	for _, c := range s.conns {
		if c.quic != nil { // nothing else ends its reader
			c.close()
		}
	}
	s.loops.Wait()
	for _, c := range s.conns {
		if c.quic == nil {
			c.close()
		}
	}
}

// dial opens a connection and waits for the server to accept it.
func (s *session) dial() (*conn, error) {
	return s.dialOver(s.srv.over)
}

// dialOver is dial over another transport than the session's.
func (s *session) dialOver(t transport) (*conn, error) { return s.dialWith(t, hello) }

// dialAs is dial for a user with a password.
func (s *session) dialAs(user, pass string) (*conn, error) {
	return s.dialWith(s.srv.over, helloAs(user, pass))
}

func (s *session) dialWith(t transport, hello string) (*conn, error) {
	c, err := s.open(netip.Addr{}, t)
	if err != nil {
		return nil, err
	}
	if err := c.flush([]byte(hello)); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, nil
}

// dialN is dial, n times.
func (s *session) dialN(n int) ([]*conn, error) {
	conns := make([]*conn, n)
	for i := range conns {
		var err error
		if conns[i], err = s.dial(); err != nil {
			return nil, err
		}
	}
	return conns, nil
}

// open connects. Over TCP it waits for nothing but the kernel.
func (s *session) open(src netip.Addr, t transport) (*conn, error) {
	c, err := s.connect(src, t)
	if c != nil {
		s.conns = append(s.conns, c)
	}
	return c, err
}

// connect is open for any goroutine. The caller sees to it that the connection
// is closed, also one returned beside an error.
func (s *session) connect(src netip.Addr, t transport) (*conn, error) {
	if t.quic {
		q, err := dialQUIC(s.ctx, s.srv)
		if err != nil {
			return nil, err
		}
		return s.stream(q, t)
	}
	to := s.srv.addr
	if t.websocket {
		to = s.srv.web
	}
	k, err := dialSock(src, to, &s.closing)
	if err != nil {
		return nil, err
	}
	c := newConn(k, t)
	return c, s.layer(c)
}

func newConn(k *sock, t transport) *conn {
	c := &conn{sock: k, over: t}
	c.onPing = k.pong
	c.onPong = func() { c.pongs.Add(1) }
	c.sink = &c.control
	return c
}

// stream opens a connection on q, which is closed with the first of them.
func (s *session) stream(q *quicLink, t transport) (*conn, error) {
	k, err := q.stream(s.ctx)
	if err != nil {
		q.session.Close()
		return nil, err
	}
	return newConn(quicSock(k, &s.closing), t), nil
}

// layer puts on top of TCP what the transport has.
func (s *session) layer(c *conn) error {
	if c.over.secure {
		if !c.over.websocket {
			if err := c.firstInfo(); err != nil {
				return err
			}
		}
		if err := c.secure(s.srv.id.client, c.over.lean); err != nil {
			return err
		}
	}
	if !c.over.websocket {
		return nil
	}
	if c.over.deflate {
		return c.upgrade(s.zip)
	}
	return c.upgrade(nil)
}

// flush writes b and waits until the server has handled it. Only before
// attach: it reads the connection itself.
func (c *conn) flush(b []byte) error {
	want := c.pongs.Load() + 1
	if err := c.op(append(b[:len(b):len(b)], "PING\r\n"...)); err != nil {
		return err
	}
	return c.await(want)
}

// await reads until want PONGs have come in all. Only before attach.
func (c *conn) await(want int64) error {
	var buf [4 << 10]byte
	for c.pongs.Load() < want {
		n, err := c.read(buf[:])
		if err != nil {
			return err
		}
		if err := c.receive(buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

// settle makes sure that everything the server has for these attached connections
// has been read: what was sent before a PONG is read before it.
func (s *session) settle(conns ...*conn) error {
	for _, c := range conns {
		want := c.pongs.Load() + 1
		if err := c.op([]byte("PING\r\n")); err != nil {
			return err
		}
		if err := s.until("PONG", func() bool { return c.pongs.Load() >= want }); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long a drained or flushed connection may take.
const patience = 20 * time.Second

// until polls for done, outside of any measurement.
func (s *session) until(what string, done func() bool) error {
	return s.poll(what, 100*time.Microsecond, done)
}

// poll is until where looking costs the server something.
func (s *session) poll(what string, every time.Duration, done func() bool) error {
	for end := time.Now().Add(patience); !done(); {
		if err := s.err(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("no %s within %s", what, patience)
		}
		nap(every)
	}
	return nil
}

// sleep waits for d of load, or for the leg to fail.
func (s *session) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}
