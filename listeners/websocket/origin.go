package websocket

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// origin is what two origins are compared by.
type origin struct{ scheme, host, port string }

// parseOrigin reads "scheme://host[:port]".
func parseOrigin(s string) (origin, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return origin{}, fmt.Errorf("%q is no origin; write it as https://host[:port]", s)
	}
	return newOrigin(u.Scheme, u.Host)
}

func newOrigin(scheme, hostport string) (origin, error) {
	scheme = strings.ToLower(scheme)
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.Trim(hostport, "[]"), ""
	}
	if host == "" {
		return origin{}, errors.New("origin without host")
	}
	if port == "" {
		switch scheme {
		case "http", "ws":
			port = "80"
		case "https", "wss":
			port = "443"
		}
	}
	return origin{scheme, strings.ToLower(host), port}, nil
}

// origins decides which pages may connect.
type origins struct {
	same    bool
	allowed map[origin]bool
}

func newOrigins(same bool, allowed []string) (*origins, error) {
	os := &origins{same: same}
	for _, s := range allowed {
		o, err := parseOrigin(s)
		if err != nil {
			return nil, fmt.Errorf("websocket: allowed_origins: %w", err)
		}
		if os.allowed == nil {
			os.allowed = map[origin]bool{}
		}
		os.allowed[o] = true
	}
	return os, nil
}

// check returns why the page that r comes from may not connect. secure says that
// r came over TLS.
func (os *origins) check(r *http.Request, secure bool) error {
	s := r.Header.Get("Origin")
	if s == "" || !os.same && os.allowed == nil {
		return nil
	}
	o, err := parseOrigin(s)
	if err != nil {
		return fmt.Errorf("origin not allowed: %w", err)
	}
	if os.same {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		if host, err := newOrigin(scheme, r.Host); err != nil || host != o {
			return fmt.Errorf("origin not allowed: %q is not the same origin as %q", s, r.Host)
		}
	}
	if os.allowed != nil && !os.allowed[o] {
		return fmt.Errorf("origin not allowed: %q is not in the allowed list", s)
	}
	return nil
}

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
