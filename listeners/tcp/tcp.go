// Package tcp is the plain TCP transport.
package tcp

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"ganglion/listeners"
)

// Kind is the transport's name in a listeners.Registry.
const Kind = "tcp"

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
