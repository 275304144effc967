package config

import (
	"net/netip"
)

// Listener is one entry of the listeners { } block: the limits of a listener,
// and, for names other than tcp and websocket, where it listens.
type Listener struct {
	Kind       string // "tcp" or "unix"
	Host, Path string
	Port       int
	TLS        TLS

	MaxConns   int // open at the same time; 0 is no limit
	MaxPerAddr int // of them from one address
	AcceptRate int // a second
	// MaxHandshakes bounds the TLS and WebSocket handshakes under way; 0 is the
	// default.
	MaxHandshakes int

	ProxyProtocol bool
	ProxyFrom     []netip.Prefix
}

// The names of the listeners that the top of the file and websocket { } open.
const (
	ListenerTCP       = "tcp"
	ListenerWebSocket = "websocket"
)

// BuiltIn reports whether the listener name has a block of its own elsewhere.
func BuiltIn(name string) bool {
	switch name {
	case ListenerTCP, ListenerWebSocket, ListenerQUIC, ListenerWebTransport, ListenerLeaf, ListenerLeafQUIC:
		return true
	}
	return false
}

// limits reports whether listeners { } says something of the listener name.
func (c *Config) limits(name string) bool {
	_, ok := c.Listeners[name]
	return ok
}

// listenersBlock reads listeners { NAME { ... } }.
func listenersBlock(c *Config, name string, t token, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return errorAt(t, "%s must be a block { NAME { ... } }, got %s", name, given(name, v))
	}
	c.Listeners = map[string]Listener{}
	for n, e := range m {
		_, et := unwrap(e)
		if et == nil {
			et = t
		}
		l := Listener{Kind: "tcp", Host: "0.0.0.0"}
		full := name + "." + n
		if err := table(listenerKeys(n, &l))(c, full, et, et.Value()); err != nil {
			return err
		}
		if len(l.ProxyFrom) > 0 && !l.ProxyProtocol {
			return errorAt(et, "%s has proxy_protocol_from without proxy_protocol; add proxy_protocol: true", full)
		}
		if !BuiltIn(n) {
			switch {
			case l.Path != "" && (l.Port != 0 || l.ProxyProtocol):
				return errorAt(et, "%s has a path beside listen or proxy_protocol; keep one of them", full)
			case l.Path != "":
				l.Kind = "unix"
			case l.Port == 0:
				return errorAt(et, "%s listens nowhere; add listen: \"host:port\" or path: \"/run/ganglion.sock\"", full)
			}
		}
		c.Listeners[n] = l
	}
	return nil
}

// listenerKeys are the keys of one listener.
func listenerKeys(name string, l *Listener) map[string]key {
	at := func(*Config) *Listener { return l }
	keys := map[string]key{
		"max_connections":             integer(func(c *Config) *int { return &at(c).MaxConns }, 1),
		"max_connections_per_address": integer(func(c *Config) *int { return &at(c).MaxPerAddr }, 1),
		"accept_rate":                 integer(func(c *Config) *int { return &at(c).AcceptRate }, 1),
		"max_handshakes":              integer(func(c *Config) *int { return &at(c).MaxHandshakes }, 1),
	}
	switch name {
	case ListenerLeaf, ListenerLeafQUIC:
		delete(keys, "max_handshakes")
		return keys
	case ListenerWebSocket, ListenerQUIC, ListenerWebTransport:
		return keys
	}
	keys["proxy_protocol"] = boolean(func(c *Config) *bool { return &at(c).ProxyProtocol })
	keys["proxy_protocol_from"] = prefixes(func(c *Config) *[]netip.Prefix { return &at(c).ProxyFrom })
	if name == ListenerTCP {
		return keys
	}
	keys["listen"] = address(func(c *Config) *string { return &at(c).Host }, func(c *Config) *int { return &at(c).Port })
	keys["path"] = str(func(c *Config) *string { return &at(c).Path })
	keys["tls"] = tlsBlock(func(c *Config) *TLS { return &at(c).TLS })
	return keys
}
