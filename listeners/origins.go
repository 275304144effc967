package listeners

import (
	"errors"
	"fmt"
	"net"
	"net/http"
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

// Origins decides which pages' scripts may connect, for transports that browsers
// speak. Browsers always say which page a request comes from; a request that
// doesn't is let in.
type Origins struct {
	same    bool
	allowed map[origin]bool
}

// NewOrigins lets in all pages; with same only those of the host that they ask;
// with allowed, which lists origins as "scheme://host[:port]", only those. Both
// may be set.
func NewOrigins(same bool, allowed []string) (*Origins, error) {
	os := &Origins{same: same}
	for _, s := range allowed {
		o, err := parseOrigin(s)
		if err != nil {
			return nil, fmt.Errorf("allowed_origins: %w", err)
		}
		if os.allowed == nil {
			os.allowed = map[origin]bool{}
		}
		os.allowed[o] = true
	}
	return os, nil
}

// Check returns why the page that r comes from may not connect. secure says that
// r came over TLS.
func (os *Origins) Check(r *http.Request, secure bool) error {
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
