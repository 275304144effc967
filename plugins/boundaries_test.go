package plugins_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
	"ganglion/plugins"
	"ganglion/plugins/abi"
)

// at has the guest at other boundaries.
func at(bindings ...plugins.Binding) func(*plugins.Options) {
	return func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Bindings: bindings, Config: json.RawMessage(`{"want":"31"}`)}}
	}
}

// TestDeliver: what goes to the clients of a listener is changed, once for all of
// them; what stays inside is not.
func TestDeliver(t *testing.T) {
	h := newHouse(t, guest, at(plugins.Binding{Boundary: abi.Deliver, Subjects: []string{"t.>"}}))
	nc := h.connect()
	var subs []*nats.Subscription
	for range 3 {
		c := h.connect()
		sub, err := c.SubscribeSync("t.a")
		if err == nil {
			err = c.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	group, err := nc.QueueSubscribeSync("t.*", "workers")
	if err != nil {
		t.Fatal(err)
	}
	nc.Flush()
	for _, tt := range []struct{ payload, want string }{{"uhello", "uHELLO"}, {"plain", "plain"}, {"d", ""}, {"h", "h"}, {"sother", "sother"}, {"b", strings.Repeat("b", 256)}} {
		if err := nc.Publish("t.a", []byte(tt.payload)); err != nil {
			t.Fatal(err)
		}
		if tt.want == "" || tt.payload[0] == 's' { // dropped; a subject can't be replaced here
			continue
		}
		for i, sub := range append(subs, group) {
			m, err := sub.NextMsg(5 * time.Second)
			if err != nil {
				t.Fatalf("%s: %d: %v", tt.payload, i, err)
			}
			if string(m.Data) != tt.want || m.Subject != "t.a" {
				t.Errorf("%s: %d got %q on %s, want %q", tt.payload, i, m.Data, m.Subject, tt.want)
			}
			if tt.payload == "h" && m.Header.Get("A") != "b" {
				t.Errorf("%d got the headers %v", i, m.Header)
			}
		}
	}
	for _, p := range h.m.Status().Plugins {
		if p.Calls != 6 {
			t.Errorf("the plugin was asked %d times, want once a message", p.Calls)
		}
	}
}

// TestListeners: a binding to another listener sees nothing of this one.
func TestListeners(t *testing.T) {
	h := newHouse(t, guest, at(plugins.Binding{Boundary: abi.Publish, Subjects: []string{"t.>"}, Listeners: []string{"websocket"}}))
	echo(t, h.connect())
	if got := ask(t, h.connect(), "ux"); got != "t.a ux " {
		t.Errorf("%q", got)
	}
	commit, err := h.m.Prepare(func() plugins.Options {
		o := h.options()
		at(plugins.Binding{Boundary: abi.Publish, Subjects: []string{"t.>"}, Listeners: []string{"tcp"}})(&o)
		return o
	}())
	if err != nil {
		t.Fatal(err)
	}
	commit()
	if got := ask(t, h.connect(), "ux"); got != "t.a uX " {
		t.Errorf("after a reload: %q", got)
	}
}

// TestConnect: a plugin decides who may join.
func TestConnect(t *testing.T) {
	h := newHouse(t, guest, at(plugins.Binding{Boundary: abi.Connect}))
	h.connect(nats.Name("good"))
	nc, err := nats.Connect(h.url, nats.Name("bad"), nats.UserInfo("ann", "pw-secret"))
	if err == nil {
		nc.Close()
	}
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("%v, want %v", err, nats.ErrAuthorization)
	}
	if log := h.log.String(); !strings.Contains(log, "bad name") || strings.Contains(log, "pw-secret") {
		t.Errorf("the log:\n%s", log)
	}
}

// TestSubscribe: a plugin decides what may be subscribed to.
func TestSubscribe(t *testing.T) {
	h := newHouse(t, guest, at(plugins.Binding{Boundary: abi.Subscribe, Subjects: []string{"t.*"}}))
	nc := h.connect(nats.PermissionErrOnSubscribe(true))
	for subj, want := range map[string]bool{"t.no": false, "t.yes": true, "other.no": true} {
		sub, err := nc.SubscribeSync(subj)
		if err != nil {
			t.Fatal(err)
		}
		nc.Flush()
		_, err = sub.NextMsg(10 * time.Millisecond)
		if got := !errors.Is(err, nats.ErrPermissionViolation); got != want {
			t.Errorf("%s: %v", subj, err)
		}
	}
}

// TestOperate: disable, enable, what is shown, kept numbers.
func TestOperate(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	ask(t, nc, "C")
	ask(t, nc, "t")
	p := h.m.Status().Plugins[0]
	if p.Name != "guest" || p.State != "running" || p.Version != "1.0" || p.Calls != 2 || p.Verdicts["pass"] != 1 || p.Faults != 1 || !strings.Contains(p.LastFault, "unreachable") ||
		p.OnError["fail_closed"] != 1 || p.Metering != "fuel" || p.Metrics["seen"] != 1 || len(p.Bindings) != 1 || len(p.Hash) != 64 {
		t.Errorf("%+v", p)
	}
	if err := h.m.Disable("nobody"); err == nil {
		t.Error("a plugin that there is not is disabled")
	}
	if err := h.m.Disable("guest"); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, nc, "ux"); got != "t.a ux " || h.m.Status().Plugins[0].State != "disabled" {
		t.Errorf("disabled: %s, %s", got, h.m.Status().Plugins[0].State)
	}
	if err := h.m.Enable("guest"); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, nc, "ux"); got != "t.a uX " {
		t.Errorf("enabled: %s", got)
	}
}

// TestDeliverAccount: what a plugin emits while it looks at a message that goes out
// stays in that message's account.
func TestDeliverAccount(t *testing.T) {
	h := newHouse(t, guest, at(plugins.Binding{Boundary: abi.Deliver, Subjects: []string{"t.>"}}))
	other := account.Spec{Name: "OTHER", Limits: account.NoLimits}
	if _, errs := h.broker.Accounts().Update(other); len(errs) > 0 {
		t.Fatal(errs)
	}
	global := h.connect()
	wrong, err := global.SubscribeSync("out.>")
	if err != nil {
		t.Fatal(err)
	}
	global.Flush()
	peer := h.broker.PeerIn(h.broker.Accounts().Get("OTHER"), "test")
	got := make(chan string, 1)
	sub, err := peer.Subscribe("out.>", "", 0, func(m *wire.Msg) { got <- string(m.Subject) })
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	table := h.hooks[0].Deliver
	if v, err := table.OnDeliver(hook.Zone{Account: "OTHER", Listener: "tcp"}, &wire.Msg{Subject: []byte("t.a"), Data: []byte("E")}); v != hook.Pass || err != nil {
		t.Fatal(v, err)
	}
	if s := <-got; s != "out.x" {
		t.Errorf("%s", s)
	}
	if m, err := wrong.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("%s in the global account", m.Subject)
	}
}
