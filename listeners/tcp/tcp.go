// Package tcp is the plain TCP transport, with or without the PROXY protocol of
// load balancers, and its sibling on the same machine, the unix socket.
package tcp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"ganglion/listeners"
)

// Kind is the transport's name in a listeners.Registry.
const Kind = "tcp"

const (
	defaultProxyTimeout = 5 * time.Second
	defaultProxyGrace   = 500 * time.Millisecond
)

// Options are what a TCP listener does besides listening.
type Options struct {
	// ProxyProtocol expects each connection to begin with a PROXY header of
	// version 1 or 2, as load balancers send it; its addresses become RemoteAddr
	// and LocalAddr. A header without addresses (LOCAL, UNKNOWN) leaves the
	// connection its own. A header for anything but TCP over IPv4 or IPv6 is
	// refused, as is a broken one.
	ProxyProtocol bool
	// ProxyFrom are the load balancers' addresses. Connections from elsewhere are
	// taken as they are: a header of theirs is never believed, and refused when
	// it is there already, or by whatever reads the stream. Empty: a header of
	// anybody is believed, so only load balancers may reach the port.
	ProxyFrom []netip.Prefix
	// ProxyOptional also takes connections of ProxyFrom that begin otherwise, with
	// their own addresses, instead of refusing them. A NATS client says nothing
	// until it has heard from the server, so such a connection is one that has
	// sent nothing for ProxyGrace, or something that is no header.
	ProxyOptional bool
	// ProxyGrace is how long ProxyOptional waits for a header's first byte, 500 ms
	// by default: a load balancer sends it at once, but the packet may get lost.
	ProxyGrace time.Duration
	// ProxyTimeout is how long a header may take to arrive, 5 s by default.
	ProxyTimeout time.Duration
	// Logger gets refused connections, ten lines at once and one a second. Nil
	// discards them.
	Logger *slog.Logger
}

// Open listens on c.Host and c.Port (listeners.OpenFunc). Its connections are
// *net.TCPConn with TCP_NODELAY set.
func Open(ctx context.Context, c listeners.Config) (net.Listener, error) {
	addr := net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	return ln, nil
}

// Opener returns a listeners.OpenFunc that does as Open does, and what o asks
// for. With a PROXY header, connections are a *net.TCPConn with other addresses.
func Opener(o Options) listeners.OpenFunc {
	if !o.ProxyProtocol {
		return Open
	}
	if o.ProxyTimeout <= 0 {
		o.ProxyTimeout = defaultProxyTimeout
	}
	if o.ProxyGrace <= 0 {
		o.ProxyGrace = defaultProxyGrace
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return func(ctx context.Context, c listeners.Config) (net.Listener, error) {
		ln, err := Open(ctx, c)
		if err != nil {
			return nil, err
		}
		return newProxyListener(ln.(*net.TCPListener), c.Name, o, maxPending), nil
	}
}
