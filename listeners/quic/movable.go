package quic

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// movable is a socket that can be exchanged for another while QUIC uses it: the
// server sees the client's address change, and makes sure that it is the client's.
//
// quic-go has paths for that, but its server uses up one of the few connection ids
// that a client gives it with each; clients here have none, so that their address
// may change as often as it likes.
type movable struct {
	mu    sync.Mutex
	cur   net.PacketConn
	heard chan struct{} // closed when cur has received something; nil when nobody waits
	until time.Time     // deadline of reads
}

func (m *movable) current() net.PacketConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur
}

// ReadFrom reads from the socket of the moment (net.PacketConn).
func (m *movable) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		c := m.current()
		n, addr, err := c.ReadFrom(p)
		m.mu.Lock()
		moved := m.cur != c
		if err == nil && !moved && m.heard != nil {
			close(m.heard)
			m.heard = nil
		}
		m.mu.Unlock()
		if err != nil && moved {
			continue
		}
		return n, addr, err
	}
}

// WriteTo writes to the socket of the moment. That it can't send now is as good as
// a packet lost (net.PacketConn).
func (m *movable) WriteTo(p []byte, addr net.Addr) (int, error) {
	m.current().WriteTo(p, addr)
	return len(p), nil
}

// set makes c the socket of the moment and returns the one before it, which is
// read no more, and what is closed when c has received something.
func (m *movable) set(c net.PacketConn) (old net.PacketConn, heard <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, m.cur = m.cur, c
	m.heard = make(chan struct{})
	c.SetReadDeadline(m.until)
	old.SetReadDeadline(time.Unix(1, 0)) // its reader turns to c
	return old, m.heard
}

func (m *movable) Close() error        { return m.current().Close() }
func (m *movable) LocalAddr() net.Addr { return m.current().LocalAddr() }

func (m *movable) SetDeadline(t time.Time) error {
	m.SetReadDeadline(t)
	return m.SetWriteDeadline(t)
}

func (m *movable) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until = t
	return m.cur.SetReadDeadline(t)
}

func (m *movable) SetWriteDeadline(t time.Time) error { return m.current().SetWriteDeadline(t) }

// Migrate moves s to another local socket, e.g. of a network that has just come
// up; nil asks DialOptions.ListenPacket. It returns when the server was heard
// there, or goes back when ctx ends before. It needs DialOptions.Movable. A socket
// on any address, which is the default, follows the host's address by itself.
func (s *Session) Migrate(ctx context.Context, pc net.PacketConn) error {
	m, ok := s.pc.(*movable)
	if !ok {
		return fmt.Errorf("quic: migrate: the session has one socket for good; set DialOptions.Movable")
	}
	if pc == nil {
		var err error
		if pc, err = s.opts.ListenPacket(ctx); err != nil {
			return fmt.Errorf("quic: migrate: %w", err)
		}
	}
	s.moving.Lock()
	defer s.moving.Unlock()
	old, heard := m.set(pc)
	s.mu.Lock()
	qc := s.qc
	s.mu.Unlock()
	// Something to be answered, should nothing else be under way.
	if u, err := qc.OpenUniStream(); err == nil {
		u.CancelWrite(CodeNone)
	}
	select {
	case <-heard:
		return old.Close()
	case <-ctx.Done():
		m.set(old)
		pc.Close()
		old.SetReadDeadline(time.Time{})
		return fmt.Errorf("quic: migrate: nothing was heard from the server there: %w", ctx.Err())
	case <-qc.Context().Done():
		old.Close()
		return fmt.Errorf("quic: migrate: %w", context.Cause(qc.Context()))
	}
}
