package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/monitor"
	"ganglion/listeners"
	"ganglion/listeners/quic"
	"ganglion/listeners/webtransport"
	"ganglion/web"
)

// quicDrain is how long a stopping server waits for clients over QUIC to have got
// their last bytes.
const quicDrain = 2 * time.Second

// quicPlans are the listeners of quic { } and webtransport { }, which share a port.
func (d *Daemon) quicPlans(c *config.Config) ([]plan, error) {
	q := &c.QUIC
	cfg, err := tlsConfig(d.certs.TLSConfig(c.QUICSource()), &q.TLS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.SourceQUIC, err)
	}
	if q.TLS.Internal.On {
		forAnyName(cfg)
	}
	o := quic.Options{
		TLS: cfg, MaxConns: q.MaxConns, MaxStreams: q.MaxStreams, MaxHandshakes: q.MaxHandshakes, RetryRate: q.RetryRate, MaxLanes: q.MaxLanes,
		HandshakeTimeout: cmp.Or(q.HandshakeTimeout, q.TLS.Timeout), IdleTimeout: q.IdleTimeout, KeepAlive: q.KeepAlive, No0RTT: q.NoEarlyData,
		Datagrams: c.WebTransport.On, Logger: d.log.Logger,
	}
	p := plan{Config: listeners.Config{Name: config.ListenerQUIC, Kind: quic.Kind, Host: q.Host, Port: max(q.Port, 0)}}
	p.endpoint = broker.Endpoint{Name: p.Name, Host: q.Host, Port: q.Port, Secure: true, Type: auth.TypeQUIC, MapTLS: q.TLS.Map, PingInterval: q.PingInterval}
	p.quicTLS = cfg
	p.open = func(ctx context.Context, lc listeners.Config) (net.Listener, error) {
		port, err := quic.OpenPort(ctx, lc.Host, lc.Port, o)
		if err != nil {
			return nil, err
		}
		d.quic = port
		return quic.Listen(port)
	}
	plans := []plan{p}
	if !c.WebTransport.On {
		return plans, nil
	}
	w := p
	w.Name, w.Kind = config.ListenerWebTransport, webtransport.Kind
	w.endpoint.Name, w.endpoint.Type, w.endpoint.PingInterval = w.Name, auth.TypeWebTransport, c.WebTransport.PingInterval
	w.open = func(context.Context, listeners.Config) (net.Listener, error) {
		ln, err := webtransport.Listen(d.quic, webTransportOptions(c, d))
		if err != nil {
			return nil, err
		}
		d.webTransport = ln
		return ln, nil
	}
	return append(plans, w), nil
}

func webTransportOptions(c *config.Config, d *Daemon) webtransport.Options {
	return webtransport.Options{
		SameOrigin: c.WebTransport.SameOrigin, AllowedOrigins: c.WebTransport.AllowedOrigins, MaxStreams: c.QUIC.MaxStreams,
		MaxLanes: c.QUIC.MaxLanes, HandshakeTimeout: c.QUIC.HandshakeTimeout, Logger: d.log.Logger,
	}
}

// closeQUIC closes the UDP port once its connections are gone.
func (d *Daemon) closeQUIC() {
	if d.quic == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), quicDrain)
	defer cancel()
	d.quic.Drain(ctx)
	if err := d.quic.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		d.log.Warn("closing the QUIC port", "error", err)
	}
}

// quicSamples are the port's numbers for /metrics.
func (d *Daemon) quicSamples() []monitor.Sample {
	s := d.quic.Stats()
	gauge := func(name, help string, v int) monitor.Sample {
		return monitor.Sample{Name: "quic_" + name, Help: help, Value: float64(v)}
	}
	counter := func(name, help string, v uint64) monitor.Sample {
		return monitor.Sample{Name: "quic_" + name + "_total", Help: help, Counter: true, Value: float64(v)}
	}
	return []monitor.Sample{
		gauge("connections", "QUIC connections, of clients and of WebTransport.", s.Conns),
		gauge("handshakes", "QUIC handshakes under way.", s.Handshakes),
		counter("accepted", "QUIC connections accepted.", s.Accepted),
		counter("refused", "QUIC connections refused because there were too many.", s.Refused),
		counter("retried", "Clients made to show that their address is theirs.", s.Retried),
		counter("failed_handshakes", "QUIC handshakes that failed.", s.Failed),
		counter("resumed", "Sessions taken up again.", s.Resumed),
		counter("early", "Sessions taken up again with early data.", s.Early),
		counter("malformed", "Streams without a preamble.", s.Malformed),
		counter("migrations", "Changes of clients' addresses.", s.Migrations),
		counter("packets_sent", "Packets sent.", s.PacketsSent),
		counter("packets_lost", "Packets lost on the way to clients.", s.PacketsLost),
	}
}

// forAnyName has clients that name no host get one and the same certificate, as
// long as that is for the address that they came to, so that its hash can be told
// beforehand.
func forAnyName(cfg *tls.Config) {
	get := cfg.GetCertificate
	if get == nil {
		return
	}
	cfg.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName != "" || h.Conn == nil {
			return get(h)
		}
		c, err := get(&tls.ClientHelloInfo{SupportedProtos: h.SupportedProtos, SignatureSchemes: h.SignatureSchemes, SupportedVersions: h.SupportedVersions, SupportedCurves: h.SupportedCurves, CipherSuites: h.CipherSuites})
		host, _, _ := net.SplitHostPort(h.Conn.LocalAddr().String())
		if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() || c.Leaf == nil || c.Leaf.VerifyHostname(host) == nil {
			return c, err
		}
		return get(h)
	}
}

// edge tells pages where WebTransport is.
func (d *Daemon) edge() web.Edge {
	if d.webTransport == nil {
		return web.Edge{}
	}
	port, _ := portOf(d.quic.Addr())
	w := &web.WebTransport{Port: port, Path: "/nats"}
	c := d.Config()
	if !c.QUIC.TLS.Internal.On {
		return web.Edge{WebTransport: w}
	}
	// Browsers know no CA of ours, but take its certificates, which don't live
	// long, by their hashes.
	cfg, err := tlsConfig(d.certs.TLSConfig(c.QUICSource()), &c.QUIC.TLS)
	if err != nil {
		return web.Edge{}
	}
	for _, name := range []string{"localhost", ""} {
		if crt, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: name}); err == nil {
			sum := sha256.Sum256(crt.Certificate[0])
			w.Hashes = append(w.Hashes, sum[:])
		}
	}
	return web.Edge{WebTransport: w}
}
