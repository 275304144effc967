package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/hook"
	"ganglion/core/monitor"
	"ganglion/core/wire"
	"ganglion/plugins"
	"ganglion/plugins/wasm"
)

// admission has the plugins look at who joins and subscribes. The Manager comes
// after the broker, before anybody can join.
type admission struct{ d *Daemon }

// OnConnect asks the plugins (hook.Connect).
func (a admission) OnConnect(from *hook.Origin, c *wire.ConnectOptions) error {
	if a.d.plugins == nil {
		return nil
	}
	return a.d.plugins.OnConnect(from, c)
}

// OnSubscribe asks the plugins (hook.Subscribe).
func (a admission) OnSubscribe(from *hook.Origin, subject, queue string) error {
	if a.d.plugins == nil {
		return nil
	}
	return a.d.plugins.OnSubscribe(from, subject, queue)
}

// admit puts the plugins among the hooks of o.
func (d *Daemon) admit(c *config.Config, o *broker.Options) {
	if c.Plugins.On {
		o.Connect = append(o.Connect, admission{d})
		o.Subscribe = append(o.Subscribe, admission{d})
		o.Requests = map[string]func(map[string]any) (any, error){
			"PLUGINZ": func(map[string]any) (any, error) { return d.plugins.Status(), nil },
			"PLUGIN": func(o map[string]any) (any, error) {
				name, _ := o["plugin"].(string)
				action, _ := o["action"].(string)
				if err := d.pluginAction(name, action); err != nil {
					return nil, err
				}
				return d.plugins.Status(), nil
			},
		}
	}
}

// startPlugins loads the plugins that are there. Listeners open later.
func (d *Daemon) startPlugins(ctx context.Context) error {
	c := &d.config.Plugins
	if !c.On {
		return nil
	}
	dir := c.CacheDir
	if dir == "" {
		if user, err := os.UserCacheDir(); err == nil {
			dir = filepath.Join(user, "ganglion", "plugins")
		}
	}
	var err error
	d.wasm = wasm.NewHost(wasm.HostOptions{CacheDir: dir, CacheOptional: c.CacheDir == "", Metering: c.Metering})
	o := c.Options
	o.Host, o.Log, o.MaxPayload = d.wasm, d.log.Logger, func() int { return d.broker.Options().MaxPayload }
	o.Bind = func(list []plugins.Hook) {
		hooks := make([]broker.Hook, len(list))
		for i, h := range list {
			hooks[i] = broker.Hook{Binding: h.Binding, Accounts: h.Accounts}
		}
		d.broker.SetHooks(hooks)
	}
	o.Emit = func(account string, hops int, m *wire.Msg) error {
		return d.broker.PublishAs("plugins", account, hops, m)
	}
	o.Event = func(e plugins.Event) {
		b, err := json.Marshal(e)
		if err != nil {
			return
		}
		subj := fmt.Appendf(nil, "$SYS.SERVER.%s.PLUGIN.%s.%s", d.broker.ID(), cmp.Or(e.Plugin, "_"), e.Kind)
		d.broker.PublishAs("plugins", d.broker.Accounts().System().Name(), 0, &wire.Msg{Subject: subj, Data: b})
	}
	if d.plugins, err = plugins.New(ctx, o); err != nil {
		return err
	}
	d.plugins.SetSystemAccount(d.broker.Accounts().System().Name())
	d.log.Info("plugins are watched", "dir", c.Dir)
	return nil
}

// preparePlugins has what is said of plugins hold.
func (d *Daemon) preparePlugins(c *config.Config) (commit, abort func(), err error) {
	if d.plugins == nil {
		return func() {}, func() {}, nil
	}
	apply, err := d.plugins.Prepare(c.Plugins.Options)
	if err != nil {
		return nil, nil, err
	}
	return func() {
		apply()
		d.plugins.SetSystemAccount(d.broker.Accounts().System().Name())
	}, func() {}, nil
}

// closePlugins ends them.
func (d *Daemon) closePlugins() {
	if d.plugins != nil {
		d.plugins.Close()
	}
	if d.wasm != nil {
		d.wasm.Close()
	}
}

// pluginz shows the plugins, and takes POSTs ?plugin=NAME&action=enable, disable or
// reload where monitoring needs a login.
func (d *Daemon) pluginz(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if c := d.Config(); c.Monitor.User == "" && !c.Monitor.Certificate {
			http.Error(w, "plugins can be changed here when monitor { } names a user or wants a client certificate", http.StatusForbidden)
			return
		}
		if err := d.pluginAction(r.URL.Query().Get("plugin"), r.URL.Query().Get("action")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(d.plugins.Status())
}

// pluginSamples are the plugins' numbers for /metrics.
func (d *Daemon) pluginSamples() (list []monitor.Sample) {
	for _, p := range d.plugins.Status().Plugins {
		add := func(name, help string, counter bool, v float64, more ...string) {
			s := monitor.Sample{Name: "plugin_" + name, Help: help, Counter: counter, Value: v, Labels: map[string]string{"plugin": p.Name}}
			for i := 0; i < len(more); i += 2 {
				s.Labels[more[i]] = more[i+1]
			}
			list = append(list, s)
		}
		running := 0.0
		if p.State == "running" {
			running = 1
		}
		add("running", "1 while the plugin is in service.", false, running)
		add("calls_total", "Messages and requests that the plugin looked at.", true, float64(p.Calls))
		for verdict, n := range p.Verdicts {
			add("verdicts_total", "What the plugin decided.", true, float64(n), "verdict", verdict)
		}
		for policy, n := range p.OnError {
			add("on_error_total", "Messages that the error policy decided on.", true, float64(n), "policy", policy)
		}
		add("faults_total", "Failures of the plugin.", true, float64(p.Faults))
		add("emitted_total", "Messages that the plugin published.", true, float64(p.Emitted))
	}
	for _, m := range d.plugins.Metrics() {
		s := monitor.Sample{Name: "plugin_gauge", Help: "Gauges that plugins keep.", Value: m.Value, Labels: map[string]string{"plugin": m.Plugin, "name": m.Name}}
		if m.Counter {
			s.Name, s.Help, s.Counter = "plugin_count_total", "Counters that plugins keep.", true
		}
		list = append(list, s)
	}
	return list
}

// pluginAction does what an operator asks for.
func (d *Daemon) pluginAction(name, action string) error {
	switch action {
	case "enable":
		return d.plugins.Enable(name)
	case "disable":
		return d.plugins.Disable(name)
	case "reload":
		d.plugins.Reload()
		return nil
	}
	return fmt.Errorf("action %q is none of enable, disable and reload", action)
}
