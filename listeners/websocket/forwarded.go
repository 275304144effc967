package websocket

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// forwarded returns the client's address: the connection's own, or, when that is
// in one of nets, the last in X-Forwarded-For that is in none of them.
func forwarded(r *http.Request, own net.Addr, nets []netip.Prefix) net.Addr {
	tcp, ok := own.(*net.TCPAddr)
	if !ok || len(nets) == 0 || !within(tcp.AddrPort().Addr(), nets) {
		return own
	}
	addr := own
	list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(list[i]))
		if err != nil {
			break
		}
		addr = &net.TCPAddr{IP: a.AsSlice(), Port: 0, Zone: a.Zone()}
		if !within(a, nets) {
			break
		}
	}
	return addr
}

func within(a netip.Addr, nets []netip.Prefix) bool {
	a = a.Unmap()
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
