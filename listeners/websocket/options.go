package websocket

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"time"
)

// Kind is the transport's name in a listeners.Registry.
const Kind = "websocket"

// Defaults.
const (
	DefaultHandshakeTimeout = 2 * time.Second // nats-server's
	DefaultMaxHandshakes    = 4096
	DefaultMaxCompressed    = 2<<20 + 64<<10 // two messages of a MiB that don't compress
)

// Options configure the listener.
type Options struct {
	// SameOrigin refuses requests whose Origin is not the host that they ask.
	SameOrigin bool
	// AllowedOrigins, if any, lists the origins that are let in, e.g.
	// "https://app.example.com"; default ports are filled in. Requests without
	// an Origin, which browsers always send, are let in.
	AllowedOrigins []string
	// Compression lets clients negotiate permessage-deflate.
	Compression bool
	// MaxCompressed bounds a client's compressed message, in bytes as it comes,
	// because it is kept until it is whole; 0 is DefaultMaxCompressed. What it
	// inflates to is read as a stream.
	MaxCompressed int
	// HandshakeTimeout bounds TLS handshake and upgrade request together; 0 is
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds the connections that have not been upgraded; 0 is
	// DefaultMaxHandshakes. One above it is closed at once.
	MaxHandshakes int
	// Headers are added to the answer of an upgrade. They must not be those of
	// the handshake.
	Headers map[string]string
	// ForwardedFrom lists the networks whose X-Forwarded-For is believed.
	ForwardedFrom []netip.Prefix
	// Secure puts TLS on an accepted connection, below HTTP; nil is none. The
	// result must do its handshake with the first read.
	Secure func(net.Conn) net.Conn
	// Handler gets the requests that ask for no upgrade; nil refuses them.
	Handler http.Handler
	// Leaf is set when leafs are accepted, on the path /leafnode. Until then
	// that path is refused.
	Leaf bool
	// Logger gets what there is to say; nil is silence.
	Logger *slog.Logger
}

// reserved are the response headers that belong to the handshake.
var reserved = []string{"Upgrade", "Connection", "Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol", "Sec-Websocket-Version"}

// normal returns o with its defaults filled in, or what is wrong with it.
func (o Options) normal() (Options, error) {
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if o.MaxHandshakes == 0 {
		o.MaxHandshakes = DefaultMaxHandshakes
	}
	if o.MaxCompressed == 0 {
		o.MaxCompressed = DefaultMaxCompressed
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HandshakeTimeout < 0 || o.MaxHandshakes < 0 || o.MaxCompressed < 0 {
		return o, fmt.Errorf("websocket: HandshakeTimeout, MaxHandshakes or MaxCompressed is negative; use 0 for the default")
	}
	for k := range o.Headers {
		for _, r := range reserved {
			if textproto.CanonicalMIMEHeaderKey(k) == r {
				return o, fmt.Errorf("websocket: headers: %q belongs to the handshake; remove it", k)
			}
		}
	}
	return o, nil
}
