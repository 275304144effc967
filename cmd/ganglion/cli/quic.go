package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"ganglion/listeners/certs"
	"ganglion/listeners/quic"
)

// quicScheme is of servers that are reached over QUIC.
const quicScheme = "quic://"

// overQUIC returns the server as nats.go is to be given it, and what has nats.go
// reach it over QUIC.
func (c *connection) overQUIC() (server string, opts []nats.Option, err error) {
	u, err := url.Parse(c.Server)
	if err != nil || u.Hostname() == "" || u.Port() == "" {
		return "", nil, fmt.Errorf("server %q is no address; write quic://host:port", c.Server)
	}
	u.Scheme = "nats"
	if c.dialer != nil {
		return u.String(), []nats.Option{nats.SetCustomDialer(c.dialer)}, nil
	}
	cfg := &tls.Config{}
	switch {
	case c.TLSCA != "":
		if cfg.RootCAs, err = roots(c.TLSCA, x509.NewCertPool()); err != nil {
			return "", nil, fmt.Errorf("--tlsca: %w", err)
		}
	case loopback(u.Hostname()):
		// A server of this machine may have its certificates from a CA of this
		// user's own.
		if file, err := certs.DefaultRoot(); err == nil {
			if pool, err := x509.SystemCertPool(); err == nil {
				if pool, err = roots(file, pool); err == nil {
					cfg.RootCAs = pool
				}
			}
		}
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return "", nil, fmt.Errorf("--tlscert, --tlskey: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	c.dialer = &quic.Dialer{Options: quic.DialOptions{TLS: cfg, Lanes: c.Lane}, Timeout: c.Timeout, Share: c.Share}
	return u.String(), []nats.Option{nats.SetCustomDialer(c.dialer)}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// roots adds the certificates in file to pool.
func roots(file string, pool *x509.CertPool) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return pool, nil
}
