package config

import (
	"fmt"
	"strings"
	"time"

	"ganglion/core/auth"
	"ganglion/core/leaf"
)

// The names of the listeners of leafnodes { }, and of the source of its
// certificates. Leafs that come over quic { } have a listener of their own, for
// its numbers and limits.
const (
	ListenerLeaf     = "leafnodes"
	ListenerLeafQUIC = "leafnodes-quic"
	SourceLeaf       = "leafnodes.tls"
)

// LeafNodes is the leafnodes { } block: where leafs of ours connect to, and the
// hubs that we are a leaf of.
type LeafNodes struct {
	On   bool
	Host string
	// Port is where leafs are accepted; 0 is nowhere, -1 a free one.
	Port        int
	Advertise   string // what leafs are told instead, "host:port"
	NoAdvertise bool
	TLS         TLS
	Compression leaf.Compression // of leafs that we accept
	Reconnect   time.Duration    // between attempts of remotes
	Isolate     bool             // no leaf is told what others want
	Limits      leaf.Limits      // of links to leafs
	Auth        LeafAuth
	Remotes     []LeafRemote
}

// Listens reports whether leafs are accepted.
func (l *LeafNodes) Listens() bool { return l.Port != 0 }

// LeafAuth is authorization { } of leafnodes { }. The zero value lets in the users
// whom clients are, too.
type LeafAuth struct {
	User, Password, NKey string
	// Account of the single user, and of leafs that need no credentials.
	Account string
	Users   []auth.User
	Timeout time.Duration
}

// Who returns the users that a says, none for those of clients.
func (a *LeafAuth) Who() []auth.User {
	if a.User != "" || a.NKey != "" {
		return []auth.User{{Name: a.User, Password: a.Password, NKey: a.NKey, Account: a.Account}}
	}
	return a.Users
}

// leafAuthKeys are the keys of leafnodes { authorization { } }.
var leafAuthKeys = func() map[string]key {
	at := func(c *Config) *LeafAuth { return &c.LeafNodes.Auth }
	user := str(func(c *Config) *string { return &at(c).User })
	pass := str(func(c *Config) *string { return &at(c).Password })
	return map[string]key{
		"user": user, "username": user, "pass": pass, "password": pass,
		"password_file":  secretFile(func(c *Config) *string { return &at(c).Password }), // ours
		"nkey":           str(func(c *Config) *string { return &at(c).NKey }),
		"account":        str(func(c *Config) *string { return &at(c).Account }),
		"timeout":        seconds(func(c *Config) *time.Duration { return &at(c).Timeout }),
		"users":          leafUsers,
		"proxy_required": falseOnly,
	}
}()

// leafUsers reads users [ { user, password, account } ... ].
func leafUsers(c *Config, name string, t token, v any) error {
	return each(name, t, v, func(name string, t token, m map[string]any) error {
		var u auth.User
		user := str(func(*Config) *string { return &u.Name })
		pass := str(func(*Config) *string { return &u.Password })
		keys := map[string]key{
			"user": user, "username": user, "pass": pass, "password": pass,
			"password_file":  secretFile(func(*Config) *string { return &u.Password }), // ours
			"nkey":           str(func(*Config) *string { return &u.NKey }),            // ours
			"account":        str(func(*Config) *string { return &u.Account }),
			"proxy_required": falseOnly,
		}
		if err := (block{path: name + ".", keys: keys}).read(c, m); err != nil {
			return err
		}
		if err := checkLeafUser(&u); err != nil {
			return errorAt(t, "%s %w", name, err)
		}
		c.LeafNodes.Auth.Users = append(c.LeafNodes.Auth.Users, u)
		return nil
	})
}

func checkLeafUser(u *auth.User) error {
	switch {
	case u.NKey != "" && (u.Name != "" || u.Password != ""):
		return fmt.Errorf("has an nkey beside a user or password; keep one of them")
	case u.NKey == "" && u.Name == "":
		return fmt.Errorf("has no user; add user, or nkey")
	case u.NKey != "" && !auth.IsUserKey(u.NKey):
		return fmt.Errorf("has an nkey that is no public nkey of a user; it begins with U")
	}
	return nil
}

// leafKeys are the keys of leafnodes { }.
var leafKeys = func() map[string]key {
	at := func(c *Config) *LeafNodes { return &c.LeafNodes }
	host := str(func(c *Config) *string { return &at(c).Host })
	advertise := str(func(c *Config) *string { return &at(c).Advertise })
	reconnect := duration(func(c *Config) *time.Duration { return &at(c).Reconnect }, 0)
	notYet := func(why string) key {
		return func(_ *Config, name string, t token, v any) error {
			if v == false {
				return nil
			}
			return errorAt(t, "%s can't be done yet: %s; remove it", name, why)
		}
	}
	isolate := boolean(func(c *Config) *bool { return &at(c).Isolate })
	minVersion := notYet("leafs of all versions are let in")
	return map[string]key{
		"listen": address(func(c *Config) *string { return &at(c).Host }, func(c *Config) *int { return &at(c).Port }),
		"host":   host, "net": host,
		"port":      port(func(c *Config) *int { return &at(c).Port }),
		"advertise": advertise, "leafnode_advertise": advertise,
		"no_advertise":  boolean(func(c *Config) *bool { return &at(c).NoAdvertise }),
		"authorization": table(leafAuthKeys),
		"tls":           tlsBlock(func(c *Config) *TLS { return &at(c).TLS }),
		"compression":   compression(func(c *Config) *leaf.Compression { return &at(c).Compression }),
		"reconnect":     reconnect, "reconnect_delay": reconnect, "reconnect_interval": reconnect,
		"min_version": minVersion, "minimum_version": minVersion,
		"isolate_leafnode_interest": isolate, "isolate": isolate,
		"remotes":      leafRemotes,
		"limits":       leafLimits(func(c *Config) *leaf.Limits { return &at(c).Limits }), // ours
		"dial_timeout": nil, "write_deadline": nil, "write_timeout": nil,
	}
}()

// leafBlock reads leafnodes { }.
func leafBlock(c *Config, name string, t token, v any) error {
	c.LeafNodes = LeafNodes{On: true, Host: "0.0.0.0"}
	if err := table(leafKeys)(c, name, t, v); err != nil {
		return err
	}
	l := &c.LeafNodes
	a := &l.Auth
	if single := a.User != "" || a.Password != "" || a.NKey != ""; single {
		if len(a.Users) > 0 {
			return errorAt(t, "%s.authorization can not have a single user/pass and a users array; keep one of them", name)
		}
		if err := checkLeafUser(&auth.User{Name: a.User, Password: a.Password, NKey: a.NKey}); err != nil {
			return errorAt(t, "%s.authorization %w", name, err)
		}
	}
	if l.Port == 0 {
		l.Host = ""
	}
	switch {
	case l.Port == 0 && (l.TLS.On || l.Advertise != "" || len(a.Who()) > 0 || a.Account != ""):
		return errorAt(t, "%s says how leafs are accepted, but not where; add listen: \"0.0.0.0:%d\"", name, leaf.DefaultPort)
	case l.Advertise != "" && l.NoAdvertise:
		return errorAt(t, "%s has both advertise and no_advertise; keep one of them", name)
	case l.Advertise != "" && !strings.Contains(l.Advertise, ":"):
		l.Advertise = fmt.Sprintf("%s:%d", l.Advertise, leaf.DefaultPort)
	}
	return nil
}

// thresholds are the round-trip times at which s2_auto compresses more; others
// can't be set yet.
var thresholds = []string{"10ms", "50ms", "100ms"}

// compression reads a mode, true or false, or { mode, rtt_thresholds }.
func compression(at func(*Config) *leaf.Compression) key {
	mode := func(c *Config, name string, t token, v any) error {
		switch v := v.(type) {
		case bool:
			*at(c) = leaf.Off
			if v {
				*at(c) = leaf.Auto
			}
			return nil
		case string:
			m := leaf.Compression(strings.ToLower(v))
			switch m {
			case "on", "enabled", "true", "auto":
				m = leaf.Auto
			case "disabled", "false":
				m = leaf.Off
			}
			if err := m.Check(); err != nil || m == "" {
				return errorAt(t, "%s is %q; it must be off, accept, s2_auto, s2_uncompressed, s2_fast, s2_better or s2_best", name, v)
			}
			*at(c) = m
			return nil
		}
		return errorAt(t, "%s must be a mode, true, false or { mode, rtt_thresholds }, got %s", name, given(name, v))
	}
	rtts := func(_ *Config, name string, t token, v any) error {
		list, err := names(name, t, v)
		if err != nil {
			return err
		}
		for i, s := range list {
			if i >= len(thresholds) || s != thresholds[i] {
				return errorAt(t, "%s can't be chosen yet; those in use are %s: remove it", name, strings.Join(thresholds, ", "))
			}
		}
		return nil
	}
	keys := map[string]key{"mode": mode, "rtt_thresholds": rtts, "thresholds": rtts, "rtts": rtts, "rtt": rtts}
	return func(c *Config, name string, t token, v any) error {
		if _, ok := v.(map[string]any); ok {
			*at(c) = leaf.Auto
			return table(keys)(c, name, t, v)
		}
		return mode(c, name, t, v)
	}
}
