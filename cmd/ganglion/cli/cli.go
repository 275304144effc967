// Package cli is the client tools of the ganglion program: sub, pub, req, reply,
// rtt and bench, which talk to any NATS server through nats.go; cert; and plugin,
// for authors of plugins.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats.go"

	"ganglion/listeners/quic"
)

// Commands are the names of the tools.
var Commands = []string{"sub", "pub", "req", "reply", "rtt", "bench", "cert", "plugin"}

// Is reports whether name is one of Commands.
func Is(name string) bool {
	for _, c := range Commands {
		if c == name {
			return true
		}
	}
	return false
}

// connection is the flags that every tool has.
type connection struct {
	Server   string        `short:"s" default:"nats://localhost:4222" env:"NATS_URL" help:"Server to connect to: nats, tls, ws, wss or quic://host:port."`
	User     string        `help:"User name, or a token without --password."`
	Password string        `help:"Password of --user."`
	TLSCA    string        `name:"tlsca" help:"PEM file of the CA that signed the server's certificate."`
	TLSCert  string        `name:"tlscert" help:"PEM file of a certificate to show to the server."`
	TLSKey   string        `name:"tlskey" help:"PEM file of its key."`
	TLSFirst bool          `name:"tlsfirst" help:"Begin with TLS, before the server says anything."`
	Lane     []string      `help:"Over QUIC, deliver subscriptions within this subject on streams of their own."`
	Share    int           `default:"1" help:"Over QUIC, how many connections share one QUIC connection."`
	Name     string        `default:"ganglion-cli" help:"Name of the connection."`
	Timeout  time.Duration `default:"5s" help:"How long to wait for the server and for replies."`

	dialer *quic.Dialer // of the first connect
}

func (c *connection) connect(env *environment, opts ...nats.Option) (*nats.Conn, error) {
	opts = append(opts, nats.Name(c.Name), nats.Timeout(c.Timeout), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		fmt.Fprintln(env.stderr, "server:", err)
	}))
	switch {
	case c.User != "" && c.Password != "":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	case c.User != "":
		opts = append(opts, nats.Token(c.User))
	}
	if c.TLSCA != "" {
		opts = append(opts, nats.RootCAs(c.TLSCA))
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		opts = append(opts, nats.ClientCert(c.TLSCert, c.TLSKey))
	}
	if c.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	server := c.Server
	if strings.HasPrefix(server, quicScheme) {
		s, more, err := c.overQUIC()
		if err != nil {
			return nil, err
		}
		server, opts = s, append(opts, more...)
	} else if len(c.Lane) > 0 {
		return nil, fmt.Errorf("--lane goes with a server quic://host:port, not %s", c.Server)
	}
	nc, err := nats.Connect(server, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w; is a server running there? (-s names another)", c.Server, err)
	}
	return nc, nil
}

// environment is where a tool runs.
type environment struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

type tools struct {
	Sub   subCmd   `cmd:"" help:"Print the messages on a subject."`
	Pub   pubCmd   `cmd:"" help:"Publish a message."`
	Req   reqCmd   `cmd:"" help:"Send a request and print the replies."`
	Reply replyCmd `cmd:"" help:"Answer requests on a subject."`
	RTT   rttCmd   `cmd:"" name:"rtt" help:"Measure the round trip to the server."`
	Bench benchCmd `cmd:"" help:"Measure what a server can do."`
	Cert  certCmd  `cmd:"" help:"Show certificates, or the root of the internal CA."`

	Plugin pluginCmd `cmd:"" help:"Make, look at, try, measure and sign plugins."`
}

// Run runs the tool args[0] and returns the process's exit code. ctx ends it.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	env := &environment{ctx, stdin, stdout, stderr}
	code := -1
	p, err := kong.New(&tools{}, kong.Name("ganglion"), kong.Writers(stdout, stderr), kong.Exit(func(c int) { code = c }), kong.Bind(env),
		kong.Description("Tools for a NATS server."), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(stderr, "ganglion:", err)
		return 1
	}
	k, err := p.Parse(args)
	if code >= 0 { // --help
		return code
	}
	if err == nil {
		err = k.Run(env)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ganglion %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// headers reads "Name: value" flags.
func headers(list []string) (nats.Header, error) {
	if len(list) == 0 {
		return nil, nil
	}
	h := nats.Header{}
	for _, s := range list {
		name, value, ok := strings.Cut(s, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("header %q is not of the form \"Name: value\"", s)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}

// body returns the payload given as arguments, or standard input for "-" or when
// it is no terminal and no argument is given.
func body(env *environment, words []string) ([]byte, error) {
	if len(words) == 1 && words[0] == "-" || len(words) == 0 && !terminal(env.stdin) {
		b, err := io.ReadAll(env.stdin)
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return b, nil
	}
	return []byte(strings.Join(words, " ")), nil
}

func terminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
