package daemon

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"slices"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/limit"
	"ganglion/listeners/certs"
)

// maxHandshakes bounds the TLS handshakes of one listener that are under way,
// where max_handshakes does not: each takes some 40 KiB and half a millisecond of
// a core.
const maxHandshakes = 1024

// needsHTTP01 reports whether some certificate of c is to be had through a
// challenge over HTTP.
func needsHTTP01(c *config.Config) bool {
	for _, s := range c.Sources() {
		if a := s.ACME; a != nil && (len(a.Challenges) == 0 || slices.Contains(a.Challenges, certs.HTTP01)) {
			return true
		}
	}
	return false
}

// tlsConfig returns what t says, with the live certificates of base.
func tlsConfig(base *tls.Config, t *config.TLS) (*tls.Config, error) {
	cfg := base.Clone()
	cfg.MinVersion = max(t.MinVer, tls.VersionTLS12)
	cfg.CipherSuites, cfg.CurvePreferences = t.Ciphers, t.Curves
	// A flush is one write already, so short records would only cost more.
	cfg.DynamicRecordSizingDisabled = true
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file %s holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.Verify {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if len(t.Pinned) > 0 {
		if cfg.ClientAuth == tls.NoClientCert {
			cfg.ClientAuth = tls.RequireAnyClientCert
		}
		cfg.VerifyConnection = pinned(t.Pinned)
	}
	return cfg, nil
}

// pinned refuses peers whose public key is not among those listed by their
// SHA-256 in hex.
func pinned(keys []string) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return fmt.Errorf("the client shows no certificate, and pinned_certs are required")
		}
		sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
		if key := hex.EncodeToString(sum[:]); !slices.Contains(keys, key) {
			return fmt.Errorf("the client's certificate is not among pinned_certs (its key is %s)", key)
		}
		return nil
	}
}

// endpointTLS returns how connections become TLS as t says, nil for not at all.
func endpointTLS(m *certs.Manager, name string, t *config.TLS, allowPlain bool, handshakes int) (*broker.TLS, error) {
	if !t.On {
		return nil, nil
	}
	cfg, err := tlsConfig(m.TLSConfig(name), t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	e := &broker.TLS{Config: cfg, Timeout: t.Timeout, AllowPlain: allowPlain, Slots: make(chan struct{}, cmp.Or(handshakes, maxHandshakes))}
	switch {
	case t.First && t.Delay > 0:
		e.Mode, e.Delay = broker.Auto, t.Delay
	case t.First:
		e.Mode = broker.First
	}
	e.Rate = handshakeRate(t)
	return e, nil
}

// handshakeRate is what connection_rate_limit allows, nil without one.
func handshakeRate(t *config.TLS) *limit.Bucket {
	if t.RateLimit == 0 {
		return nil
	}
	return limit.NewBucket(float64(t.RateLimit), int(t.RateLimit))
}
