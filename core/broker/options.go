package broker

import (
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/hook"
	"ganglion/core/limit"
	"ganglion/core/operator"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// Defaults, which are nats-server's.
const (
	DefaultPort             = 4222
	DefaultMaxConnections   = 64 << 10
	DefaultMaxPending       = 64 << 20
	DefaultWriteDeadline    = 10 * time.Second
	DefaultPingInterval     = 2 * time.Minute
	DefaultPingMax          = 2
	DefaultMaxClosed        = 10000
	DefaultLameDuckDuration = 2 * time.Minute
	DefaultLameDuckGrace    = 10 * time.Second
	maxMaxPayload           = 64 << 20
)

// Options configure a Broker. The zero value is a broker that lets everybody in,
// with nats-server's defaults.
type Options struct {
	// ServerName is what INFO says; "" is the server's id. No blanks.
	ServerName string
	// Host and Port are what INFO says, e.g. the main listener's address.
	Host string
	Port int
	// ClientAdvertise, "host:port" or "host", replaces both in INFO.
	ClientAdvertise string
	// GitCommit names our own version in INFO.
	GitCommit string
	// Version is our own version, for monitoring.
	Version string
	// ConfigDigest returns what identifies the configuration to monitoring; nil is
	// nothing.
	ConfigDigest func() string
	// Tags and Metadata describe the server to monitoring.
	Tags     []string
	Metadata map[string]string

	// Auth says who may join. What it needs of the broker itself (Accounts, Keys,
	// Logger) is filled in.
	Auth auth.Options
	// Accounts are the accounts there are beside the global and the system
	// account, which may be among them.
	Accounts []account.Spec
	// SystemAccount names the system account; "" is account.System.
	SystemAccount string
	// AccountStore is where account JWTs go that are pushed to the system
	// account, in operator mode; nil refuses them.
	AccountStore operator.Store
	// Reload loads the configuration anew when the system account says so; nil
	// is an error then.
	Reload func() error
	// Requests are further requests of the system account, by name:
	// $SYS.REQ.SERVER.PING.NAME and the server's own. They are given the JSON object
	// in the request. Static.
	Requests map[string]func(options map[string]any) (any, error)
	// Mappings are subject mappings of the global account, beside those in its
	// Spec; the first that matches applies.
	Mappings []*subject.Mapping

	MaxConnections   int           // 0 is DefaultMaxConnections, negative no limit
	MaxSubscriptions int           // per connection; 0 is no limit
	MaxSubTokens     int           // tokens in a subscription's subject; 0 is no limit
	MaxPayload       int           // bytes; 0 is wire.DefaultMaxPayload
	MaxControlLine   int           // bytes; 0 is wire.DefaultMaxControlLine
	MaxPending       int64         // bytes queued for one connection; 0 is DefaultMaxPending
	MaxPendingTotal  int64         // bytes queued for all; 0 is a quarter of memory, negative no limit
	WriteDeadline    time.Duration // for one write; 0 is DefaultWriteDeadline
	PingInterval     time.Duration // 0 is DefaultPingInterval
	PingMax          int           // unanswered PINGs before a connection is stale; 0 is DefaultPingMax
	MaxClosed        int           // ended connections remembered for monitoring; 0 is DefaultMaxClosed

	// Leaf says how the broker is joined to others.
	Leaf LeafOptions

	// RateLimits bound how much clients may send. The system account and
	// connections inside the process are exempt.
	RateLimits limit.Limits

	LameDuckDuration time.Duration // over which clients are closed; 0 is DefaultLameDuckDuration
	LameDuckGrace    time.Duration // before the first is closed; 0 is DefaultLameDuckGrace, negative none

	NoHeaders           bool // refuse message headers
	NoFastProducerStall bool // don't slow producers of slow consumers
	Trace               bool // log every op of clients
	MaxTraced           int  // bytes of payload logged; 0 is all

	// Connect, Subscribe, Publish and Deliver are hooks in plain Go. The
	// patterns of Publish and Deliver say which subjects they see.
	Connect   []hook.Connect
	Subscribe []hook.Subscribe
	Publish   []PublishHook
	Deliver   []DeliverHook

	// Logger gets everything there is to say; nil is silence.
	Logger *slog.Logger
}

// PublishHook is a hook on the subjects that Pattern matches.
type PublishHook struct {
	Pattern string
	Hook    hook.Publish
}

// DeliverHook is a hook on the subjects that Pattern matches.
type DeliverHook struct {
	Pattern string
	Hook    hook.Deliver
}

// normal returns o with its defaults filled in, or what is wrong with it.
func (o Options) normal() (Options, error) {
	def(&o.MaxConnections, DefaultMaxConnections)
	def(&o.MaxPayload, wire.DefaultMaxPayload)
	def(&o.MaxControlLine, wire.DefaultMaxControlLine)
	def(&o.MaxPending, DefaultMaxPending)
	def(&o.MaxPendingTotal, quarterOfMemory())
	def(&o.WriteDeadline, DefaultWriteDeadline)
	def(&o.PingInterval, DefaultPingInterval)
	def(&o.PingMax, DefaultPingMax)
	def(&o.MaxClosed, DefaultMaxClosed)
	def(&o.LameDuckDuration, DefaultLameDuckDuration)
	def(&o.LameDuckGrace, DefaultLameDuckGrace)
	if o.ConfigDigest == nil {
		o.ConfigDigest = func() string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Host == "" {
		o.Host = "0.0.0.0"
	}
	switch {
	case strings.ContainsAny(o.ServerName, " \t\r\n"):
		return o, fmt.Errorf("server_name %q contains blanks; use a name without", o.ServerName)
	case o.MaxPayload > maxMaxPayload:
		return o, fmt.Errorf("max_payload %d is above %d; lower it", o.MaxPayload, maxMaxPayload)
	case int64(o.MaxPayload) > o.MaxPending:
		return o, fmt.Errorf("max_payload (%d) cannot be higher than max_pending (%d); raise max_pending", o.MaxPayload, o.MaxPending)
	case o.MaxPayload < 0 || o.MaxControlLine < 0 || o.MaxPending < 0 || o.WriteDeadline < 0 || o.PingInterval < 0 || o.PingMax < 0:
		return o, fmt.Errorf("a limit is negative; use 0 for its default")
	}
	if err := o.RateLimits.Check(); err != nil {
		return o, err
	}
	return o, nil
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// quarterOfMemory returns a quarter of GOMEMLIMIT or of the machine's memory.
func quarterOfMemory() int64 {
	total := debug.SetMemoryLimit(-1)
	if m := physicalMemory(); total == math.MaxInt64 && m > 0 {
		total = m
	}
	if total == math.MaxInt64 {
		return 4 << 30
	}
	return max(total/4, DefaultMaxPending)
}
