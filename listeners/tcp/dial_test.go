package tcp_test

import (
	"context"
	"net"

	"github.com/pires/go-proxyproto"
)

// dialV1 and dialV2 connect as a load balancer does that forwards a client with
// the address of the connection itself, which the suite can compare.
func dialV1(ctx context.Context, ln net.Listener) (net.Conn, error) { return dialProxied(ctx, ln, 1) }
func dialV2(ctx context.Context, ln net.Listener) (net.Conn, error) { return dialProxied(ctx, ln, 2) }

func dialProxied(ctx context.Context, ln net.Listener, version byte) (net.Conn, error) {
	c, err := dial(ctx, ln)
	if err != nil {
		return nil, err
	}
	if _, err := proxyproto.HeaderProxyFromAddrs(version, c.LocalAddr(), c.RemoteAddr()).WriteTo(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
