package config

import (
	"net/url"
	"time"
)

// LeafProxy is the HTTP proxy through which a hub is reached by WebSocket. The zero
// value is none.
type LeafProxy struct {
	URL            string // http or https
	User, Password string
	Timeout        time.Duration // until it has connected us; 0 is that of the attempt
	TLS            TLS           // of https
	Insecure       bool
}

// leafProxy reads proxy { }.
func leafProxy(p *LeafProxy) key {
	keys := map[string]key{
		"url":      str(func(*Config) *string { return &p.URL }),
		"username": str(func(*Config) *string { return &p.User }), "password": str(func(*Config) *string { return &p.Password }),
		"timeout": duration(func(*Config) *time.Duration { return &p.Timeout }, time.Millisecond),
		"tls":     tlsOutgoing(&p.TLS, &p.Insecure),
	}
	return func(c *Config, name string, t token, v any) error {
		if err := table(keys)(c, name, t, v); err != nil {
			return err
		}
		u, err := url.Parse(p.URL)
		switch {
		case p.URL == "":
			return errorAt(t, "%s has no url; add url: \"http://proxy.example.com:3128\"", name)
		case err != nil || u.Hostname() == "":
			return errorAt(t, "%s.url is no URL with a host; write e.g. \"http://proxy.example.com:3128\"", name)
		case u.Scheme != "http" && u.Scheme != "https":
			return errorAt(t, "%s.url: proxy URL scheme must be http or https, got: %s", name, u.Scheme)
		case u.User != nil:
			return errorAt(t, "%s.url names a user; use username and password instead", name)
		case (p.User == "") != (p.Password == ""):
			return errorAt(t, "%s: proxy username and password must both be specified or both be empty", name)
		}
		return nil
	}
}

// tlsOutgoing reads the tls { } block of connections that we make.
func tlsOutgoing(x *TLS, insecure *bool) key {
	keys := tlsKeys(func(*Config) *TLS { return x })
	keys["insecure"] = boolean(func(*Config) *bool { return insecure })
	for _, k := range []string{"acme", "internal", "connection_rate_limit", "verify_and_map"} {
		delete(keys, k) // of listeners
	}
	return func(c *Config, name string, t token, v any) error {
		x.On = true
		return table(keys)(c, name, t, v)
	}
}
