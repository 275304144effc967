package daemon

import (
	"fmt"
	"strings"

	"ganglion/cmd/ganglion/config"
)

// stage is one part of the process that takes new options.
type stage struct {
	name    string
	prepare func(c *config.Config) (commit, abort func(), err error)
}

// stages are prepared in this order; all commit, or all abort.
func (d *Daemon) stages() []stage {
	return []stage{
		{"log", func(c *config.Config) (func(), func(), error) { return d.log.prepare(c.Log) }},
		{"broker", func(c *config.Config) (func(), func(), error) {
			o := c.Broker
			o.Logger, o.Host, o.Port = d.log.Logger, c.Host, d.ClientAddr().Port
			o.Version, o.GitCommit = d.config.Broker.Version, d.config.Broker.GitCommit
			t, err := d.newTrust(c, d.trust)
			if err != nil {
				return nil, nil, err
			}
			if t != nil {
				o.Auth.Operator = t.Trust
			}
			d.admit(c, &o)
			if o.Leaf, err = d.leafOptions(c); err != nil {
				return nil, nil, err
			}
			commit, abort, err := d.broker.Prepare(o)
			if err != nil {
				return nil, nil, err
			}
			return func() { d.trust = t; commit() }, abort, nil
		}},
		{"listeners", d.prepareListeners},
		{"plugins", d.preparePlugins},
		{"pid file", d.preparePid},
	}
}

// Reload reads the configuration again and applies what changed: all of it, or,
// when something is wrong, nothing.
func (d *Daemon) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.reload(d.stages())
	if err != nil {
		d.log.Error("Failed to reload server configuration", "error", err)
	}
	return err
}

func (d *Daemon) reload(stages []stage) error {
	next, err := d.cmd.Reread()
	if err != nil {
		return err
	}
	next.Broker.Version, next.Broker.GitCommit = d.config.Broker.Version, d.config.Broker.GitCommit
	changes := config.Diff(d.config, next)
	for _, c := range changes {
		if c.Fixed {
			return fmt.Errorf("config reload not supported for %s: old=%s, new=%s; restart the server", strings.TrimPrefix(c.Name, "Broker."), c.Old, c.New)
		}
	}
	var commits, aborts []func()
	for _, s := range stages {
		commit, abort, err := s.prepare(next)
		if err != nil {
			for _, abort := range aborts {
				abort()
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
		commits, aborts = append(commits, commit), append(aborts, abort)
	}
	for _, commit := range commits {
		commit()
	}
	d.state.Lock()
	d.config = next
	d.state.Unlock()
	for _, c := range changes {
		d.log.Info("Reloaded", "option", c.Name, "old", c.Old, "new", c.New)
	}
	d.log.Info("Reloaded server configuration", "changes", len(changes))
	return nil
}

// preparePid writes a pid file of another name; the old one goes at commit.
func (d *Daemon) preparePid(c *config.Config) (commit, abort func(), err error) {
	if c.PidFile == d.config.PidFile {
		return func() {}, func() {}, nil
	}
	if c.PidFile != "" {
		if err := writePid(c.PidFile); err != nil {
			return nil, nil, err
		}
	}
	old := d.pid
	commit = func() {
		d.pid = c.PidFile
		remove(old)
	}
	return commit, func() { remove(c.PidFile) }, nil
}
