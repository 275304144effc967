package config

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"ganglion/core/auth"
)

// The names of the listeners of quic { } and webtransport { }, and of the source
// of their certificates.
const (
	ListenerQUIC         = "quic"
	ListenerWebTransport = "webtransport"
	SourceQUIC           = "quic.tls"
)

// QUIC is the quic { } block: a UDP port.
type QUIC struct {
	On               bool
	Host             string
	Port             int // -1 is a free one
	TLS              TLS // the client listener's where the block has none
	MaxConns         int
	MaxStreams       int
	MaxHandshakes    int
	RetryRate        int
	MaxLanes         int
	HandshakeTimeout time.Duration
	IdleTimeout      time.Duration
	KeepAlive        time.Duration
	PingInterval     time.Duration
	NoEarlyData      bool
	Auth             auth.Listener // what is different for its clients
}

// WebTransport is the webtransport { } block, on the port of quic { }.
type WebTransport struct {
	On             bool
	SameOrigin     bool
	AllowedOrigins []string
	PingInterval   time.Duration
	Auth           auth.Listener
}

// listenerAuthKeys are the keys of authorization { } of a listener.
func listenerAuthKeys(at func(*Config) *auth.Listener) map[string]key {
	return map[string]key{
		"user":     str(func(c *Config) *string { return &at(c).User }),
		"username": str(func(c *Config) *string { return &at(c).User }),
		"pass":     str(func(c *Config) *string { return &at(c).Password }),
		"password": str(func(c *Config) *string { return &at(c).Password }),
		"token":    str(func(c *Config) *string { return &at(c).Token }),
		"timeout":  seconds(func(c *Config) *time.Duration { return &at(c).Timeout }),
	}
}

// quicKeys are the keys of quic { }, all ours.
var quicKeys = func() map[string]key {
	q := func(c *Config) *QUIC { return &c.QUIC }
	return map[string]key{
		"listen":            address(func(c *Config) *string { return &q(c).Host }, func(c *Config) *int { return &q(c).Port }),
		"port":              port(func(c *Config) *int { return &q(c).Port }),
		"host":              str(func(c *Config) *string { return &q(c).Host }),
		"tls":               tlsBlock(func(c *Config) *TLS { return &q(c).TLS }),
		"max_connections":   integer(func(c *Config) *int { return &q(c).MaxConns }, 1),
		"max_streams":       integer(func(c *Config) *int { return &q(c).MaxStreams }, 1),
		"max_handshakes":    integer(func(c *Config) *int { return &q(c).MaxHandshakes }, 1),
		"retry_rate":        integer(func(c *Config) *int { return &q(c).RetryRate }, -1),
		"max_lanes":         integer(func(c *Config) *int { return &q(c).MaxLanes }, -1),
		"handshake_timeout": duration(func(c *Config) *time.Duration { return &q(c).HandshakeTimeout }, 0),
		"idle_timeout":      duration(func(c *Config) *time.Duration { return &q(c).IdleTimeout }, 0),
		"keep_alive":        duration(func(c *Config) *time.Duration { return &q(c).KeepAlive }, 0),
		"ping_interval":     duration(func(c *Config) *time.Duration { return &q(c).PingInterval }, 0),
		"early_data":        not(func(c *Config) *bool { return &q(c).NoEarlyData }),
		"authorization":     table(listenerAuthKeys(func(c *Config) *auth.Listener { return &q(c).Auth })),
		"no_auth_user":      str(func(c *Config) *string { return &q(c).Auth.NoAuthUser }),
	}
}()

func quicBlock(c *Config, name string, t token, v any) error {
	c.QUIC = QUIC{On: true, Host: "0.0.0.0"}
	if err := table(quicKeys)(c, name, t, v); err != nil {
		return err
	}
	if c.QUIC.Port == 0 {
		return errorAt(t, "%s has no port; add port: 4433 (it is a UDP port), or -1 for a free one", name)
	}
	c.setListenerAuth(ListenerQUIC, c.QUIC.Auth)
	return nil
}

// webTransportKeys are the keys of webtransport { }, all ours.
var webTransportKeys = func() map[string]key {
	w := func(c *Config) *WebTransport { return &c.WebTransport }
	origins := stringList(func(c *Config) *[]string { return &w(c).AllowedOrigins })
	return map[string]key{
		"same_origin":     boolean(func(c *Config) *bool { return &w(c).SameOrigin }),
		"allowed_origins": origins,
		"allowed_origin":  origins,
		"ping_interval":   duration(func(c *Config) *time.Duration { return &w(c).PingInterval }, 0),
		"authorization":   table(listenerAuthKeys(func(c *Config) *auth.Listener { return &w(c).Auth })),
		"no_auth_user":    str(func(c *Config) *string { return &w(c).Auth.NoAuthUser }),
	}
}()

func webTransportBlock(c *Config, name string, t token, v any) error {
	c.WebTransport = WebTransport{On: true}
	if err := table(webTransportKeys)(c, name, t, v); err != nil {
		return err
	}
	c.setListenerAuth(ListenerWebTransport, c.WebTransport.Auth)
	return nil
}

// setListenerAuth notes what is different for the clients of a listener.
func (c *Config) setListenerAuth(name string, a auth.Listener) {
	if a == (auth.Listener{}) {
		return
	}
	if c.Broker.Auth.Listeners == nil {
		c.Broker.Auth.Listeners = map[string]auth.Listener{}
	}
	c.Broker.Auth.Listeners[name] = a
}

// finishQUIC fills in what quic { } and --quic leave to others: certificates are
// the client listener's, or for --quic alone those of a CA of our own.
func (c *Config) finishQUIC() error {
	if c.WebTransport.On && !c.QUIC.On {
		return fmt.Errorf("config: webtransport shares the UDP port of quic; add quic { port: 4433 }")
	}
	q := &c.QUIC
	if !q.On || q.TLS.On {
		return nil
	}
	switch {
	case c.TLS.On:
		q.TLS = c.TLS
	case c.WebSocket.TLS.On:
		q.TLS = c.WebSocket.TLS
	case c.QUICByFlag:
		q.TLS = TLS{On: true, Internal: Internal{On: true}}
	default:
		return fmt.Errorf("config: quic requires TLS configuration; add a tls { } block to it or at the top (tls { internal: true } makes certificates by itself)")
	}
	return nil
}

// QUICSource returns where the certificates of quic { } come from: another
// listener's, if both say the same.
func (c *Config) QUICSource() string {
	same := func(a, b *TLS) bool {
		return a.On && b.On && reflect.DeepEqual(a.ACME, b.ACME) && reflect.DeepEqual(a.Internal, b.Internal) && slices.Equal(a.Pairs, b.Pairs)
	}
	switch {
	case same(&c.TLS, &c.QUIC.TLS):
		return SourceClient
	case same(&c.WebSocket.TLS, &c.QUIC.TLS):
		return c.WebSocketSource()
	}
	return SourceQUIC
}
