// Package listeners names the transports that a broker can be reached by, and
// opens, limits and closes sets of them. A transport is one function in a
// Registry; it ends in a net.Listener of net.Conns and knows nothing of the core.
//
// What a Registry opens stands behind a Gate, which counts connections, refuses
// those above the listener's Limits, delays those that come too fast, and can be
// paused.
package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
)

// Config says where one listener listens.
type Config struct {
	// Name of the listener in logs, monitoring and hooks, e.g. "tcp".
	Name string
	// Kind is the transport, a key of the Registry.
	Kind string
	// Host and Port to bind; port 0 takes a free one.
	Host string
	Port int
	// Path of a unix socket, for the transports that have one.
	Path string
	// Limits on the listener's connections; none by default.
	Limits Limits
}

// OpenFunc opens one listener. A connection that it accepts may offer more by
// standard types: SyscallConn, CloseWrite, NetConn, ConnectionState, Request.
// If its Close may wait for the peer, it should offer CloseNow() error for a
// refusal. A listener that turns connections away itself may offer
// Refused() uint64, their number, for Stats.
type OpenFunc func(ctx context.Context, c Config) (net.Listener, error)

// Registry holds the transports by kind.
type Registry map[string]OpenFunc

// Open is an open listener of a Set.
type Open struct {
	Config
	// Listener is the Gate.
	net.Listener
	// Gate is what the listener's connections come through: pause, limits and
	// statistics.
	Gate *Gate
}

// Set is a number of open listeners.
type Set []Open

// Open opens all of cs, or none: when one fails those that were open are closed
// again. Names must differ.
func (r Registry) Open(ctx context.Context, cs ...Config) (Set, error) {
	var set Set
	for _, c := range cs {
		o, err := r.open(ctx, set, c)
		if err != nil {
			set.Close()
			return nil, fmt.Errorf("listener %q: %w", c.Name, err)
		}
		set = append(set, o)
	}
	return set, nil
}

// open opens c, which is to join set.
func (r Registry) open(ctx context.Context, set Set, c Config) (Open, error) {
	if _, taken := set.Lookup(c.Name); taken {
		return Open{}, errors.New("two listeners have this name; give each one of its own")
	}
	if err := c.Limits.Check(); err != nil {
		return Open{}, err
	}
	open, ok := r[c.Kind]
	if !ok {
		return Open{}, fmt.Errorf("unknown kind %q; known are %v", c.Kind, r.Kinds())
	}
	ln, err := open(ctx, c)
	if err != nil {
		return Open{}, err
	}
	g := NewGate(ln, c)
	return Open{c, g, g}, nil
}

// Kinds returns the kinds of r, sorted.
func (r Registry) Kinds() []string {
	ks := make([]string, 0, len(r))
	for k := range r {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// Lookup returns the listener with the given name.
func (s Set) Lookup(name string) (Open, bool) {
	for _, l := range s {
		if l.Name == name {
			return l, true
		}
	}
	return Open{}, false
}

// Stats returns the statistics of all listeners of s, in its order.
func (s Set) Stats() []Stats {
	all := make([]Stats, 0, len(s))
	for _, l := range s {
		all = append(all, l.Gate.Stats())
	}
	return all
}

// Close closes all listeners of s. Connections that they accepted stay.
func (s Set) Close() error {
	var errs []error
	for _, l := range s {
		if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
