// Package config turns a configuration file in nats-server's grammar and
// nats-server's command line flags into the options of every package.
//
// A key that is unknown, or that nats-server knows and Ganglion does not have
// yet, is an error that names the key, the file and the line.
package config

import (
	"net/netip"
	"time"

	"ganglion/core/broker"
	"ganglion/core/client"
)

// Config is everything that a server process is told.
type Config struct {
	Broker broker.Options

	// Host and Port of the client listener; port -1 takes a free one.
	Host string
	Port int

	// HTTPHost, HTTPPort and HTTPBasePath are the monitoring listener; port 0
	// is none, -1 a free one.
	HTTPHost     string
	HTTPPort     int
	HTTPBasePath string
	// HTTPSPort serves monitoring under TLS; 0 is none, -1 a free one.
	HTTPSPort int
	// Monitor says who may look at them.
	Monitor Monitor
	// ProfPort serves /debug/pprof on a port of its own; 0 is none.
	ProfPort int

	// TLS is of the client listener and the https monitoring port.
	TLS TLS
	// AllowNonTLS lets clients stay without TLS.
	AllowNonTLS  bool
	WebSocket    WebSocket
	QUIC         QUIC
	WebTransport WebTransport
	QUICByFlag   bool // QUIC is of --quic
	LeafNodes    LeafNodes
	// ProxyProtocol has the client listener expect a PROXY header; ProxyFrom,
	// if any, only from those networks.
	ProxyProtocol bool
	ProxyFrom     []netip.Prefix
	// Listeners holds limits of the listeners tcp and websocket, and further
	// listeners, by name.
	Listeners map[string]Listener
	// Domain has everything run under a certificate for that name; see domain.
	Domain   string
	Email    string // for the CA, with Domain
	WSSPort  int    // of the listener that Domain opens; 0 is 443
	ACMEPort int    // for HTTP-01, 0 is 80

	// Operator says whom to trust in operator mode.
	Operator Operator

	Plugins Plugins

	Log Log

	PidFile      string
	PortsFileDir string

	// File is the configuration file, "" without one.
	File string
}

// Log says what is logged, and where to.
type Log struct {
	Debug, Trace bool
	Time         bool // with the time of each record
	UTC          bool
	Format       string // "text" or "json"
	File         string // "" is standard error
	SizeLimit    int64  // bytes at which File is rotated; 0 is never
	MaxFiles     int    // rotated files kept; 0 is all
}

// Default returns the configuration of a server that is told nothing.
func Default() *Config {
	return &Config{Host: "0.0.0.0", Port: broker.DefaultPort, HTTPHost: "0.0.0.0", Log: Log{Time: true, Format: "text"}}
}

// minLameDuck is nats-server's lower limit of lame_duck_duration.
const minLameDuck = 30 * time.Second

// LevelTrace is the log level of protocol traces.
const LevelTrace = client.LevelTrace
