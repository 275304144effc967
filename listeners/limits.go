package listeners

import (
	"fmt"
	"math"
	"net"
	"net/netip"
)

// Limits are the limits of one listener; 0 is none.
type Limits struct {
	// MaxConns is how many connections may be open at once. One more is closed
	// as soon as it is accepted.
	MaxConns int
	// MaxPerAddr is how many of them may come from one remote address, which for
	// IPv6 is a /64. One more is closed as soon as it is accepted. It does not
	// concern connections without an IP address, such as those of a unix socket.
	MaxPerAddr int
	// AcceptRate is how many connections are accepted per second in the long run.
	// Those above it wait: one in Accept, the others in the system's backlog.
	// They are not refused, because a client that is refused comes back, and a
	// storm of reconnecting clients would never end.
	AcceptRate float64
	// AcceptBurst is how many are accepted at once after a quiet time; 0 is as
	// many as AcceptRate allows in a second, and one at least.
	AcceptBurst int
}

// Check reports the first value that makes no sense.
func (l Limits) Check() error {
	for _, v := range []struct {
		name  string
		value float64
	}{
		{"MaxConns", float64(l.MaxConns)}, {"MaxPerAddr", float64(l.MaxPerAddr)},
		{"AcceptRate", l.AcceptRate}, {"AcceptBurst", float64(l.AcceptBurst)},
	} {
		if !(v.value >= 0) || math.IsInf(v.value, 0) {
			return fmt.Errorf("limit %s is %v; use a number above 0, or 0 for no limit", v.name, v.value)
		}
	}
	if l.AcceptBurst > 0 && l.AcceptRate == 0 {
		return fmt.Errorf("limit AcceptBurst is %d but AcceptRate is 0; set AcceptRate too", l.AcceptBurst)
	}
	return nil
}

// burst is AcceptBurst or its default.
func (l Limits) burst() int {
	if l.AcceptBurst > 0 {
		return l.AcceptBurst
	}
	return int(max(1, min(math.Ceil(l.AcceptRate), math.MaxInt32)))
}

// peer counts the open connections of one remote address. It is guarded by its
// Gate's mu.
type peer struct {
	addr netip.Addr
	open int
}

// peerAddr returns what MaxPerAddr counts a by: an IPv4 address, or the /64 that
// an IPv6 address lies in, since that is what one site or one phone is given.
// It is invalid for an address of another kind.
func peerAddr(a net.Addr) netip.Addr {
	var ip netip.Addr
	switch a := a.(type) {
	case nil:
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	case *net.UDPAddr:
		ip = a.AddrPort().Addr()
	default:
		ap, _ := netip.ParseAddrPort(a.String())
		ip = ap.Addr()
	}
	ip = ip.Unmap()
	if ip.Is6() {
		p, _ := ip.Prefix(64) // without a zone
		return p.Addr()
	}
	return ip
}
