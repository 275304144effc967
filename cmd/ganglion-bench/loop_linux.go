package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// readBuffer is shared by all connections of a loop: one warm buffer instead
// of one per connection.
const readBuffer = 256 << 10

// leanBuffer is that of a connection that is one of very many.
const leanBuffer = 2 << 10

// attach starts one goroutine that reads all conns until the session closes.
// A single connection is simply read; several go through epoll, one read per
// readiness, so that a busy one cannot starve the others.
func (s *session) attach(conns ...*conn) error {
	if len(conns) == 0 {
		return nil
	}
	if conns[0].quic != nil { // below all of them are goroutines anyway
		for _, c := range conns {
			s.loops.Go(func() { s.stop(readOne(c)) })
		}
		return nil
	}
	if len(conns) == 1 {
		s.loops.Go(func() { s.stop(readOne(conns[0])) })
		return nil
	}
	ep, err := newPoll()
	if err != nil {
		return err
	}
	for _, c := range conns {
		if err := ep.add(c); err != nil {
			ep.close()
			return err
		}
	}
	s.loops.Go(func() {
		defer ep.close()
		s.stop(ep.run(s))
	})
	return nil
}

func readOne(c *conn) error {
	size := readBuffer
	if c.over.lean {
		size = leanBuffer
	}
	buf := make([]byte, size)
	for {
		n, err := c.read(buf)
		if err != nil {
			return err
		}
		if err := c.receive(buf[:n]); err != nil {
			return err
		}
	}
}

// poll is one epoll instance and what its events mean.
type poll struct {
	fd    int
	conns map[int32]*conn
}

func newPoll() (*poll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poll{fd: fd, conns: make(map[int32]*conn)}, nil
}

// add must not be called once run has begun.
func (p *poll) add(c *conn) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, c.fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	p.conns[int32(c.fd)] = c
	if c.tls != nil {
		c.tls.under.wait = false
	}
	return nil
}

func (p *poll) close() { unix.Close(p.fd) }

func (p *poll) run(s *session) error {
	buf := make([]byte, readBuffer)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(p.fd, events, sockPatienceUsec/1000)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		if s.closing.Load() {
			return errClosing
		}
		for i := range max(n, 0) {
			c := p.conns[events[i].Fd]
			if err := c.take(buf); err != nil {
				return err
			}
		}
	}
}

// take reads once. With TLS it reads all there is: of what crypto/tls holds
// back, epoll knows nothing.
func (c *conn) take(buf []byte) error {
	for {
		n, err := c.read(buf)
		if err == errAgain {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.receive(buf[:n]); err != nil || c.tls == nil {
			return err
		}
	}
}
