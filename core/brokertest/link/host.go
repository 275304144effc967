package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
)

// Host is one end of a link: a network namespace with a loopback and an
// interface to the link. Its methods may be called from any goroutine.
type Host struct {
	name  string
	addr  func() netip.Addr
	space *namespace
}

// Addr returns the host's address on the link; [Link.Renumber] changes near's.
// Far sees near under [Link.Outside].
func (h *Host) Addr() netip.Addr { return h.addr() }

// URL returns an address of the host as a URL, as in nats://10.2.0.1:4222.
func (h *Host) URL(scheme string, port int) string {
	return scheme + "://" + net.JoinHostPort(h.Addr().String(), strconv.Itoa(port))
}

// Do calls f in the host's namespace, on the goroutine of the caller: the sockets
// that f makes are the host's. Goroutines that f starts run outside; so give
// servers a listener of [Host.Listen]. Calls may be nested.
func (h *Host) Do(f func() error) error {
	return h.space.do(f)
}

// Listen is net.Listen on the host. The address is ":port", or a literal one.
func (h *Host) Listen(network, address string) (ln net.Listener, err error) {
	if err := literal(address, true); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", h.name, err)
	}
	err = h.Do(func() error {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// ListenPacket is net.ListenPacket on the host, and gives a *net.UDPConn for udp
// networks. With ":0" the socket is bound to no address and outlives
// [Link.Renumber].
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	if err := literal(address, true); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", h.name, err)
	}
	err = h.Do(func() error {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// DialContext is the method of net.Dialer from the host. The address is a
// literal one with a port: a resolver, and a race between several addresses, would
// run outside the namespace.
func (h *Host) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	if err := literal(address, false); err != nil {
		return nil, fmt.Errorf("dial from %s: %w", h.name, err)
	}
	err = h.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Dial is DialContext without a context, so that a Host is a dialer for nats.go
// (nats.SetCustomDialer). TCP's own timeouts hold: about two minutes for a link that is black.
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, address)
}

// Start starts a process on the host. The caller waits for it; make it with
// exec.CommandContext and the test's context, so that it ends with the test. It
// reaches the test over the link and over files and pipes, not over a loopback.
func (h *Host) Start(cmd *exec.Cmd) error {
	return h.Do(cmd.Start)
}

// literal refuses addresses that need a resolver.
func literal(address string, wildcard bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %q in %q is not a number; names are not resolved", port, address)
	}
	if host == "" && wildcard {
		return nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("host %q in %q is not an IP address; names are not resolved, take one like %s", host, address, farAddr)
	}
	if addr.IsUnspecified() && !wildcard {
		return fmt.Errorf("%q is the dialling host itself; listen on its Addr() instead of on all addresses, or dial that", address)
	}
	return nil
}
