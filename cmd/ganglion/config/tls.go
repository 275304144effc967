package config

import (
	"crypto/tls"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// TLS is a tls { } block. The zero value is no TLS.
type TLS struct {
	On        bool
	Pairs     []Pair // PEM files, the first for clients that name no host
	CAFile    string // whose certificates clients must show
	Verify    bool   // clients must show one
	Map       bool   // and it says who they are
	Timeout   time.Duration
	First     bool          // the client begins with TLS
	Delay     time.Duration // ... or INFO comes in clear after so long; 0 is never
	Ciphers   []uint16
	Curves    []tls.CurveID
	Insecure  bool // Ciphers may name insecure suites
	MinVer    uint16
	Pinned    []string // SHA-256 of the clients' public keys, in hex
	RateLimit int64    // handshakes a second; 0 is no limit

	ACME     ACME     // certificates from a CA
	Internal Internal // certificates from a CA of our own
}

// Pair is a certificate and its key.
type Pair struct{ Cert, Key string }

// ACME is a tls { acme { } } block.
type ACME struct {
	On         bool
	Domains    []string
	Email      string
	CA         string // directory URL; "" is Let's Encrypt
	CARoots    string // PEM file, to trust the CA's own certificate
	Challenges []string
	Storage    string
	OnDemand   bool
	Ask        string // URL that is asked whether a name may have a certificate
}

// Internal is a tls { internal { } } block.
type Internal struct {
	On      bool
	Hosts   []string
	Storage string
}

// tlsBlock reads a tls { } block.
func tlsBlock(at func(*Config) *TLS) key {
	keys := tlsKeys(at)
	return func(c *Config, name string, t token, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return errorAt(t, "%s must be a block { ... }, got %s", name, given(name, v))
		}
		x := at(c)
		*x = TLS{On: true}
		if err := (block{path: name + ".", keys: keys}).read(c, m); err != nil {
			return err
		}
		x.Verify = x.Verify || x.Map
		return x.check(name, t)
	}
}

// check finds what is missing in the block x, which stands at t.
func (x *TLS) check(name string, t token) error {
	kinds := 0
	for _, on := range []bool{len(x.Pairs) > 0, x.ACME.On, x.Internal.On} {
		if on {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return errorAt(t, "missing 'cert_file' in TLS configuration %s; add cert_file and key_file, or acme { }, or internal: true", name)
	case kinds > 1:
		return errorAt(t, "%s has more than one of cert_file, acme and internal; keep one of them", name)
	case x.ACME.On && len(x.ACME.Domains) == 0 && !x.ACME.OnDemand:
		return errorAt(t, "%s.acme has no domains; add domains: [\"edge.example.com\"]", name)
	case x.ACME.OnDemand && x.ACME.Ask == "":
		return errorAt(t, "%s.acme.on_demand has no ask; add the URL that decides which names get a certificate", name)
	}
	for _, p := range x.Pairs {
		switch {
		case p.Cert == "":
			return errorAt(t, "missing 'cert_file' in TLS configuration %s", name)
		case p.Key == "":
			return errorAt(t, "missing 'key_file' in TLS configuration %s", name)
		}
	}
	for _, id := range x.Ciphers {
		if !x.Insecure && slices.ContainsFunc(tls.InsecureCipherSuites(), func(s *tls.CipherSuite) bool { return s.ID == id }) {
			return errorAt(t, "%s.cipher_suites names the insecure %s; remove it, or set allow_insecure_cipher_suites: true", name, tls.CipherSuiteName(id))
		}
	}
	return nil
}

// tlsKeys are the keys of a tls { } block.
func tlsKeys(at func(*Config) *TLS) map[string]key {
	first := func(c *Config) *Pair {
		x := at(c)
		if len(x.Pairs) == 0 {
			x.Pairs = append(x.Pairs, Pair{})
		}
		return &x.Pairs[0]
	}
	handshakeFirst := func(c *Config, name string, t token, v any) error { return readFirst(at(c), name, t, v) }
	certificates := func(c *Config, name string, t token, v any) error { return readPairs(at(c), name, t, v) }
	return map[string]key{
		"cert_file":                        str(func(c *Config) *string { return &first(c).Cert }),
		"key_file":                         str(func(c *Config) *string { return &first(c).Key }),
		"certs":                            certificates,
		"certificates":                     certificates,
		"ca_file":                          str(func(c *Config) *string { return &at(c).CAFile }),
		"verify":                           boolean(func(c *Config) *bool { return &at(c).Verify }),
		"timeout":                          seconds(func(c *Config) *time.Duration { return &at(c).Timeout }),
		"handshake_first":                  handshakeFirst,
		"first":                            handshakeFirst,
		"immediate":                        handshakeFirst,
		"cipher_suites":                    func(c *Config, name string, t token, v any) error { return readCiphers(at(c), name, t, v) },
		"curve_preferences":                func(c *Config, name string, t token, v any) error { return readCurves(at(c), name, t, v) },
		"allow_insecure_cipher_suites":     boolean(func(c *Config) *bool { return &at(c).Insecure }),
		"min_version":                      func(c *Config, name string, t token, v any) error { return readMinVersion(at(c), name, t, v) },
		"pinned_certs":                     func(c *Config, name string, t token, v any) error { return readPinned(at(c), name, t, v) },
		"connection_rate_limit":            integer(func(c *Config) *int64 { return &at(c).RateLimit }, 1),
		"acme":                             acmeBlock(at), // ours
		"internal":                         internalBlock(at),
		"verify_and_map":                   boolean(func(c *Config) *bool { return &at(c).Map }),
		"verify_cert_and_check_known_urls": nil, "insecure": falseOnly, "ocsp_peer": nil,
		"cert_store": nil, "cert_match_by": nil, "cert_match": nil, "ca_certs_match": nil, "cert_match_skip_invalid": nil,
	}
}

// readFirst reads handshake_first: a bool, "auto", or a duration.
func readFirst(x *TLS, name string, t token, v any) error {
	switch v := v.(type) {
	case bool:
		x.First, x.Delay = v, 0
		return nil
	case string:
		switch strings.ToLower(v) {
		case "true", "on":
			x.First, x.Delay = true, 0
			return nil
		case "false", "off":
			x.First, x.Delay = false, 0
			return nil
		case "auto":
			x.First, x.Delay = true, autoDelay
			return nil
		}
		if d, err := time.ParseDuration(v); err == nil && d > 0 {
			x.First, x.Delay = true, d
			return nil
		}
	}
	return errorAt(t, "%s is %v; it must be true, false, \"auto\" or a duration like \"300ms\"", name, v)
}

// autoDelay is what handshake_first: auto waits, as in nats-server.
const autoDelay = 50 * time.Millisecond

// readPairs reads certs: a list of { cert_file, key_file }.
func readPairs(x *TLS, name string, t token, v any) error {
	list, ok := v.([]any)
	if !ok {
		return errorAt(t, "%s must be a list of { cert_file, key_file }, got %s", name, given(name, v))
	}
	for _, e := range list {
		e, et := unwrap(e)
		if et == nil {
			et = t
		}
		m, ok := e.(map[string]any)
		if !ok {
			return errorAt(et, "%s must be a list of { cert_file, key_file }, got %s in it", name, given(name, e))
		}
		var p Pair
		for k, e := range m {
			e, kt := unwrap(e)
			s, ok := e.(string)
			switch {
			case !ok:
				return errorAt(kt, "%s.%s must be a string, got %s; put it in quotes", name, k, given(name, e))
			case k == "cert_file":
				p.Cert = s
			case k == "key_file":
				p.Key = s
			default:
				return errorAt(kt, "unknown field %q", name+"."+k)
			}
		}
		x.Pairs = append(x.Pairs, p)
	}
	return nil
}

// names reads a list of strings.
func names(name string, t token, v any) ([]string, error) {
	var out []string
	err := stringList(func(*Config) *[]string { return &out })(nil, name, t, v)
	return out, err
}

func readCiphers(x *TLS, name string, t token, v any) error {
	list, err := names(name, t, v)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errorAt(t, "%s is empty; name a suite or remove it", name)
	}
	all := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	for _, n := range list {
		i := slices.IndexFunc(all, func(s *tls.CipherSuite) bool { return strings.EqualFold(s.Name, n) })
		if i < 0 {
			return errorAt(t, "unrecognized cipher %q in %s; see ganglion --help_tls", n, name)
		}
		x.Ciphers = append(x.Ciphers, all[i].ID)
	}
	return nil
}

// curves are the key exchanges by the names that configurations use.
var curves = map[string]tls.CurveID{
	"curvep256": tls.CurveP256, "curvep384": tls.CurveP384, "curvep521": tls.CurveP521,
	"x25519": tls.X25519, "x25519mlkem768": tls.X25519MLKEM768,
}

func readCurves(x *TLS, name string, t token, v any) error {
	list, err := names(name, t, v)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errorAt(t, "%s is empty; name a curve or remove it", name)
	}
	for _, n := range list {
		id, ok := curves[strings.ToLower(n)]
		if !ok {
			return errorAt(t, "unrecognized curve preference %q in %s; see ganglion --help_tls", n, name)
		}
		x.Curves = append(x.Curves, id)
	}
	return nil
}

func readMinVersion(x *TLS, name string, t token, v any) error {
	switch v {
	case "1.2", 1.2:
		x.MinVer = tls.VersionTLS12
	case "1.3", 1.3:
		x.MinVer = tls.VersionTLS13
	default:
		return errorAt(t, "%s is %v; it must be \"1.2\" or \"1.3\"", name, v)
	}
	return nil
}

func readPinned(x *TLS, name string, t token, v any) error {
	list, err := names(name, t, v)
	if err != nil {
		return err
	}
	for _, s := range list {
		s = strings.ToLower(s)
		if b, err := hex.DecodeString(s); err != nil || len(b) != 32 {
			return errorAt(t, "%s: %q is no SHA-256 in hex; use 64 digits, of the certificate's public key (DER)", name, s)
		}
		x.Pinned = append(x.Pinned, s)
	}
	return nil
}

// challenges are the ways in which a CA can be shown who owns a name.
var challenges = []string{"http-01", "tls-alpn-01"}

// acmeBlock reads acme { }.
func acmeBlock(at func(*Config) *TLS) key {
	acme := func(c *Config) *ACME { return &at(c).ACME }
	onDemand := table(map[string]key{"ask": str(func(c *Config) *string { return &acme(c).Ask })})
	inner := table(map[string]key{
		"domains":  stringList(func(c *Config) *[]string { return &acme(c).Domains }),
		"email":    str(func(c *Config) *string { return &acme(c).Email }),
		"ca":       str(func(c *Config) *string { return &acme(c).CA }),
		"ca_roots": str(func(c *Config) *string { return &acme(c).CARoots }),
		"storage":  str(func(c *Config) *string { return &acme(c).Storage }),
		"challenges": func(c *Config, name string, t token, v any) error {
			list, err := names(name, t, v)
			if err != nil {
				return err
			}
			for _, s := range list {
				if !slices.Contains(challenges, s) {
					return errorAt(t, "%s: unknown challenge %q; known are %s (dns-01 needs a provider, in a program that embeds Ganglion)", name, s, strings.Join(challenges, ", "))
				}
			}
			acme(c).Challenges = list
			return nil
		},
		"on_demand": func(c *Config, name string, t token, v any) error {
			acme(c).OnDemand = true
			return onDemand(c, name, t, v)
		},
	})
	return func(c *Config, name string, t token, v any) error {
		acme(c).On = true
		return inner(c, name, t, v)
	}
}

// internalBlock reads internal { } or internal: true.
func internalBlock(at func(*Config) *TLS) key {
	in := func(c *Config) *Internal { return &at(c).Internal }
	inner := table(map[string]key{
		"hosts":   stringList(func(c *Config) *[]string { return &in(c).Hosts }),
		"storage": str(func(c *Config) *string { return &in(c).Storage }),
	})
	return func(c *Config, name string, t token, v any) error {
		if b, ok := v.(bool); ok {
			in(c).On = b
			return nil
		}
		in(c).On = true
		return inner(c, name, t, v)
	}
}
