package daemon

import (
	"cmp"
	"net"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/monitor"
	"ganglion/listeners/certs"
	"ganglion/listeners/websocket"
)

// complete adds the listeners and their certificates to what monitoring shows.
func (d *Daemon) complete(v *monitor.Varz) {
	d.state.RLock()
	defer d.state.RUnlock()
	c := d.config
	v.TLSRequired, v.TLSVerify = c.TLS.On && !c.AllowNonTLS, c.TLS.Verify
	v.TLSTimeout = cmp.Or(c.TLS.Timeout, broker.DefaultTLSTimeout).Seconds()
	if d.httpsLn != nil {
		v.HTTPSPort = d.httpsLn.Addr().(*net.TCPAddr).Port
	}
	v.Leaf = d.leafVarz(c)
	bySource := map[string][]monitor.Certificate{}
	for _, i := range d.certs.Certificates() {
		bySource[i.Source] = append(bySource[i.Source], certificate(i))
	}
	v.TLSCertNotAfter = firstEnd(bySource[config.SourceClient])
	v.Leaf.CertNotAfter = firstEnd(bySource[config.SourceLeaf])
	for i, s := range d.set.Stats() {
		l := monitor.Listener{
			Name: s.Name, Kind: s.Kind, Address: s.Addr, Connections: s.Open, Accepted: s.Accepted,
			Delayed: s.Delayed, Paused: s.Paused, Closed: s.Closed,
			TLS: d.endpoints[i].Secure || d.endpoints[i].TLS != nil, Certificates: bySource[sourceOf(c, s.Name)],
			Refused: map[string]uint64{"max_connections": s.RefusedMax, "max_connections_per_address": s.RefusedPerAddr, "transport": s.RefusedTransport},
		}
		v.Listeners = append(v.Listeners, l)
		if s.Kind == websocket.Kind {
			ws := &c.WebSocket
			v.Websocket = monitor.WebSocket{
				Host: ws.Host, Port: d.endpoints[i].Port, NoTLS: ws.NoTLS, SameOrigin: ws.SameOrigin,
				AllowedOrigins: ws.AllowedOrigins, Compression: ws.Compression, CertNotAfter: firstEnd(bySource[c.WebSocketSource()]),
			}
		}
	}
}

// sourceOf returns where the certificates of the listener name come from.
func sourceOf(c *config.Config, name string) string {
	switch name {
	case config.ListenerTCP:
		return config.SourceClient
	case config.ListenerWebSocket:
		return c.WebSocketSource()
	case config.ListenerLeaf:
		return config.SourceLeaf
	case config.ListenerQUIC, config.ListenerWebTransport, config.ListenerLeafQUIC:
		return c.QUICSource()
	}
	return name
}

func certificate(i certs.Info) monitor.Certificate {
	return monitor.Certificate{
		Kind: i.Kind, Names: i.Names, Issuer: i.Issuer, NotBefore: i.NotBefore, NotAfter: i.NotAfter,
		Fingerprint: i.Fingerprint, LastError: i.LastError, NextTry: i.NextTry,
	}
}

// firstEnd returns when the first of cs ends.
func firstEnd(cs []monitor.Certificate) time.Time {
	var end time.Time
	for _, c := range cs {
		if end.IsZero() || !c.NotAfter.IsZero() && c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return end
}
