package webtransport

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"ganglion/listeners"
	"ganglion/listeners/quic"
)

// Kind is the transport's name in a listeners.Registry.
const Kind = "webtransport"

// ALPN is the protocol that the listener serves on its port, HTTP/3.
const ALPN = "h3"

// maxHeaderBytes bounds the head of a request.
const maxHeaderBytes = 16 << 10

// pageTimeout bounds a request that is not for a session, as a whole.
const pageTimeout = time.Minute

// Options configure the listener.
type Options struct {
	// SameOrigin refuses sessions whose Origin is not the host that they ask.
	SameOrigin bool
	// AllowedOrigins, if any, lists the origins that are let in, e.g.
	// "https://app.example.com"; default ports are filled in. Requests without
	// an Origin, which browsers always send, are let in.
	AllowedOrigins []string
	// MaxStreams bounds the NATS connections of one session that are open at
	// once; 0 is quic.DefaultMaxStreams. One above it is reset with code 0x03.
	// The port's own MaxStreams counts the session's request, too.
	MaxStreams int
	// HandshakeTimeout bounds the time until a stream's preamble is there; twice
	// as long a session may be without a stream, and a QUIC connection without a
	// request. 0 is quic.DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// MaxLanes bounds the lanes of one NATS connection; 0 is
	// quic.DefaultMaxLanes, negative none at all.
	MaxLanes int
	// Handler gets the requests that are not for a session, each of which may
	// take a minute; nil answers 404.
	Handler http.Handler
	// Logger gets what there is to say; nil is silence.
	Logger *slog.Logger
}

// settings are options in the form in which requests need them.
type settings struct {
	Options
	origins *listeners.Origins
}

// normal returns o with its defaults filled in, or what is wrong with it.
func (o Options) normal() (*settings, error) {
	if o.MaxStreams < 0 {
		return nil, fmt.Errorf("webtransport: MaxStreams is %d; use 0 for the default of %d", o.MaxStreams, quic.DefaultMaxStreams)
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = quic.DefaultMaxStreams
	}
	if o.HandshakeTimeout < 0 {
		return nil, fmt.Errorf("webtransport: HandshakeTimeout is %v; use 0 for the default of %v", o.HandshakeTimeout, quic.DefaultHandshakeTimeout)
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = quic.DefaultHandshakeTimeout
	}
	if o.MaxLanes == 0 {
		o.MaxLanes = quic.DefaultMaxLanes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	os, err := listeners.NewOrigins(o.SameOrigin, o.AllowedOrigins)
	if err != nil {
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	return &settings{o, os}, nil
}
