package config

import (
	"crypto/tls"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// Ports of --domain.
const (
	DefaultWSSPort  = 443
	DefaultACMEPort = 80
)

// applyDomain fills in what --domain means: TLS on the client port, and wss with
// the page on 443, and QUIC and WebTransport on its UDP port, under a certificate from an ACME CA
// that is asked through 443 and 80. What the file says of tls and websocket stands.
func (c *Config) applyDomain() error {
	if strings.ContainsAny(c.Domain, "/: ") || !strings.Contains(c.Domain, ".") {
		return fmt.Errorf("config: domain %q is no host name; write e.g. edge.example.com", c.Domain)
	}
	if c.WSSPort == 0 {
		c.WSSPort = DefaultWSSPort
	}
	if c.ACMEPort == 0 {
		c.ACMEPort = DefaultACMEPort
	}
	own := TLS{On: true, ACME: ACME{On: true, Domains: []string{c.Domain}, Email: c.Email}}
	if !c.TLS.On {
		c.TLS = own
	}
	if !c.WebSocket.On {
		c.WebSocket = WebSocket{On: true, Host: "0.0.0.0", Port: c.WSSPort, TLS: own}
	}
	if !c.QUIC.On {
		c.QUIC = QUIC{On: true, Host: "0.0.0.0", Port: c.WSSPort, TLS: own}
		c.WebTransport.On = true
	}
	return nil
}

// tlsFlags are nats-server's flags of the client port's TLS.
type tlsFlags struct {
	on, verify, help bool
	cert, key, ca    string
}

func (f *tlsFlags) define(fs *flag.FlagSet) {
	fs.BoolVar(&f.on, "tls", false, "")
	fs.BoolVar(&f.verify, "tlsverify", false, "")
	fs.StringVar(&f.cert, "tlscert", "", "")
	fs.StringVar(&f.key, "tlskey", "", "")
	fs.StringVar(&f.ca, "tlscacert", "", "")
	fs.BoolVar(&f.help, "help_tls", false, "")
}

// apply puts what the flags say over x.
func (f *tlsFlags) apply(x *TLS) error {
	if !f.on && !f.verify && f.cert == "" && f.key == "" && f.ca == "" {
		return nil
	}
	pair := Pair{}
	if len(x.Pairs) > 0 {
		pair = x.Pairs[0]
	}
	if f.cert != "" {
		pair.Cert = f.cert
	}
	if f.key != "" {
		pair.Key = f.key
	}
	switch {
	case pair.Cert == "" && !x.ACME.On && !x.Internal.On:
		return fmt.Errorf("config: TLS Server certificate must be present and valid; add --tlscert FILE")
	case pair.Cert != "" && pair.Key == "":
		return fmt.Errorf("config: TLS Server private key must be present and valid; add --tlskey FILE")
	}
	x.On = true
	if pair.Cert != "" {
		x.Pairs = append([]Pair{pair}, x.Pairs[min(1, len(x.Pairs)):]...)
	}
	x.Verify = x.Verify || f.verify
	if f.ca != "" {
		x.CAFile = f.ca
	}
	return nil
}

// UsageTLS returns what --help_tls prints: the names that TLS options may have.
func UsageTLS() string {
	var b strings.Builder
	b.WriteString("TLS in the configuration file:\n\n")
	b.WriteString("    tls {\n        cert_file: \"server.pem\"      # or acme { domains: [\"edge.example.com\"] }\n")
	b.WriteString("        key_file:  \"key.pem\"         # or internal: true, a CA of our own\n")
	b.WriteString("        ca_file:   \"ca.pem\"          # with verify: true, whose certificates clients must show\n    }\n\n")
	b.WriteString("cipher_suites (TLS 1.2; those of TLS 1.3 can't be chosen):\n")
	for _, s := range tls.CipherSuites() {
		fmt.Fprintf(&b, "    %s\n", s.Name)
	}
	b.WriteString("with allow_insecure_cipher_suites: true also:\n")
	for _, s := range tls.InsecureCipherSuites() {
		fmt.Fprintf(&b, "    %s\n", s.Name)
	}
	b.WriteString("curve_preferences:\n")
	names := make([]string, 0, len(curves))
	for _, id := range curves {
		names = append(names, id.String())
	}
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(&b, "    %s\n", n)
	}
	return b.String()
}
