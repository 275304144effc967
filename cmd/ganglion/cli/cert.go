package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/listeners/certs"
)

type certCmd struct {
	Root certRootCmd `cmd:"" help:"Print the root of the internal CA, for clients to trust."`
	Show certShowCmd `cmd:"" help:"List the certificates of a configuration, and until when they hold."`
}

// configured is the flag of what reads a server's configuration.
type configured struct {
	Config string `short:"c" required:"" help:"Configuration file of the server."`
}

// manager loads the certificates as the server does at its start.
func (f *configured) manager(env *environment) (*certs.Manager, error) {
	c := config.Default()
	if err := c.Load(f.Config); err != nil {
		return nil, err
	}
	sources := c.Sources()
	if len(sources) == 0 {
		return nil, fmt.Errorf("%s has no tls { } block", f.Config)
	}
	log := slog.New(slog.NewTextHandler(env.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return certs.New(certs.Options{Sources: sources, Logger: log})
}

type certRootCmd struct{ configured }

// Run prints the root in PEM form.
func (c *certRootCmd) Run(env *environment) error {
	m, err := c.manager(env)
	if err != nil {
		return err
	}
	root, err := m.Root()
	if err != nil {
		return err
	}
	_, err = env.stdout.Write(root)
	return errors.Join(err, m.Close())
}

type certShowCmd struct{ configured }

// Run lists the certificates that are there.
func (c *certShowCmd) Run(env *environment) error {
	m, err := c.manager(env)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(env.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "BLOCK\tKIND\tNAMES\tISSUER\tUNTIL\tSHA-256")
	for _, i := range m.Certificates() {
		until := "not there yet"
		if !i.NotAfter.IsZero() {
			until = i.NotAfter.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.16s\n", i.Source, i.Kind, strings.Join(i.Names, ","), i.Issuer, until, i.Fingerprint)
	}
	return errors.Join(w.Flush(), m.Close())
}
