// Package config turns a configuration file in nats-server's grammar and
// nats-server's command line flags into the options of every package.
//
// A key that is unknown, or that nats-server knows and Ganglion does not have
// yet, is an error that names the key, the file and the line.
package config

import (
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
	// ProfPort serves /debug/pprof on a port of its own; 0 is none.
	ProfPort int

	Log Log

	PidFile      string
	PortsFileDir string

	// File is the configuration file, "" without one; Digest identifies its
	// contents.
	File   string
	Digest string
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
