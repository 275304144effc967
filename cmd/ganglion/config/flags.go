package config

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ganglion/core/broker"
)

// Action is what the command line asks for.
type Action int

// The actions.
const (
	Run     Action = iota
	Help           // print the usage
	HelpTLS        // print the names that TLS options may have
	Version        // print the version
	Test           // check the configuration and exit
	Signal         // send a signal to a running server
)

// Command is a parsed command line.
type Command struct {
	Action Action
	Config *Config
	Signal string // COMMAND or COMMAND=PID for the action Signal

	args []string
}

// unbuilt are flags of nats-server that Ganglion does not have yet.
var unbuilt = []string{"js", "jetstream", "sd", "store_dir",
	"routes", "cluster", "cluster_name", "cluster_listen", "no_advertise", "cluster_advertise", "connect_retries",
	"s", "syslog", "r", "remote_syslog"}

// Parse reads the command line args, without the program's name, and the
// configuration file that it names. Flags stand above the file. Usage errors of
// package flag are written to w.
func Parse(args []string, w io.Writer) (*Command, error) {
	cmd := &Command{args: args}
	file, err := cmd.scan(args, w, Default())
	if err != nil || cmd.Action != Run && cmd.Action != Test {
		return cmd, err
	}
	cmd.Config = Default()
	if file != "" {
		if err := cmd.Config.Load(file); err != nil {
			return nil, err
		}
	} else if cmd.Action == Test {
		return nil, fmt.Errorf("config: -t needs a configuration file; add -c FILE")
	}
	if _, err := cmd.scan(args, io.Discard, cmd.Config); err != nil {
		return nil, err
	}
	return cmd, cmd.Config.finish()
}

// Reread reads the file and the flags of a running server again.
func (cmd *Command) Reread() (*Config, error) {
	again, err := Parse(cmd.args, io.Discard)
	if err != nil {
		return nil, err
	}
	return again.Config, nil
}

// finish sets what follows from several options.
func (c *Config) finish() error {
	c.Broker.Trace = c.Log.Trace
	if c.Plugins.Dir == "" && !c.Plugins.On {
		if info, err := os.Stat("plugins"); err == nil && info.IsDir() {
			c.Plugins.Dir = "plugins"
		}
	}
	c.Plugins.On = c.Plugins.On || c.Plugins.Dir != ""
	if err := c.Plugins.Check(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if c.Port == 0 {
		c.Port = broker.DefaultPort
	}
	if c.Domain != "" {
		if err := c.applyDomain(); err != nil {
			return err
		}
	}
	if err := c.finishQUIC(); err != nil {
		return err
	}
	if err := c.finishLeafNodes(); err != nil {
		return err
	}
	if c.TLS.On && c.Broker.Auth.Timeout == 0 {
		// As nats-server does: the handshake comes out of the same time.
		c.Broker.Auth.Timeout = cmp.Or(c.TLS.Timeout, broker.DefaultTLSTimeout) + time.Second
	}
	_, limited := c.Listeners[ListenerWebSocket]
	switch {
	case c.HTTPSPort != 0 && !c.TLS.On:
		return fmt.Errorf("config: https_port %d needs TLS; add a tls { } block", c.HTTPSPort)
	case len(c.ProxyFrom) > 0 && !c.ProxyProtocol:
		return fmt.Errorf("config: proxy_protocol_from needs proxy_protocol: true; add it")
	case limited && !c.WebSocket.On:
		return fmt.Errorf("config: listeners.websocket limits a listener that is not there; add a websocket { } block")
	case c.limits(ListenerQUIC) && !c.QUIC.On:
		return fmt.Errorf("config: listeners.quic limits a listener that is not there; add a quic { } block")
	case c.limits(ListenerWebTransport) && !c.WebTransport.On:
		return fmt.Errorf("config: listeners.webtransport limits a listener that is not there; add a webtransport { } block")
	case c.Email != "" && c.Domain == "":
		return fmt.Errorf("config: --email %s goes with --domain; add that", c.Email)
	case c.WSSPort != 0 && c.Domain == "":
		return fmt.Errorf("config: --https-port %d goes with --domain; add that", c.WSSPort)
	case c.AllowNonTLS && !c.TLS.On:
		return fmt.Errorf("config: allow_non_tls needs a tls { } block; add one or remove it")
	}
	ports := map[int]string{}
	for _, p := range []struct {
		name string
		port int
	}{{"port", c.Port}, {"http_port", c.HTTPPort}, {"https_port", c.HTTPSPort}, {"websocket.port", c.WebSocket.Port}, {"leafnodes.port", c.LeafNodes.Port}} {
		if p.port <= 0 {
			continue
		}
		if other, taken := ports[p.port]; taken {
			return fmt.Errorf("config: %s and %s are both %d; change one of them", other, p.name, p.port)
		}
		ports[p.port] = p.name
	}
	return nil
}

// scan defines nats-server's flags over c and parses args. It returns the name
// of the configuration file.
func (cmd *Command) scan(args []string, w io.Writer, c *Config) (string, error) {
	fs := flag.NewFlagSet("ganglion", flag.ContinueOnError)
	fs.SetOutput(w)
	fs.Usage = func() { fmt.Fprint(w, Usage) }
	var file, sig string
	var help, version, test, dv, dvv, vv bool
	for _, n := range []string{"a", "addr", "net"} {
		fs.StringVar(&c.Host, n, c.Host, "")
	}
	for _, n := range []string{"p", "port"} {
		fs.IntVar(&c.Port, n, c.Port, "")
	}
	for _, n := range []string{"n", "name", "server_name"} {
		fs.StringVar(&c.Broker.ServerName, n, c.Broker.ServerName, "")
	}
	for _, n := range []string{"P", "pid"} {
		fs.StringVar(&c.PidFile, n, c.PidFile, "")
	}
	for _, n := range []string{"m", "http_port"} {
		fs.IntVar(&c.HTTPPort, n, c.HTTPPort, "")
	}
	for _, n := range []string{"ms", "https_port"} {
		fs.IntVar(&c.HTTPSPort, n, c.HTTPSPort, "")
	}
	for _, n := range []string{"c", "config"} {
		fs.StringVar(&file, n, "", "")
	}
	for _, n := range []string{"l", "log"} {
		fs.StringVar(&c.Log.File, n, c.Log.File, "")
	}
	for _, n := range []string{"T", "logtime"} {
		fs.BoolVar(&c.Log.Time, n, c.Log.Time, "")
	}
	for _, n := range []string{"D", "debug"} {
		fs.BoolVar(&c.Log.Debug, n, c.Log.Debug, "")
	}
	for _, n := range []string{"V", "trace"} {
		fs.BoolVar(&c.Log.Trace, n, c.Log.Trace, "")
	}
	for _, n := range []string{"sl", "signal"} {
		fs.StringVar(&sig, n, "", "")
	}
	for _, n := range []string{"h", "help"} {
		fs.BoolVar(&help, n, false, "")
	}
	for _, n := range []string{"v", "version"} {
		fs.BoolVar(&version, n, false, "")
	}
	fs.BoolVar(&test, "t", false, "")
	fs.StringVar(&c.Plugins.Dir, "plugins", c.Plugins.Dir, "")
	fs.BoolVar(&dv, "DV", false, "")
	fs.BoolVar(&dvv, "DVV", false, "")
	fs.BoolVar(&vv, "VV", false, "")
	fs.BoolVar(&c.Log.UTC, "logtime_utc", c.Log.UTC, "")
	fs.StringVar(&c.Broker.ClientAdvertise, "client_advertise", c.Broker.ClientAdvertise, "")
	fs.StringVar(&c.PortsFileDir, "ports_file_dir", c.PortsFileDir, "")
	fs.Int64Var(&c.Log.SizeLimit, "log_size_limit", c.Log.SizeLimit, "")
	fs.IntVar(&c.Broker.MaxTraced, "max_traced_msg_len", c.Broker.MaxTraced, "")
	fs.StringVar(&c.Broker.Auth.User, "user", c.Broker.Auth.User, "")
	fs.StringVar(&c.Broker.Auth.Password, "pass", c.Broker.Auth.Password, "")
	fs.StringVar(&c.Broker.Auth.Token, "auth", c.Broker.Auth.Token, "")
	fs.IntVar(&c.ProfPort, "profile", c.ProfPort, "")
	var ws, quic int
	fs.IntVar(&ws, "ws", 0, "")
	fs.IntVar(&quic, "quic", 0, "")
	fs.StringVar(&c.Domain, "domain", c.Domain, "")
	fs.StringVar(&c.Email, "email", c.Email, "")
	fs.IntVar(&c.WSSPort, "https-port", c.WSSPort, "")
	fs.IntVar(&c.ACMEPort, "http-port", c.ACMEPort, "")
	var tf tlsFlags
	tf.define(fs)
	var asked string
	for _, n := range unbuilt {
		fs.BoolFunc(n, "", func(string) error { asked = n; return nil })
	}
	err := fs.Parse(args)
	switch {
	case asked != "":
		return "", fmt.Errorf("flag -%s is one of nats-server's that Ganglion does not support yet; remove it", asked)
	case err == flag.ErrHelp:
		cmd.Action = Help
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%w (see --help)", err)
	case fs.NArg() > 0:
		return "", fmt.Errorf("unrecognized command: %q (see --help)", strings.Join(fs.Args(), " "))
	}
	if err := tf.apply(&c.TLS); err != nil {
		return "", err
	}
	if ws != 0 {
		// A page of another site must not reach a broker that asks for nothing.
		c.WebSocket = WebSocket{On: true, Host: c.Host, Port: ws, NoTLS: true, SameOrigin: true}
	}
	if quic != 0 {
		c.QUICByFlag = true
		c.QUIC.On, c.QUIC.Host, c.QUIC.Port = true, c.Host, quic
		if !c.WebTransport.On {
			c.WebTransport = WebTransport{On: true, SameOrigin: c.WebSocket.SameOrigin}
		}
	}
	c.Log.Debug = c.Log.Debug || dv || dvv
	c.Log.Trace = c.Log.Trace || dv || dvv || vv
	switch {
	case help:
		cmd.Action = Help
	case tf.help:
		cmd.Action = HelpTLS
	case version:
		cmd.Action = Version
	case sig != "":
		cmd.Action, cmd.Signal = Signal, sig
	case test:
		cmd.Action = Test
	}
	return file, nil
}
