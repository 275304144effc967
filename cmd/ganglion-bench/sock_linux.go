package main

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// errClosing tells a reader or writer that its session is being torn down.
var errClosing = errors.New("session is closing")

// errEOF is the server hanging up, which during a leg is always a failure.
var errEOF = errors.New("server closed the connection")

// sockPatienceUsec bounds how long a blocked system call goes without looking at
// the closing flag. It replaces shutdown(2), which would leave thousands of
// sockets in TIME_WAIT.
const sockPatienceUsec = 100_000

// sock is a connection: unless it is of QUIC, a blocking TCP socket outside Go's network poller. Blocking calls
// cost one system call and one wake-up by the kernel, where the poller costs
// an extra EAGAIN, epoll_wait and scheduler round: on two cores that would be
// visible in every latency.
type sock struct {
	// Static after construction.
	fd      int
	closing *atomic.Bool

	// Static once the connection is made.
	tls    *secured    // nil without TLS
	quic   *quicStream // instead of fd
	framed bool        // ops go into WebSocket frames

	wmu  sync.Mutex   // a short write must not be interleaved with a PONG
	owed atomic.Int32 // PONGs that nobody has written yet
}

// quicSock is a sock over a QUIC stream.
func quicSock(q *quicStream, closing *atomic.Bool) *sock {
	return &sock{fd: -1, quic: q, closing: closing}
}

// dialSock connects to addr, from src where that is valid.
func dialSock(src netip.Addr, addr netip.AddrPort, closing *atomic.Bool) (*sock, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	s := &sock{fd: fd, closing: closing}
	if err := s.connect(src, addr); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *sock) connect(src netip.Addr, addr netip.AddrPort) error {
	if src.IsValid() {
		// The port is chosen at connect, when the whole tuple is known: several
		// sources then share the ephemeral range.
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", err)
		}
		if err := unix.Bind(s.fd, &unix.SockaddrInet4{Addr: src.As4()}); err != nil {
			return fmt.Errorf("bind %s: %w", src, err)
		}
	}
	if err := unix.Connect(s.fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return fmt.Errorf("connect %s: %w", addr, err)
	}
	patience := unix.Timeval{Usec: sockPatienceUsec}
	return errors.Join(
		unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience),
		// Close with RST: no TIME_WAIT, so ports are free for the next leg.
		unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
	)
}

// read blocks for at least one byte.
func (s *sock) read(b []byte) (int, error) {
	if s.quic != nil {
		n, err := s.quic.Read(b)
		if err != nil && s.closing.Load() {
			err = errClosing
		}
		return n, err
	}
	if s.tls != nil {
		return s.tls.read(b)
	}
	return s.receive(b, true)
}

// receive reads from the socket itself; without wait, it returns errAgain when
// there is nothing.
func (s *sock) receive(b []byte, wait bool) (n int, err error) {
	for {
		if wait {
			n, err = unix.Read(s.fd, b)
		} else {
			n, _, err = unix.Recvfrom(s.fd, b, unix.MSG_DONTWAIT)
		}
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, errEOF
		case !wait && err == unix.EAGAIN:
			return 0, errAgain
		case err != unix.EINTR && err != unix.EAGAIN:
			return 0, fmt.Errorf("read: %w", err)
		case s.closing.Load():
			return 0, errClosing
		}
	}
}

// op writes ops, on a WebSocket in a frame of their own.
func (s *sock) op(b []byte) error {
	return s.write(s.wrap(b))
}

func (s *sock) wrap(b []byte) []byte {
	if s.framed {
		return appendFrame(nil, b, maskKey(len(b)))
	}
	return b
}

// write writes all of b, which is encoded already (transport.encode), then any
// PONG that became due meanwhile.
func (s *sock) write(b []byte) error {
	s.wmu.Lock()
	err := s.writeLocked(b)
	s.wmu.Unlock()
	if err == nil && s.owed.Load() > 0 {
		err = s.payPongs()
	}
	return err
}

func (s *sock) writeLocked(b []byte) error {
	if s.quic != nil {
		_, err := s.quic.Write(b)
		return err
	}
	if s.tls != nil {
		return s.tls.write(b)
	}
	return s.transmit(b)
}

// transmit writes to the socket itself.
func (s *sock) transmit(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(s.fd, b)
		if n > 0 {
			b = b[n:]
			continue
		}
		if err != unix.EINTR && err != unix.EAGAIN {
			return fmt.Errorf("write: %w", err)
		}
		if s.closing.Load() {
			return errClosing
		}
	}
	return nil
}

// pong answers one PING. It never waits for a publisher that holds the socket: that one
// pays on its way out. A reading thread stuck here would stop all the
// deliveries that the server waits for.
func (s *sock) pong() error {
	s.owed.Add(1)
	return s.payPongs()
}

func (s *sock) payPongs() error {
	for s.owed.Load() > 0 && s.wmu.TryLock() {
		var err error
		for n := s.owed.Swap(0); n > 0 && err == nil; n-- {
			err = s.writeLocked(s.wrap([]byte("PONG\r\n")))
		}
		s.wmu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sock) close() error {
	if s.quic != nil {
		s.quic.hangUp()
		return nil
	}
	return unix.Close(s.fd)
}
