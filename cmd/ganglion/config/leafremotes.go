package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/leaf"
	"ganglion/core/subject"
)

// LeafRemote is one hub in leafnodes { remotes }. URLs have secrets in them.
type LeafRemote struct {
	URLs        []string
	Account     string
	Credentials string // file with JWT and seed
	// NKey is a seed, or the file that holds one.
	NKey          string
	TLS           TLS
	Insecure      bool // whatever certificate the hub shows is taken
	DenyImports   []string
	DenyExports   []string
	NoRandomize   bool
	Hub           bool
	Isolate       bool
	Compression   leaf.Compression
	Limits        leaf.Limits
	WSCompression bool
	IgnoreFound   bool // addresses that the hub names
	Disabled      bool
	FirstInfo     time.Duration
	Proxy         LeafProxy
}

// Name is the first URL without what is secret in it.
func (r *LeafRemote) Name() string {
	if len(r.URLs) == 0 {
		return ""
	}
	return withoutUser(r.URLs[0])
}

func withoutUser(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(no URL)"
	}
	u.User = nil
	return u.String()
}

// leafRemotes reads remotes [ { url } ... ].
func leafRemotes(c *Config, name string, t token, v any) error {
	if _, ok := v.([]any); !ok {
		return errorAt(t, "%s must be a list [ { url: ... } ], got %s", name, given(name, v))
	}
	c.LeafNodes.Remotes = nil
	return each(name, t, v, func(name string, t token, m map[string]any) error {
		var r LeafRemote
		if err := (block{path: name + ".", keys: leafRemoteKeys(&r)}).read(c, m); err != nil {
			return err
		}
		if err := r.check(); err != nil {
			return errorAt(t, "%s: %w", name, err)
		}
		c.LeafNodes.Remotes = append(c.LeafNodes.Remotes, r)
		return nil
	})
}

// leafRemoteKeys are the keys of one remote.
func leafRemoteKeys(r *LeafRemote) map[string]key {
	urls := func(_ *Config, name string, t token, v any) error {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		r.URLs = nil
		for _, e := range list {
			e, _ := unwrap(e)
			s, ok := e.(string)
			if !ok {
				return errorAt(t, "%s must be a URL or a list of them, got something else", name)
			}
			if err := checkLeafURL(s); err != nil {
				return errorAt(t, "%s: %w", name, err)
			}
			r.URLs = append(r.URLs, s)
		}
		return nil
	}
	subjects := func(at *[]string) key {
		return func(_ *Config, name string, t token, v any) error {
			list, err := names(name, t, v)
			if err != nil {
				return err
			}
			for _, s := range list {
				if !subject.Valid(s) {
					return errorAt(t, "%s: subject %q is not a valid subject", name, s)
				}
			}
			*at = list
			return nil
		}
	}
	flag := func(at *bool) key { return boolean(func(*Config) *bool { return at }) }
	text := func(at *string) key { return str(func(*Config) *string { return at }) }
	no := func(why string) key {
		return func(_ *Config, name string, t token, v any) error {
			if v == false {
				return nil
			}
			return errorAt(t, "%s can't be done yet: %s; remove it", name, why)
		}
	}
	mode := compression(func(*Config) *leaf.Compression { return &r.Compression })
	isolate := no("use request_isolation, by which the hub does not tell what other leafs want")
	masking := no("frames are masked")
	return map[string]key{
		"url": urls, "urls": urls,
		"account": text(&r.Account), "local": text(&r.Account),
		"credentials": text(&r.Credentials), "creds": text(&r.Credentials),
		"nkey": text(&r.NKey), "seed": text(&r.NKey),
		"tls": tlsOutgoing(&r.TLS, &r.Insecure), "hub": flag(&r.Hub),
		"deny_imports": subjects(&r.DenyImports), "deny_import": subjects(&r.DenyImports),
		"deny_exports": subjects(&r.DenyExports), "deny_export": subjects(&r.DenyExports),
		"no_randomize": flag(&r.NoRandomize), "dont_randomize": flag(&r.NoRandomize),
		"compression":    mode,
		"ws_compression": flag(&r.WSCompression), "ws_compress": flag(&r.WSCompression), "websocket_compression": flag(&r.WSCompression),
		"ws_no_masking": masking, "websocket_no_masking": masking,
		"jetstream_cluster_migrate": acceptAny, "js_cluster_migrate": acceptAny,
		"isolate_leafnode_interest": isolate, "isolate": isolate, "request_isolation": flag(&r.Isolate),
		"first_info_timeout": duration(func(*Config) *time.Duration { return &r.FirstInfo }, time.Millisecond),
		"dial_timeout":       nil, "disabled": flag(&r.Disabled), "ignore_discovered_servers": flag(&r.IgnoreFound),
		"proxy":  leafProxy(&r.Proxy),
		"limits": leafLimits(func(*Config) *leaf.Limits { return &r.Limits }), // ours
	}
}

// leafLimits reads limits { in_messages: 1000, in_bytes: 1MB, out_messages, out_bytes },
// a second.
func leafLimits(at func(*Config) *leaf.Limits) key {
	return table(map[string]key{
		"in_messages":  integer(func(c *Config) *int { return &at(c).InMessages }, 1),
		"in_bytes":     integer(func(c *Config) *int { return &at(c).InBytes }, 1),
		"out_messages": integer(func(c *Config) *int { return &at(c).OutMessages }, 1),
		"out_bytes":    integer(func(c *Config) *int { return &at(c).OutBytes }, 1),
	})
}

// acceptAny takes a key that concerns nothing here.
func acceptAny(*Config, string, token, any) error { return nil }

// checkLeafURL reports what is wrong with the URL of a hub, without showing its
// user and password.
func checkLeafURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) && !strings.Contains(s, "@") {
			err = ue.Err
			return fmt.Errorf("%q is no URL (%w); write e.g. \"nats-leaf://hub.example.com:7422\"", s, err)
		}
		return errors.New("it is no URL; write e.g. \"nats-leaf://hub.example.com:7422\"")
	}
	shown := withoutUser(s)
	switch u.Scheme {
	case "nats-leaf", "nats", "tls", "leaf", "ws", "wss":
	case "quic":
		if u.Port() == "" {
			return fmt.Errorf("%s names no port; add that of the hub's quic { }", shown)
		}
	default:
		return fmt.Errorf("%s: the scheme must be nats-leaf, tls, ws, wss or quic", shown)
	}
	if u.Hostname() == "" {
		return fmt.Errorf("%s names no host", shown)
	}
	if u.Path != "" && u.Path != "/" && u.Scheme != "ws" && u.Scheme != "wss" {
		return fmt.Errorf("%s has a path, which means nothing there; remove it", shown)
	}
	return nil
}

// check finds what does not go together.
func (r *LeafRemote) check() error {
	web := 0
	for _, s := range r.URLs {
		if strings.HasPrefix(s, "ws:") || strings.HasPrefix(s, "wss:") {
			web++
		}
	}
	switch {
	case len(r.URLs) == 0:
		return errors.New("it has no url; add url: \"nats-leaf://hub.example.com:7422\"")
	case web > 0 && web < len(r.URLs):
		return errors.New("it can not have a mix of websocket and non-websocket urls; make two remotes of it")
	case r.Credentials != "" && r.NKey != "":
		return errors.New("it has both credentials and nkey; keep one of them")
	case r.NKey != "":
		if _, err := r.SeedFile(); err != nil {
			return err
		}
	}
	if r.Proxy.URL != "" && web == 0 {
		return errors.New("proxy goes with ws and wss; remove it, or connect to the hub's websocket port")
	}
	if r.TLS.First && r.TLS.Delay > 0 {
		return errors.New("tls.handshake_first is true or false for a remote")
	}
	if p := r.TLS.Pairs; len(p) > 0 && (p[0].Cert == "" || p[0].Key == "") {
		return errors.New("tls needs cert_file and key_file, or neither")
	}
	return nil
}

// SeedFile returns the file that NKey names, "" if it is a seed itself.
func (r *LeafRemote) SeedFile() (string, error) {
	if _, err := nkeys.FromSeed([]byte(r.NKey)); err == nil {
		if !strings.HasPrefix(r.NKey, "SU") {
			return "", errors.New("nkey is not the seed of a user; that begins with SU")
		}
		return "", nil
	}
	if strings.HasPrefix(r.NKey, "S") && len(r.NKey) > 40 && !strings.ContainsAny(r.NKey, "/.\\") {
		return "", errors.New("nkey is not a valid seed") // and must not be shown
	}
	return r.NKey, nil
}

// finishLeafNodes checks what leafnodes { } says of other blocks.
func (c *Config) finishLeafNodes() error {
	l := &c.LeafNodes
	known := func(name string) bool {
		if name == "" || name == account.Global || c.Operator.On() {
			return true
		}
		return slices.ContainsFunc(c.Broker.Accounts, func(s account.Spec) bool { return s.Name == name }) || name == c.Broker.SystemAccount
	}
	for i := range l.Remotes {
		r := &l.Remotes[i]
		if !known(r.Account) {
			return fmt.Errorf("config: leafnodes: cannot find local account %q specified in the remote %s; add it to accounts { }", r.Account, r.Name())
		}
	}
	for _, u := range l.Auth.Who() {
		if !known(u.Account) {
			return fmt.Errorf("config: leafnodes.authorization: cannot find local account %q; add it to accounts { }", u.Account)
		}
	}
	if !known(l.Auth.Account) {
		return fmt.Errorf("config: leafnodes.authorization: cannot find local account %q; add it to accounts { }", l.Auth.Account)
	}
	switch {
	case len(l.Auth.Who()) > 0 && c.Operator.On():
		return errors.New("config: leafnodes.authorization: operator mode does not allow users there; leafs bring credentials of their accounts")
	case c.limits(ListenerLeaf) && !l.Listens():
		return fmt.Errorf("config: listeners.%s limits a listener that is not there; add leafnodes { listen }", ListenerLeaf)
	case c.limits(ListenerLeafQUIC) && !(l.Listens() && c.QUIC.On):
		return fmt.Errorf("config: listeners.%s limits a listener that is not there; add leafnodes { listen } and quic { }", ListenerLeafQUIC)
	}
	return nil
}
