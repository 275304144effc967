package config

import (
	"net/netip"
	"time"

	"ganglion/core/auth"
)

// WebSocket is the websocket { } block.
type WebSocket struct {
	On               bool
	Host             string
	Port             int // -1 is a free one
	NoTLS            bool
	TLS              TLS
	SameOrigin       bool
	AllowedOrigins   []string
	Compression      bool
	HandshakeTimeout time.Duration
	Headers          map[string]string
	PingInterval     time.Duration
	NoPage           bool           // don't serve the page at /
	ForwardedFrom    []netip.Prefix // whose X-Forwarded-For is believed
	Auth             auth.Listener  // what is different for its clients
}

// wsAuthKeys are the keys of websocket { authorization { } }.
var wsAuthKeys = map[string]key{
	"user":     str(func(c *Config) *string { return &c.WebSocket.Auth.User }),
	"username": str(func(c *Config) *string { return &c.WebSocket.Auth.User }),
	"pass":     str(func(c *Config) *string { return &c.WebSocket.Auth.Password }),
	"password": str(func(c *Config) *string { return &c.WebSocket.Auth.Password }),
	"token":    str(func(c *Config) *string { return &c.WebSocket.Auth.Token }),
	"timeout":  seconds(func(c *Config) *time.Duration { return &c.WebSocket.Auth.Timeout }),
}

// wsKeys are the keys of websocket { }.
var wsKeys = func() map[string]key {
	ws := func(c *Config) *WebSocket { return &c.WebSocket }
	origins := stringList(func(c *Config) *[]string { return &ws(c).AllowedOrigins })
	compression := boolean(func(c *Config) *bool { return &ws(c).Compression })
	host := str(func(c *Config) *string { return &ws(c).Host })
	return map[string]key{
		"listen":            address(func(c *Config) *string { return &ws(c).Host }, func(c *Config) *int { return &ws(c).Port }),
		"port":              port(func(c *Config) *int { return &ws(c).Port }),
		"host":              host,
		"net":               host,
		"advertise":         nil, // it names us to clients of a cluster
		"no_tls":            boolean(func(c *Config) *bool { return &ws(c).NoTLS }),
		"tls":               tlsBlock(func(c *Config) *TLS { return &ws(c).TLS }),
		"same_origin":       boolean(func(c *Config) *bool { return &ws(c).SameOrigin }),
		"allowed_origins":   origins,
		"allowed_origin":    origins,
		"allow_origins":     origins,
		"allow_origin":      origins,
		"origins":           origins,
		"origin":            origins,
		"compression":       compression,
		"compress":          compression,
		"handshake_timeout": duration(func(c *Config) *time.Duration { return &ws(c).HandshakeTimeout }, 0),
		"headers":           stringMap(func(c *Config) *map[string]string { return &ws(c).Headers }),
		"ping_interval":     duration(func(c *Config) *time.Duration { return &ws(c).PingInterval }, 0),
		"page":              not(func(c *Config) *bool { return &ws(c).NoPage }),                       // ours
		"trusted_proxies":   prefixes(func(c *Config) *[]netip.Prefix { return &ws(c).ForwardedFrom }), // ours
		"authorization":     table(wsAuthKeys), "authentication": table(wsAuthKeys),
		"no_auth_user": str(func(c *Config) *string { return &ws(c).Auth.NoAuthUser }),
		"jwt_cookie":   str(func(c *Config) *string { return &ws(c).Auth.JWTCookie }),
		"user_cookie":  str(func(c *Config) *string { return &ws(c).Auth.UserCookie }),
		"pass_cookie":  str(func(c *Config) *string { return &ws(c).Auth.PassCookie }),
		"token_cookie": str(func(c *Config) *string { return &ws(c).Auth.TokenCookie }),
	}
}()

func websocketBlock(c *Config, name string, t token, v any) error {
	c.WebSocket = WebSocket{On: true, Host: "0.0.0.0"}
	if err := table(wsKeys)(c, name, t, v); err != nil {
		return err
	}
	switch ws := &c.WebSocket; {
	case ws.Port == 0:
		return errorAt(t, "%s has no port; add port: 8443, or -1 for a free one", name)
	case !ws.TLS.On && !ws.NoTLS:
		return errorAt(t, "websocket requires TLS configuration; add a tls { } block, or no_tls: true where something in front does TLS")
	case ws.TLS.On && ws.NoTLS:
		return errorAt(t, "%s has both tls and no_tls; keep one of them", name)
	}
	if c.WebSocket.Auth != (auth.Listener{}) {
		c.setListenerAuth(ListenerWebSocket, c.WebSocket.Auth)
	}
	return nil
}

// not reads a bool that is kept the other way round, because its default is true.
func not(at func(*Config) *bool) key {
	return func(c *Config, name string, t token, v any) error {
		var b bool
		err := boolean(func(*Config) *bool { return &b })(c, name, t, v)
		*at(c) = !b
		return err
	}
}

// prefixes reads a list of networks, "10.0.0.0/8" or single addresses.
func prefixes(at func(*Config) *[]netip.Prefix) key {
	return func(c *Config, name string, t token, v any) error {
		list, err := names(name, t, v)
		if err != nil {
			return err
		}
		var out []netip.Prefix
		for _, s := range list {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				a, err := netip.ParseAddr(s)
				if err != nil {
					return errorAt(t, "%s: %q is no network; write e.g. \"10.0.0.0/8\" or \"192.0.2.1\"", name, s)
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			out = append(out, p)
		}
		*at(c) = out
		return nil
	}
}
