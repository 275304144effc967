package daemon

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/leaf"
)

// proxy connects through an HTTP proxy; nil connects directly.
type proxy struct {
	config.LeafProxy
	addr string
	host string
	tls  *tls.Config // nil for http
}

// remoteKey finds a remote's proxy: the broker may hold the remote of an older
// configuration that says the same.
func remoteKey(r *leaf.Remote) string { return r.URLs[0].String() + " " + r.Account }

// proxyOf returns the proxy of a remote, nil for none.
func proxyOf(c *config.LeafRemote) (*proxy, error) {
	if c.Proxy.URL == "" {
		return nil, nil
	}
	u, err := url.Parse(c.Proxy.URL)
	if err != nil {
		return nil, errors.New("its url is none")
	}
	p := &proxy{LeafProxy: c.Proxy, host: u.Hostname()}
	if u.Scheme == "http" {
		p.addr = leafPort(u, "80")
		return p, nil
	}
	p.addr = leafPort(u, "443")
	if p.tls, err = outgoingTLS(&c.Proxy.TLS, c.Proxy.Insecure); p.tls == nil && err == nil {
		p.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return p, err
}

// dial connects to addr.
func (p *proxy) dial(ctx context.Context, network, addr string) (nc net.Conn, err error) {
	if p == nil {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Timeout)
		defer cancel()
	}
	if nc, err = (&net.Dialer{}).DialContext(ctx, network, p.addr); err != nil {
		return nil, fmt.Errorf("failed to connect to proxy: %w", err)
	}
	base := nc
	defer func() {
		if err != nil {
			base.Close()
		}
	}()
	stop := context.AfterFunc(ctx, func() { base.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if p.tls != nil {
		if nc, err = secure(ctx, nc, p.host, p.tls); err != nil {
			return nil, fmt.Errorf("proxy %s: %w", p.addr, err)
		}
	}
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: addr}, Host: addr, Header: http.Header{}}
	if p.User != "" {
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(p.User+":"+p.Password)))
	}
	if err := r.Write(nc); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", p.addr, err)
	}
	br := bufio.NewReader(nc)
	answer, err := http.ReadResponse(br, r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("proxy %s: %w", p.addr, err)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("proxy %s answers %q to CONNECT %s", p.addr, answer.Status, addr)
	case br.Buffered() > 0:
		return nil, fmt.Errorf("proxy %s: the hub speaks before it is asked; there is no WebSocket behind", p.addr)
	}
	if !stop() {
		return nil, fmt.Errorf("proxy %s: %w", p.addr, ctx.Err())
	}
	return nc, nil
}
