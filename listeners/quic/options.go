package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Kind is the transport's name in a listeners.Registry.
const Kind = "quic"

// ALPN is the protocol that clients of the mapping ask for.
const ALPN = "nats"

// ALPNLeaf is the protocol that leafs ask for: the same mapping, the leafnode
// protocol within.
const ALPNLeaf = "nats-leaf"

// Defaults.
const (
	DefaultMaxConns         = 64 << 10
	DefaultMaxStreams       = 100
	DefaultMaxHandshakes    = 1024
	DefaultRetryRate        = 200
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultIdleTimeout      = time.Minute
	DefaultKeepAlive        = 25 * time.Second
	DefaultMaxLanes         = 32
)

// Flow control: what a peer may send us that nobody has read yet. The windows
// grow as long as what comes is read.
const (
	streamWindow    = 64 << 10
	connWindow      = 128 << 10
	maxStreamWindow = 4 << 20
	maxConnWindow   = 8 << 20
)

// packetSize is what packets begin with, bytes of UDP payload: with an IPv6 header
// they pass where 1,280 bytes do, which is everywhere. Larger ones are tried soon.
const packetSize = 1200

// maxUniStreams is how many unidirectional streams a peer may open: HTTP/3 needs
// three; the mapping none, they are not read there and their window bounds them.
const maxUniStreams = 8

// Options configure a Port.
type Options struct {
	// TLS has the server's certificates. NextProtos is filled in.
	TLS *tls.Config
	// MaxConns bounds the QUIC connections, those in their handshakes included; 0
	// is DefaultMaxConns.
	MaxConns int
	// MaxStreams bounds the NATS connections of one QUIC connection that are open
	// at once; 0 is DefaultMaxStreams.
	MaxStreams int
	// MaxHandshakes bounds the handshakes under way; 0 is DefaultMaxHandshakes.
	// One above it is refused.
	MaxHandshakes int
	// RetryRate is up to how many connections a second are taken without making
	// sure first that their addresses are theirs, which costs a round trip; 0 is
	// DefaultRetryRate, negative always makes sure.
	RetryRate int
	// HandshakeTimeout bounds the handshake, and the time until a stream's
	// preamble is there; 0 is DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// IdleTimeout is how long nothing may come from a client before it is taken
	// for gone: longer than the cuts that a connection is to survive. 0 is
	// DefaultIdleTimeout. The shorter of both ends' counts.
	IdleTimeout time.Duration
	// KeepAlive is after how long without a packet from the client one is asked
	// for; 0 is DefaultKeepAlive, negative never.
	KeepAlive time.Duration
	// MaxLanes bounds the lanes of one NATS connection; 0 is DefaultMaxLanes,
	// negative none at all.
	MaxLanes int
	// No0RTT has clients' early data refused.
	No0RTT bool
	// Datagrams offers QUIC datagrams, which WebTransport in browsers insists on.
	Datagrams bool
	// Logger gets what there is to say; nil is silence.
	Logger *slog.Logger
}

// normal returns o with its defaults filled in, or what is wrong with it.
func (o Options) normal() (Options, error) {
	if o.TLS == nil {
		return o, errors.New("quic: TLS is missing; QUIC has no form without, so give it a certificate")
	}
	for _, v := range []struct {
		name string
		at   *int
		def  int
	}{
		{"MaxConns", &o.MaxConns, DefaultMaxConns}, {"MaxStreams", &o.MaxStreams, DefaultMaxStreams},
		{"MaxHandshakes", &o.MaxHandshakes, DefaultMaxHandshakes},
	} {
		if *v.at < 0 {
			return o, fmt.Errorf("quic: %s is %d; use 0 for the default of %d", v.name, *v.at, v.def)
		}
		if *v.at == 0 {
			*v.at = v.def
		}
	}
	for _, v := range []struct {
		name string
		at   *time.Duration
		def  time.Duration
	}{{"HandshakeTimeout", &o.HandshakeTimeout, DefaultHandshakeTimeout}, {"IdleTimeout", &o.IdleTimeout, DefaultIdleTimeout}} {
		if *v.at < 0 {
			return o, fmt.Errorf("quic: %s is %v; use 0 for the default of %v", v.name, *v.at, v.def)
		}
		if *v.at == 0 {
			*v.at = v.def
		}
	}
	if o.RetryRate == 0 {
		o.RetryRate = DefaultRetryRate
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	if o.MaxLanes == 0 {
		o.MaxLanes = DefaultMaxLanes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
