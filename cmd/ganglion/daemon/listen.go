package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/leaf"
	"ganglion/listeners"
	"ganglion/listeners/certs"
	"ganglion/listeners/quic"
	"ganglion/listeners/tcp"
	"ganglion/listeners/websocket"
	"ganglion/listeners/webtransport"
	"ganglion/web"
)

// plan is one listener to be: how it is opened and what its connections are.
type plan struct {
	listeners.Config
	open     listeners.OpenFunc
	endpoint broker.Endpoint
	quicTLS  *tls.Config    // of the UDP port; nil for other listeners
	leaf     *leaf.Endpoint // of listeners of leafs; nil for clients
	leafTLS  *tls.Config
}

// plans returns the listeners that c asks for, the client listener first.
func (d *Daemon) plans(c *config.Config) ([]plan, error) {
	client, err := d.streamPlan(config.ListenerTCP, config.Listener{
		Kind: tcp.Kind, Host: c.Host, Port: c.Port, TLS: c.TLS, ProxyProtocol: c.ProxyProtocol, ProxyFrom: c.ProxyFrom,
	}, config.SourceClient, c)
	if err != nil {
		return nil, err
	}
	all := []plan{client}
	if c.WebSocket.On {
		p, err := d.webSocketPlan(c)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if c.QUIC.On {
		ps, err := d.quicPlans(c)
		if err != nil {
			return nil, err
		}
		all = append(all, ps...)
	}
	if c.LeafNodes.Listens() {
		ps, err := d.leafPlans(c)
		if err != nil {
			return nil, err
		}
		all = append(all, ps...)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Listeners)) {
		if config.BuiltIn(name) {
			continue
		}
		p, err := d.streamPlan(name, c.Listeners[name], name, c)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	for i := range all {
		if l, ok := c.Listeners[all[i].Name]; ok {
			all[i].Limits = listeners.Limits{MaxConns: l.MaxConns, MaxPerAddr: l.MaxPerAddr, AcceptRate: float64(l.AcceptRate)}
		}
	}
	return all, nil
}

// streamPlan is a listener on which sessions follow each other without frames.
func (d *Daemon) streamPlan(name string, l config.Listener, source string, c *config.Config) (plan, error) {
	p := plan{Config: listeners.Config{Name: name, Kind: l.Kind, Host: l.Host, Port: max(l.Port, 0), Path: l.Path}}
	if name == config.ListenerTCP {
		if own, ok := c.Listeners[name]; ok && own.ProxyProtocol {
			l.ProxyProtocol, l.ProxyFrom = true, own.ProxyFrom
		}
	} else {
		p.endpoint.Host, p.endpoint.Port = l.Host, l.Port
	}
	// nats-server takes connections without a header too; who names the load
	// balancers means that theirs have one.
	p.open = tcp.Opener(tcp.Options{
		ProxyProtocol: l.ProxyProtocol, ProxyFrom: l.ProxyFrom, ProxyOptional: len(l.ProxyFrom) == 0, Logger: d.log.Logger,
	})
	if l.Kind == tcp.UnixKind {
		p.open = tcp.OpenUnix
		p.endpoint.Host, p.endpoint.Port = "", 0
	}
	p.endpoint.Name, p.endpoint.MapTLS = name, l.TLS.Map
	var err error
	p.endpoint.TLS, err = endpointTLS(d.certs, source, &l.TLS, c.AllowNonTLS && name == config.ListenerTCP, c.Listeners[name].MaxHandshakes)
	return p, err
}

// webSocketPlan is the listener of websocket { }.
func (d *Daemon) webSocketPlan(c *config.Config) (plan, error) {
	ws := &c.WebSocket
	p := plan{Config: listeners.Config{Name: config.ListenerWebSocket, Kind: websocket.Kind, Host: ws.Host, Port: max(ws.Port, 0)}}
	p.endpoint = broker.Endpoint{Name: p.Name, Host: ws.Host, Port: ws.Port, Secure: ws.TLS.On, MapTLS: ws.TLS.Map, PingInterval: ws.PingInterval}
	o, err := d.webSocketOptions(c)
	if err != nil {
		return p, err
	}
	open, err := websocket.Opener(o)
	if err != nil {
		return p, err
	}
	p.open = func(ctx context.Context, lc listeners.Config) (net.Listener, error) {
		ln, err := open(ctx, lc)
		if err == nil {
			d.webSocket = ln.(*websocket.Listener)
		}
		return ln, err
	}
	return p, nil
}

func (d *Daemon) webSocketOptions(c *config.Config) (websocket.Options, error) {
	ws := &c.WebSocket
	o := websocket.Options{
		SameOrigin: ws.SameOrigin, AllowedOrigins: ws.AllowedOrigins, Compression: ws.Compression, HandshakeTimeout: ws.HandshakeTimeout,
		MaxHandshakes: c.Listeners[config.ListenerWebSocket].MaxHandshakes, Headers: ws.Headers, ForwardedFrom: ws.ForwardedFrom, Leaf: c.LeafNodes.Listens(), Logger: d.log.Logger,
	}
	if m := c.Broker.MaxPayload; m > 0 {
		o.MaxCompressed = 2*m + 64<<10
	}
	if !ws.NoPage {
		o.Handler = web.HandlerWith(d.edge)
	}
	if ws.TLS.On {
		cfg, err := tlsConfig(d.certs.TLSConfig(c.WebSocketSource()), &ws.TLS)
		if err != nil {
			return o, fmt.Errorf("%s: %w", config.SourceWebSocket, err)
		}
		cfg.NextProtos = []string{"http/1.1"}
		o.HandshakeTimeout = cmp.Or(ws.HandshakeTimeout, ws.TLS.Timeout)
		rate := handshakeRate(&ws.TLS)
		o.Secure = func(nc net.Conn) net.Conn {
			if rate != nil && !rate.Take(time.Now(), 1) {
				nc.Close() // reading it fails then, before any handshake
			}
			return broker.TLSServer(nc, cfg)
		}
	}
	return o, nil
}

// listen opens all listeners, or none.
func (d *Daemon) listen(ctx context.Context) error {
	plans, err := d.plans(d.config)
	if err != nil {
		return err
	}
	d.leafs = map[string]leaf.Endpoint{}
	for _, p := range plans {
		set, err := listeners.Registry{p.Kind: p.open}.Open(ctx, p.Config)
		if err != nil {
			d.set.Close()
			d.set = nil
			return hint(err, p.Port)
		}
		d.set = append(d.set, set...)
		if a, ok := portOf(set[0].Addr()); ok && p.endpoint.Port != 0 {
			p.endpoint.Port = a
		}
		d.endpoints = append(d.endpoints, p.endpoint)
		if p.leaf != nil {
			d.leafs[p.Name] = *p.leaf
			d.leafTLS.CompareAndSwap(nil, p.leafTLS)
		}
	}
	if !needsHTTP01(d.config) {
		return nil
	}
	port := d.config.ACMEPort
	if port == 0 {
		port = config.DefaultACMEPort
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(d.config.Host, strconv.Itoa(port)))
	switch {
	case err == nil:
		d.serveHTTP(ln, d.certs.HTTPHandler(http.HandlerFunc(toHTTPS)))
		d.log.Info("Starting http listener for ACME challenges", "address", ln.Addr().String())
	case d.config.Domain != "":
		return hint(fmt.Errorf("cannot listen for ACME challenges: %w", err), port)
	default:
		d.log.Warn("cannot listen for ACME challenges over http; other challenges are still tried", "error", err)
	}
	return nil
}

// portOf returns the port of an address that has one.
func portOf(a net.Addr) (int, bool) {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.Port, true
	case *net.UDPAddr:
		return a.Port, true
	}
	return 0, false
}

// hint adds to err what helps when port needs privilege.
func hint(err error, port int) error {
	if port > 0 && port < 1024 && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; port %d needs privilege: run `setcap cap_net_bind_service=+ep` on the binary, or choose another port (--https-port, --http-port) and forward %d to it", err, port, port)
	}
	return err
}

// toHTTPS sends browsers from the port of the challenges to the page.
func toHTTPS(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
}

// serveAll has the broker accept on every listener.
func (d *Daemon) serveAll() {
	serve := func(name string, f func() error) {
		d.serving.Go(func() {
			if err := f(); err != nil && !errors.Is(err, broker.ErrClosed) {
				d.log.Error("listener failed", "listener", name, "error", err)
			}
		})
	}
	for i := range d.set {
		l := &d.set[i]
		if e, ok := d.leafs[l.Name]; ok {
			serve(l.Name, func() error { return d.broker.ServeLeaf(l.Listener, e) })
			continue
		}
		if l.Kind == websocket.Kind && d.config.LeafNodes.Listens() {
			clients, leafs := split(l.Listener)
			l.Listener = clients
			e := d.webSocketLeafs(d.endpoints[i].Secure)
			serve(l.Name, func() error { return d.broker.ServeLeaf(leafs, e) })
		}
		serve(l.Name, func() error { return d.broker.Serve(l.Listener, d.endpoints[i]) })
	}
	for i, l := range d.set[1:] {
		if _, ok := d.leafs[l.Name]; ok {
			d.log.Info("Listening for leafnode connections", "listener", l.Name, "kind", l.Kind, "address", l.Addr().String())
			continue
		}
		scheme := "listener"
		switch l.Kind {
		case quic.Kind, webtransport.Kind:
			scheme = l.Kind
		case websocket.Kind:
			scheme = "ws"
			if d.endpoints[i+1].Secure {
				scheme = "wss"
			}
		}
		d.log.Info("Listening for client connections", "listener", l.Name, "kind", scheme, "address", l.Addr().String())
	}
}

// prepareListeners makes the certificates and endpoints of c; connections that
// exist keep theirs. Where to listen does not change.
func (d *Daemon) prepareListeners(c *config.Config) (commit, abort func(), err error) {
	swap, abort, err := d.certs.Prepare(certs.Options{Sources: c.Sources(), Logger: d.log.Logger})
	if err != nil {
		return nil, nil, err
	}
	// What the new configuration means is worked out before anything changes;
	// certificates of sources are looked up by name when they are needed.
	plans, err := d.plans(c)
	if err != nil {
		abort()
		return nil, nil, err
	}
	for _, p := range plans {
		if l, ok := d.set.Lookup(p.Name); !ok || l.Host != p.Host || l.Path != p.Path || p.Port > 0 && l.Port != p.Port {
			abort()
			return nil, nil, fmt.Errorf("listener %q can't be opened or moved while the server runs; restart it", p.Name)
		}
	}
	var ws *websocket.Options
	if c.WebSocket.On {
		o, err := d.webSocketOptions(c)
		if err != nil {
			abort()
			return nil, nil, err
		}
		ws = &o
	}
	commit = func() {
		swap()
		d.state.Lock()
		defer d.state.Unlock()
		for _, p := range plans {
			for i, l := range d.set {
				if l.Name != p.Name {
					continue
				}
				if err := l.Gate.SetLimits(p.Limits); err != nil {
					d.log.Error("listener limits", "listener", l.Name, "error", err)
				}
				if p.leaf != nil {
					if p.leafTLS != nil {
						d.leafTLS.Store(p.leafTLS)
					}
					continue
				}
				e := p.endpoint
				e.Host, e.Port = d.endpoints[i].Host, d.endpoints[i].Port
				d.endpoints[i] = e
				d.broker.SetEndpoint(l.Listener, e)
				var err error
				switch {
				case l.Kind == websocket.Kind && ws != nil:
					err = d.webSocket.Set(*ws)
				case l.Kind == quic.Kind:
					d.quic.SetTLS(p.quicTLS)
				case l.Kind == webtransport.Kind:
					err = d.webTransport.Set(webTransportOptions(c, d))
				}
				if err != nil {
					d.log.Error("listener options", "listener", l.Name, "error", err)
				}
			}
		}
	}
	return commit, abort, nil
}
