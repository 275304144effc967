package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"ganglion/core/auth"
	"ganglion/core/operator"
)

// Operator is operator mode: whom to trust and where account JWTs come from. The
// zero value is no operator mode.
type Operator struct {
	Tokens  []string // operator JWTs
	Trusted []string // public operator nkeys, instead of Tokens

	// Resolver is "memory", "url", "full" or "cache"; "" is none.
	Resolver    string
	URL         string
	TLS         TLS // for URL
	Dir         string
	AllowDelete bool
	Limit       int
	TTL         time.Duration
	Interval    time.Duration // accepted; there is nobody to synchronise with yet
	Timeout     time.Duration
	Preload     map[string]string // account JWTs by public nkey
	Pinned      []string
}

// On reports whether there is operator mode.
func (o *Operator) On() bool { return len(o.Tokens) > 0 || len(o.Trusted) > 0 }

// Open opens the resolver and checks whom to trust. system is the system account
// of the configuration, "" for the operator's. store is where pushed account JWTs
// go, nil where the resolver keeps nothing.
func (o *Operator) Open(system string, log *slog.Logger) (t *operator.Trust, store operator.Store, err error) {
	from, store, err := o.resolver(log)
	if err != nil {
		return nil, nil, fmt.Errorf("resolver: %w", err)
	}
	var pinned []string
	if len(o.Pinned) > 0 {
		pinned = slices.Clone(o.Pinned)
	}
	t, err = operator.New(operator.Options{
		Operators: o.Tokens, TrustedKeys: o.Trusted, SystemAccount: system, Resolver: from, Pinned: pinned, Logger: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("operator: %w", err)
	}
	return t, store, nil
}

// resolver opens where account JWTs come from.
func (o *Operator) resolver(log *slog.Logger) (operator.Resolver, operator.Store, error) {
	switch o.Resolver {
	case "":
		return nil, nil, fmt.Errorf("operator mode needs one; add resolver: MEMORY with resolver_preload, or resolver { type: full, dir: \"./jwt\" }")
	case "memory":
		m, err := operator.NewMemory(o.Preload)
		return m, nil, err
	case "url":
		cfg, err := resolverTLS(&o.TLS)
		if err != nil {
			return nil, nil, err
		}
		u, err := operator.NewURL(o.URL, cfg)
		return u, nil, err
	}
	dir, err := operator.NewDir(operator.DirOptions{
		Dir: o.Dir, AllowDelete: o.AllowDelete, Limit: o.Limit, CacheOnly: o.Resolver == "cache", Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	for name, token := range o.Preload {
		if err := dir.Store(name, token); err != nil {
			log.Warn("resolver_preload: account is not taken over", "account", name, "error", err)
		}
	}
	return dir, dir, nil
}

// resolverTLS is the TLS of a resolver's URL, nil for Go's defaults.
func resolverTLS(x *TLS) (*tls.Config, error) {
	if x.CAFile == "" && len(x.Pairs) == 0 {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if x.CAFile != "" {
		pem, err := os.ReadFile(x.CAFile)
		if err != nil {
			return nil, fmt.Errorf("resolver_tls: ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("resolver_tls: ca_file %s holds no certificate in PEM form", x.CAFile)
		}
	}
	for _, p := range x.Pairs {
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if err != nil {
			return nil, fmt.Errorf("resolver_tls: %w", err)
		}
		cfg.Certificates = append(cfg.Certificates, pair)
	}
	return cfg, nil
}

// operators reads operator: a JWT, or the file that holds one, or a list of them.
func operators(c *Config, name string, t token, v any) error {
	list, err := names(name, t, v)
	if err != nil {
		return err
	}
	c.Operator.Tokens = nil
	for _, s := range list {
		tok, err := readJWT(s)
		if err != nil {
			return errorAt(t, "%s: %w", name, err)
		}
		c.Operator.Tokens = append(c.Operator.Tokens, tok)
	}
	return nil
}

// readJWT returns s if it is a JWT, else the JWT in the file s.
func readJWT(s string) (string, error) {
	if strings.HasPrefix(s, "eyJ") {
		return s, nil
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return "", fmt.Errorf("%q is neither a JWT nor a file that can be read: %w", s, err)
	}
	for line := range strings.Lines(string(b)) { // nsc's files have a frame of dashes
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "eyJ") {
			return line, nil
		}
	}
	return "", fmt.Errorf("the file %s holds no JWT", s)
}

// resolver reads resolver: MEMORY, URL(address), or { type: full, dir: ... }.
func resolver(c *Config, name string, t token, v any) error {
	o := &c.Operator
	switch v := v.(type) {
	case string:
		addr, isURL := strings.CutPrefix(v, "URL(")
		addr, closed := strings.CutSuffix(strings.TrimSpace(addr), ")")
		switch {
		case strings.EqualFold(v, "MEMORY") || strings.EqualFold(v, "MEM"):
			o.Resolver = "memory"
			return nil
		case isURL && closed && addr != "":
			o.Resolver, o.URL = "url", strings.Trim(addr, `"' `)
			return nil
		}
		return errorAt(t, "%s is %q; it must be MEMORY, URL(http://...), or a block { type: full, dir: ... }", name, v)
	case map[string]any:
		kind := ""
		keys := map[string]key{
			"type":         str(func(*Config) *string { return &kind }),
			"dir":          str(func(c *Config) *string { return &c.Operator.Dir }),
			"allow_delete": boolean(func(c *Config) *bool { return &c.Operator.AllowDelete }),
			"limit":        integer(func(c *Config) *int { return &c.Operator.Limit }, 1),
			"ttl":          duration(func(c *Config) *time.Duration { return &c.Operator.TTL }, 0),
			"interval":     duration(func(c *Config) *time.Duration { return &c.Operator.Interval }, 0),
			"timeout":      duration(func(c *Config) *time.Duration { return &c.Operator.Timeout }, 0),
		}
		if err := (block{path: name + ".", keys: keys}).read(c, v); err != nil {
			return err
		}
		switch strings.ToLower(kind) {
		case "full", "cache":
			if o.Dir == "" {
				return errorAt(t, "%s has no dir; add dir: \"./jwt\"", name)
			}
			if o.AllowDelete && strings.EqualFold(kind, "cache") {
				return errorAt(t, "%s: allow_delete is for type full", name)
			}
		case "mem", "memory":
			kind = "memory"
		default:
			return errorAt(t, "%s.type is %q; it must be full, cache or memory", name, kind)
		}
		o.Resolver = strings.ToLower(kind)
		return nil
	}
	return errorAt(t, "%s must be MEMORY, URL(http://...), or a block, got %s", name, given(name, v))
}

// tlsClient reads the tls { } block of an outgoing connection.
func tlsClient(at func(*Config) *TLS) key {
	return func(c *Config, name string, t token, v any) error {
		return table(tlsKeys(at))(c, name, t, v)
	}
}

// authUsers reads authorization { users }.
func authUsers(c *Config, name string, t token, v any) error {
	users, err := readUsers(name, t, v)
	c.Broker.Auth.Users = append(c.Broker.Auth.Users, users...)
	return err
}

// defaultPermissions reads authorization { default_permissions }.
func defaultPermissions(c *Config, name string, t token, v any) error {
	return permissions(&c.Broker.Auth.Permissions)(c, name, t, v)
}

// authCallout reads authorization { auth_callout }.
func authCallout(c *Config, name string, t token, v any) error {
	var x auth.Callout
	users := stringList(func(*Config) *[]string { return &x.AuthUsers })
	acc := str(func(*Config) *string { return &x.Account })
	xkey := str(func(*Config) *string { return &x.XKey })
	keys := map[string]key{
		"issuer": str(func(*Config) *string { return &x.Issuer }), "account": acc, "acc": acc,
		"auth_users": users, "users": users, "xkey": xkey, "key": xkey,
		"allowed_accounts": stringList(func(*Config) *[]string { return &x.AllowedAccounts }),
	}
	if err := table(keys)(c, name, t, v); err != nil {
		return err
	}
	switch {
	case x.Issuer == "":
		return errorAt(t, "%s has no issuer; add the public nkey of the account that signs answers", name)
	case !auth.IsAccountKey(x.Issuer):
		return errorAt(t, "%s.issuer is no public nkey of an account; it begins with A", name)
	case len(x.AuthUsers) == 0:
		return errorAt(t, "%s has no auth_users; name the user of the service that answers", name)
	}
	c.Broker.Auth.Callout = &x
	return nil
}
