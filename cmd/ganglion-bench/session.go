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
	sink  sink // where attach sends what arrives; the control itself unless set
	pongs atomic.Int64
}

// session owns the connections and goroutines of one leg against one server.
type session struct {
	// Static after construction.
	ctx    context.Context // ends with the leg, or with its first failure
	cancel context.CancelCauseFunc
	srv    *server

	loops     sync.WaitGroup
	closing   atomic.Bool
	measuring atomic.Bool // true within the measured window
	draining  atomic.Bool // requesters send no more
	conns     []*conn     // owned by the leg's own goroutine
}

func newSession(ctx context.Context, srv *server) *session {
	s := &session{srv: srv}
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
	s.loops.Wait()
	for _, c := range s.conns {
		c.close()
	}
}

// dial opens a connection and waits for the server to accept it.
func (s *session) dial() (*conn, error) {
	c, err := s.open(netip.Addr{})
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

// open connects without waiting for anything.
func (s *session) open(src netip.Addr) (*conn, error) {
	k, err := dialSock(src, s.srv.addr, &s.closing)
	if err != nil {
		return nil, err
	}
	c := &conn{sock: k}
	c.onPing = k.pong
	c.onPong = func() { c.pongs.Add(1) }
	c.sink = &c.control
	s.conns = append(s.conns, c)
	return c, nil
}

// flush writes b and waits until the server has handled it. Only before
// attach: it reads the connection itself.
func (c *conn) flush(b []byte) error {
	want := c.pongs.Load() + 1
	if err := c.write(append(b[:len(b):len(b)], "PING\r\n"...)); err != nil {
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
		if err := c.data(buf[:n]); err != nil {
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
		if err := c.write([]byte("PING\r\n")); err != nil {
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
	for end := time.Now().Add(patience); !done(); {
		if err := s.err(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("no %s within %s", what, patience)
		}
		nap(100 * time.Microsecond)
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
