package leaf

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/conn"
)

// DefaultPort is that of leafnode listeners.
const DefaultPort = 7422

// Defaults. On links by satellite a dial, a first INFO and a handshake take longer
// than the seconds that nats-server gives them.
const (
	DefaultReconnect   = time.Second
	DefaultDialTimeout = 10 * time.Second
	DefaultAuthTimeout = 10 * time.Second
	DefaultRemember    = 10 * time.Minute
	DefaultHandshake   = 30 * time.Second // what follows a hub's first INFO

	maxReconnect = 30 * time.Second // what failures in a row lead to
	// loopDelay is how long a remote waits that led to a loop, or to a cluster of
	// our own name.
	loopDelay = 30 * time.Second
)

// Compression is how much the bytes of links are compressed.
type Compression string

// The modes. Auto goes by the round-trip time.
const (
	Off          Compression = "off"
	Accept       Compression = "accept" // as the other end wants it
	Auto         Compression = "s2_auto"
	Uncompressed Compression = "s2_uncompressed"
	Fast         Compression = "s2_fast"
	Better       Compression = "s2_better"
	Best         Compression = "s2_best"
)

// Check reports a mode that there is not.
func (c Compression) Check() error {
	if c == "" || slices.Contains([]Compression{Off, Accept, Auto, Uncompressed, Fast, Better, Best}, c) {
		return nil
	}
	return fmt.Errorf("compression is %q; it must be off, accept, s2_auto, s2_uncompressed, s2_fast, s2_better or s2_best", string(c))
}

// DialFunc connects to u, until ctx ends. What it returns carries the protocol as
// it is: TLS of wss and quic is below it.
type DialFunc func(ctx context.Context, u *url.URL, r *Remote) (net.Conn, error)

// Remote is a hub that is to be solicited. It must not be changed once it is in
// use.
type Remote struct {
	// URLs of the hub: nats-leaf, nats, tls, ws, wss or quic; user info in them is
	// user and password, or a token.
	URLs []*url.URL
	// Account is the local one; "" is the global account.
	Account string
	// Credentials returns the user JWT, "" for none, and what signs the hub's nonce,
	// nil for nothing. nil is no credentials beside those in URLs.
	Credentials func() (jwt, nkey string, sign func(nonce []byte) ([]byte, error), err error)
	// TLS is for tls addresses and hubs that want it; nil is the system's roots.
	TLS *tls.Config
	// TLSFirst begins with TLS.
	TLSFirst bool
	// DenyImports are subjects that are not wanted from the hub, DenyExports those
	// that it is not given.
	DenyImports, DenyExports []string
	// NoRandomize tries the URLs in their order.
	NoRandomize bool
	// Hub has this end be the hub.
	Hub bool
	// Isolate has the hub not tell us what other leafs want.
	Isolate bool
	// IgnoreDiscovered keeps to URLs, whatever addresses the hub names.
	IgnoreDiscovered bool
	// Disabled has nothing solicited.
	Disabled bool
	// Compression; "" is Auto.
	Compression Compression
	// FirstInfoTimeout is how long the hub's first INFO may take; 0 is
	// DefaultDialTimeout.
	FirstInfoTimeout time.Duration
	// Limits bound what crosses the link.
	Limits Limits
	// WSCompression is for ws and wss.
	WSCompression bool
}

// Name says in logs which remote it is; it has no secrets.
func (r *Remote) Name() string {
	if len(r.URLs) == 0 {
		return ""
	}
	return Shown(r.URLs[0])
}

// Options configure a Manager.
type Options struct {
	// Identity.
	ServerID, ServerName, Version, Cluster, Domain string
	// Host, Port and Advertise are what INFO to leafs says.
	Host      string
	Port      int
	Advertise []string
	// NoAdvertise has INFO name no addresses.
	NoAdvertise bool

	Loop     *conn.Loop
	Limits   *conn.Limits
	Accounts *account.Registry
	// Known reports whether there is an account of that name when the remotes start;
	// nil asks Accounts. A reload may add an account and a remote for it.
	Known func(name string) bool
	// Auth lets leafs in.
	Auth *auth.Authenticator

	MaxPayload     int
	MaxControlLine int
	PingInterval   time.Duration
	PingMax        int
	AuthTimeout    time.Duration // 0 is DefaultAuthTimeout
	Compression    Compression   // of accepted links; "" is Auto
	Reconnect      time.Duration // 0 is DefaultReconnect
	Remember       time.Duration // 0 is DefaultRemember
	Handshake      time.Duration // 0 is DefaultHandshake
	NoHeaders      bool
	// Isolate has no leaf told what others want.
	Isolate bool
	// LeafLimits bound what crosses each accepted link.
	LeafLimits Limits

	// Dial holds further transports by the scheme of their URLs; tcp is there.
	Dial map[string]DialFunc
	// Remotes are the hubs to solicit.
	Remotes []*Remote
	// NextID gives connections their ids.
	NextID func() uint64
	// Events is told of links that come and go; nil is nobody.
	Events Events
	// Log gets what there is to say.
	Log *slog.Logger
}

// Events is told what happens to links.
type Events interface {
	LinkUp(l *Link)
	LinkDown(l *Link, reason string)
	// Missed tells that so many messages of an account had interest only beyond a
	// link that was down, since the last call.
	Missed(account, remote string, n int64)
}

// normal returns o with its defaults filled in, or what is wrong with it.
func (o Options) normal() (Options, error) {
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&o.Reconnect, DefaultReconnect}, {&o.AuthTimeout, DefaultAuthTimeout}, {&o.Remember, DefaultRemember}, {&o.Handshake, DefaultHandshake}} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if o.Compression == "" {
		o.Compression = Auto
	}
	if err := o.Compression.Check(); err != nil {
		return o, fmt.Errorf("leafnodes: %w", err)
	}
	if err := o.LeafLimits.Check(); err != nil {
		return o, fmt.Errorf("leafnodes: %w", err)
	}
	for i, r := range o.Remotes {
		if err := r.check(&o); err != nil {
			return o, fmt.Errorf("leafnodes: remote %d (%s): %w", i, r.Name(), err)
		}
	}
	return o, nil
}

func (r *Remote) check(o *Options) error {
	if len(r.URLs) == 0 {
		return errors.New("it has no url; add url: \"nats-leaf://hub.example.com:7422\"")
	}
	if err := r.Compression.Check(); err != nil {
		return err
	}
	if err := r.Limits.Check(); err != nil {
		return err
	}
	web := 0
	for _, u := range r.URLs {
		switch u.Scheme {
		case "nats-leaf", "nats", "tls", "leaf", "":
		case "ws", "wss":
			web++
			fallthrough
		default:
			if o.Dial[u.Scheme] == nil {
				return fmt.Errorf("url %s: nothing here speaks %s; use nats-leaf, tls, ws, wss or quic", Shown(u), u.Scheme)
			}
		}
		if u.Hostname() == "" {
			return fmt.Errorf("url %s names no host", Shown(u))
		}
	}
	if web > 0 && web < len(r.URLs) {
		return errors.New("remote leaf node configuration cannot have a mix of websocket and non-websocket urls; make two remotes of it")
	}
	name := r.Account
	if name == "" {
		name = account.Global
	}
	known := o.Known
	if known == nil {
		known = func(name string) bool { return o.Accounts.Get(name) != nil }
	}
	if !known(name) {
		return fmt.Errorf("there is no account %q; add it to accounts { }", name)
	}
	return nil
}

// address returns u as something to dial.
func address(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(strings.Trim(u.Hostname(), "[]"), fmt.Sprint(DefaultPort))
}
