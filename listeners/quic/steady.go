package quic

import (
	"errors"
	"net"
	"syscall"
)

// steady is a UDP socket on which a packet for which there is no way out at the
// moment is as good as lost: to quic-go any error of sending is the end of the
// connection, and a host on its way from one network to the next has no way for a
// while. It keeps what quic-go looks for in a UDP socket.
type steady struct{ *net.UDPConn }

// keepSteady makes pc steady, if it is a UDP socket.
func keepSteady(pc net.PacketConn) net.PacketConn {
	if u, ok := pc.(*net.UDPConn); ok {
		return steady{u}
	}
	return pc
}

func (s steady) WriteTo(b []byte, a net.Addr) (int, error) {
	n, err := s.UDPConn.WriteTo(b, a)
	if noWay(err) {
		return len(b), nil
	}
	return n, err
}

func (s steady) WriteMsgUDP(b, oob []byte, a *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = s.UDPConn.WriteMsgUDP(b, oob, a)
	if noWay(err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

// Numbers of Windows that package syscall has no names for.
const (
	wsaAddrNotAvail = syscall.Errno(10049)
	wsaNetDown      = syscall.Errno(10050)
	wsaNetUnreach   = syscall.Errno(10051)
	wsaHostUnreach  = syscall.Errno(10065)
)

// noWay reports whether err, of sending, says that there is no way out now.
func noWay(err error) bool {
	var no syscall.Errno
	if err == nil || !errors.As(err, &no) {
		return false
	}
	switch no {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL, syscall.EPERM,
		wsaAddrNotAvail, wsaNetDown, wsaNetUnreach, wsaHostUnreach:
		return true
	}
	return false
}
