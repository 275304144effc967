package broker

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/leaf"
	"ganglion/core/wire"
)

// LeafOptions say which hubs are solicited and how leafs are accepted.
type LeafOptions struct {
	// Remotes are the hubs.
	Remotes []*leaf.Remote
	// Dial holds transports by the scheme of remotes' URLs, beside plain TCP.
	Dial map[string]leaf.DialFunc
	// Host, Port and Advertise are what leafs are told.
	Host      string
	Port      int
	Advertise []string
	// NoAdvertise has leafs told no addresses.
	NoAdvertise bool
	// Cluster is the name of the cluster that this server says it is of, "" for its
	// own name; Domain is its JetStream domain.
	Cluster, Domain string
	// Compression of accepted links; "" is leaf.Auto.
	Compression leaf.Compression
	AuthTimeout time.Duration // 0 is leaf.DefaultAuthTimeout
	Reconnect   time.Duration // 0 is leaf.DefaultReconnect
	Handshake   time.Duration // 0 is leaf.DefaultHandshake
	Isolate     bool          // no leaf is told what others want
	Limits      leaf.Limits   // of accepted links
	// Auth says who may join as a leaf, where that is other than for clients.
	Auth *auth.Options
}

// leafOptions derives what links go by from o.
func (b *Broker) leafOptions(o *Options, a *auth.Authenticator) (leaf.Options, error) {
	l := &o.Leaf
	if l.Auth != nil {
		lo := *o
		lo.Auth = *l.Auth
		own, err := b.authenticator(&lo)
		if err != nil {
			return leaf.Options{}, fmt.Errorf("leafnodes: authorization: %w", err)
		}
		a = own
	}
	name := o.ServerName
	if name == "" {
		name = b.keys.ID
	}
	known := func(name string) bool {
		return b.accounts.Get(name) != nil || slices.ContainsFunc(o.Accounts, func(s account.Spec) bool { return s.Name == name })
	}
	return leaf.Options{
		Known: known, ServerID: b.keys.ID, ServerName: name, Version: wire.Version, Cluster: l.Cluster, Domain: l.Domain,
		Host: l.Host, Port: l.Port, Advertise: l.Advertise, NoAdvertise: l.NoAdvertise, Loop: b.loop, Limits: b.clients.Limits(), Accounts: b.accounts, Auth: a,
		MaxPayload: o.MaxPayload, MaxControlLine: o.MaxControlLine, PingInterval: o.PingInterval, PingMax: o.PingMax, AuthTimeout: l.AuthTimeout,
		Compression: l.Compression, Reconnect: l.Reconnect, Handshake: l.Handshake, NoHeaders: o.NoHeaders, Isolate: l.Isolate, LeafLimits: l.Limits, Dial: l.Dial, Remotes: l.Remotes,
		NextID: b.clients.NextID, Events: b.events, Log: o.Logger,
	}, nil
}

// ServeLeaf accepts leafs of ln until it is closed, as Serve does clients.
func (b *Broker) ServeLeaf(ln net.Listener, e leaf.Endpoint) error {
	b.mu.Lock()
	if b.closed || b.lameDuck {
		b.mu.Unlock()
		ln.Close()
		return ErrClosed
	}
	b.leafListeners[ln] = struct{}{}
	b.accepting.Add(1)
	b.mu.Unlock()
	defer b.accepting.Done()
	defer func() {
		b.mu.Lock()
		delete(b.leafListeners, ln)
		b.mu.Unlock()
	}()
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			b.leafs.Serve(nc, &e)
		case b.stopping() || errors.Is(err, net.ErrClosed):
			return nil
		default:
			var ne net.Error
			if !errors.As(err, &ne) {
				return fmt.Errorf("broker: accept on %s: %w", e.Name, err)
			}
			b.log.Error("accept failed, retrying", "listener", e.Name, "error", err)
			select {
			case <-b.done:
				return nil
			case <-time.After(acceptPause):
			}
		}
	}
}

// acceptPause is how long accepting leafs pauses when the process is out of
// descriptors.
const acceptPause = 100 * time.Millisecond

// Leafs returns the links to other servers.
func (b *Broker) Leafs() *leaf.Manager { return b.leafs }
