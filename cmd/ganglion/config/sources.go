package config

import (
	"reflect"
	"slices"

	"ganglion/listeners/certs"
)

// Names of certificate sources, besides those of the listeners { } block.
const (
	SourceClient    = "tls"
	SourceWebSocket = "websocket.tls"
)

// WebSocketSource returns where the WebSocket listener's certificates come from:
// the client listener's, if both say the same, so that they are fetched once and
// change on both at once.
func (c *Config) WebSocketSource() string {
	a, b := &c.TLS, &c.WebSocket.TLS
	if a.On && b.On && reflect.DeepEqual(a.ACME, b.ACME) && reflect.DeepEqual(a.Internal, b.Internal) && slices.Equal(a.Pairs, b.Pairs) {
		return SourceClient
	}
	return SourceWebSocket
}

// Sources returns where c's certificates come from, by the names that
// certs.Manager.TLSConfig takes.
func (c *Config) Sources() map[string]certs.Source {
	m := map[string]certs.Source{}
	add := func(name string, t *TLS) {
		if t.On {
			m[name] = source(t, c)
		}
	}
	add(SourceClient, &c.TLS)
	if c.WebSocketSource() == SourceWebSocket {
		add(SourceWebSocket, &c.WebSocket.TLS)
	}
	add(SourceLeaf, &c.LeafNodes.TLS)
	if c.QUICSource() == SourceQUIC {
		add(SourceQUIC, &c.QUIC.TLS)
	}
	for name, l := range c.Listeners {
		add(name, &l.TLS)
	}
	return m
}

func source(t *TLS, c *Config) certs.Source {
	switch {
	case t.ACME.On:
		a := t.ACME
		s := &certs.ACME{Domains: a.Domains, Email: a.Email, CA: a.CA, CARoots: a.CARoots, Challenges: a.Challenges, Storage: a.Storage, HTTPPort: c.ACMEPort, TLSALPNPort: c.WebSocket.Port}
		if a.OnDemand {
			s.OnDemand = &certs.OnDemand{Ask: a.Ask}
		}
		return certs.Source{ACME: s}
	case t.Internal.On:
		return certs.Source{Internal: &certs.Internal{Storage: t.Internal.Storage, Hosts: t.Internal.Hosts}}
	}
	var pairs []certs.Pair
	for _, p := range t.Pairs {
		pairs = append(pairs, certs.Pair{Cert: p.Cert, Key: p.Key})
	}
	return certs.Source{Files: pairs}
}
