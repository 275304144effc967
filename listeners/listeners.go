// Package listeners names the transports that a broker can be reached by, and
// opens and closes sets of them. A transport is one function in a Registry; it
// ends in a net.Listener of net.Conns and knows nothing of the core.
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
}

// OpenFunc opens one listener. A connection that it accepts may offer more by
// standard types: SyscallConn, NetConn, ConnectionState.
type OpenFunc func(ctx context.Context, c Config) (net.Listener, error)

// Registry holds the transports by kind.
type Registry map[string]OpenFunc

// Open is an open listener of a Set.
type Open struct {
	Config
	net.Listener
}

// Set is a number of open listeners.
type Set []Open

// Open opens all of cs, or none: when one fails those that were open are closed
// again.
func (r Registry) Open(ctx context.Context, cs ...Config) (Set, error) {
	var set Set
	for _, c := range cs {
		open, ok := r[c.Kind]
		if !ok {
			set.Close()
			return nil, fmt.Errorf("listener %q: unknown kind %q; known are %v", c.Name, c.Kind, r.Kinds())
		}
		ln, err := open(ctx, c)
		if err != nil {
			set.Close()
			return nil, fmt.Errorf("listener %q: %w", c.Name, err)
		}
		set = append(set, Open{c, ln})
	}
	return set, nil
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

// Close closes all listeners of s.
func (s Set) Close() error {
	var errs []error
	for _, l := range s {
		if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
