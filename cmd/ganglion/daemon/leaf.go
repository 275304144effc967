package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/leaf"
	"ganglion/core/monitor"
	"ganglion/listeners"
	"ganglion/listeners/quic"
	"ganglion/listeners/tcp"
)

// leafPlans are the listeners of leafnodes { }: a port of TCP, and the leafs on the
// port of quic { }.
func (d *Daemon) leafPlans(c *config.Config) ([]plan, error) {
	l := &c.LeafNodes
	p := plan{Config: listeners.Config{Name: config.ListenerLeaf, Kind: tcp.Kind, Host: l.Host, Port: max(l.Port, 0)}}
	p.open = tcp.Opener(tcp.Options{Logger: d.log.Logger})
	p.endpoint = broker.Endpoint{Name: p.Name, Host: l.Host, Port: l.Port, Secure: l.TLS.On}
	p.leaf = &leaf.Endpoint{Name: p.Name, First: l.TLS.First, MapTLS: l.TLS.Map, Account: l.Auth.Account}
	if l.TLS.On {
		cfg, err := tlsConfig(d.certs.TLSConfig(config.SourceLeaf), &l.TLS)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", config.SourceLeaf, err)
		}
		p.leafTLS = cfg
		// What leafs are told of it stays as it was at the start.
		p.leaf.TLS = &tls.Config{MinVersion: cfg.MinVersion, ClientAuth: cfg.ClientAuth, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return d.leafTLS.Load(), nil
		}}
	}
	if !c.QUIC.On {
		return []plan{p}, nil
	}
	q := plan{Config: listeners.Config{Name: config.ListenerLeafQUIC, Kind: quic.Kind, Host: c.QUIC.Host, Port: max(c.QUIC.Port, 0)}}
	q.endpoint = broker.Endpoint{Name: q.Name, Host: c.QUIC.Host, Port: c.QUIC.Port, Secure: true}
	q.leaf = &leaf.Endpoint{Name: q.Name, Secure: true, Account: l.Auth.Account}
	q.open = func(context.Context, listeners.Config) (net.Listener, error) {
		ln, err := quic.ListenLeaf(d.quic)
		if err != nil {
			return nil, err
		}
		return ln, nil
	}
	return []plan{p, q}, nil
}

// webSocketLeafs says what leafs are that come over WebSocket.
func (d *Daemon) webSocketLeafs(secure bool) leaf.Endpoint {
	return leaf.Endpoint{Name: config.ListenerWebSocket, Secure: secure, Account: d.config.LeafNodes.Auth.Account, Type: auth.TypeLeafWS}
}

// leafOptions are the broker's options that leafnodes { } comes to.
func (d *Daemon) leafOptions(c *config.Config) (broker.LeafOptions, error) {
	l := &c.LeafNodes
	o := broker.LeafOptions{
		Isolate: l.Isolate, NoAdvertise: l.NoAdvertise, Limits: l.Limits,
		Dial: map[string]leaf.DialFunc{"quic": dialQUIC},
		Host: l.Host, Port: l.Port, Compression: l.Compression, AuthTimeout: l.Auth.Timeout, Reconnect: l.Reconnect,
	}
	if o.AuthTimeout == 0 && l.TLS.On {
		// As for clients: the handshake comes out of the same time.
		o.AuthTimeout = cmp.Or(l.TLS.Timeout, broker.DefaultTLSTimeout) + leaf.DefaultAuthTimeout
	}
	if open, ok := d.set.Lookup(config.ListenerLeaf); ok {
		o.Port, _ = portOf(open.Addr())
	}
	if l.Advertise != "" {
		o.Advertise = []string{l.Advertise}
	}
	if users := l.Auth.Who(); len(users) > 0 {
		o.Auth = &auth.Options{Users: users, Timeout: l.Auth.Timeout}
	}
	proxies := map[string]*proxy{}
	for i := range l.Remotes {
		r, err := d.remote(&l.Remotes[i])
		if err != nil {
			return o, fmt.Errorf("leafnodes.remotes[%d] (%s): %w", i, l.Remotes[i].Name(), err)
		}
		o.Remotes = append(o.Remotes, r)
		p, err := proxyOf(&l.Remotes[i])
		if err != nil {
			return o, fmt.Errorf("leafnodes.remotes[%d] (%s): proxy: %w", i, l.Remotes[i].Name(), err)
		}
		proxies[remoteKey(r)] = p
	}
	web := func(ctx context.Context, u *url.URL, r *leaf.Remote) (net.Conn, error) {
		return dialWebSocket(ctx, u, r, proxies[remoteKey(r)])
	}
	o.Dial["ws"], o.Dial["wss"] = web, web
	return o, nil
}

// remote makes a hub to be solicited of what the configuration says of it.
func (d *Daemon) remote(c *config.LeafRemote) (*leaf.Remote, error) {
	r := &leaf.Remote{
		Account: c.Account, TLSFirst: c.TLS.First, DenyImports: c.DenyImports, DenyExports: c.DenyExports, NoRandomize: c.NoRandomize,
		Hub: c.Hub, Isolate: c.Isolate, IgnoreDiscovered: c.IgnoreFound, Disabled: c.Disabled, Compression: c.Compression,
		FirstInfoTimeout: c.FirstInfo, WSCompression: c.WSCompression, Limits: c.Limits,
	}
	for _, s := range c.URLs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, errors.New("its url is none") // the error would show it
		}
		r.URLs = append(r.URLs, u)
	}
	var err error
	if r.TLS, err = outgoingTLS(&c.TLS, c.Insecure); err != nil {
		return nil, err
	}
	if c.Insecure {
		d.log.Warn("the remote's certificate is not verified: tls.insecure is meant for tests", "remote", c.Name())
	}
	if c.Credentials == "" && c.NKey == "" {
		return r, nil
	}
	key := remoteKey(r)
	r.Credentials = func() (string, string, func([]byte) ([]byte, error), error) {
		// A reload that only names another file or seed keeps the link, and r.
		for _, now := range d.Config().LeafNodes.Remotes {
			if u, err := url.Parse(now.URLs[0]); err == nil && now.Credentials+now.NKey != "" && key == remoteKey(&leaf.Remote{URLs: []*url.URL{u}, Account: now.Account}) {
				return proof(&now)
			}
		}
		return proof(c)
	}
	return r, nil
}

// proof returns what shows a hub who we are.
func proof(c *config.LeafRemote) (token, nkey string, sign func([]byte) ([]byte, error), err error) {
	if c.Credentials != "" {
		return credentials(c.Credentials)
	}
	file, err := c.SeedFile()
	if err != nil {
		return "", "", nil, err
	}
	seed := []byte(c.NKey)
	if file != "" {
		if seed, err = os.ReadFile(file); err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) { // the name may be a seed with a slip in it
				err = pe.Err
			}
			return "", "", nil, fmt.Errorf("nkey: it is no seed, and as a file it can't be read: %w", err)
		}
	}
	if nkey, sign, err = signer(seed); err != nil {
		return "", "", nil, fmt.Errorf("nkey: %w", err)
	}
	return "", nkey, sign, nil
}

// credentials reads a file of JWT and seed, as nsc writes it.
func credentials(file string) (token, nkey string, sign func([]byte) ([]byte, error), err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", nil, err
	}
	if token, err = jwt.ParseDecoratedJWT(b); err != nil {
		return "", "", nil, fmt.Errorf("%s: %w", file, err)
	}
	if nkey, sign, err = signer(b); err != nil {
		return "", "", nil, fmt.Errorf("%s: %w", file, err)
	}
	return token, nkey, sign, nil
}

// signer returns the public key of the seed that b has, and what signs with it.
func signer(b []byte) (pub string, sign func([]byte) ([]byte, error), err error) {
	kp, err := jwt.ParseDecoratedNKey(b)
	if err != nil {
		if kp, err = nkeys.FromSeed([]byte(strings.TrimSpace(string(b)))); err != nil {
			return "", nil, errors.New("there is no seed in it")
		}
	}
	if pub, err = kp.PublicKey(); err != nil {
		return "", nil, err
	}
	return pub, kp.Sign, nil
}

// outgoingTLS returns how the other end is verified, nil for the system's way.
func outgoingTLS(t *config.TLS, insecure bool) (*tls.Config, error) {
	if !t.On {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: max(t.MinVer, tls.VersionTLS12), CipherSuites: t.Ciphers, CurvePreferences: t.Curves, InsecureSkipVerify: insecure}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca_file %s holds no certificate in PEM form", t.CAFile)
		}
	}
	for _, p := range t.Pairs {
		if _, err := tls.LoadX509KeyPair(p.Cert, p.Key); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
	}
	if len(t.Pairs) > 0 {
		p := t.Pairs[0] // read again at each attempt: it may be renewed
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
			return &pair, err
		}
	}
	if len(t.Pinned) > 0 {
		cfg.VerifyConnection = pinned(t.Pinned)
	}
	return cfg, nil
}

// leafPort fills in what a URL leaves out.
func leafPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dialQUIC connects to the QUIC port of a hub.
func dialQUIC(ctx context.Context, u *url.URL, r *leaf.Remote) (net.Conn, error) {
	c, err := quic.Dial(ctx, leafPort(u, "7422"), quic.DialOptions{TLS: r.TLS, ALPN: quic.ALPNLeaf})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// leafVarz is what /varz says of leafnodes { }.
func (d *Daemon) leafVarz(c *config.Config) monitor.LeafNode {
	l := &c.LeafNodes
	var v monitor.LeafNode
	if l.Listens() {
		v.Host, v.Port = l.Host, l.Port
		if open, ok := d.set.Lookup(config.ListenerLeaf); ok {
			v.Port, _ = portOf(open.Addr())
		}
		v.AuthTimeout, v.TLSTimeout = cmp.Or(l.Auth.Timeout, leaf.DefaultAuthTimeout).Seconds(), cmp.Or(l.TLS.Timeout, broker.DefaultTLSTimeout).Seconds()
		v.TLSRequired, v.TLSVerify = l.TLS.On, l.TLS.Verify
	}
	for i := range l.Remotes {
		r := &l.Remotes[i]
		x := monitor.RemoteLeaf{Account: cmp.Or(r.Account, account.Global)}
		for _, s := range r.URLs {
			if u, err := url.Parse(s); err == nil {
				x.URLs = append(x.URLs, u.Host)
			}
		}
		if len(r.DenyExports) > 0 || len(r.DenyImports) > 0 {
			x.Deny = &monitor.Denied{Exports: r.DenyExports, Imports: r.DenyImports}
		}
		v.Remotes = append(v.Remotes, x)
	}
	return v
}
