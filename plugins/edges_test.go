package plugins_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/plugins"
	"ganglion/plugins/abi"
)

// TestQuarantineEnds: a plugin that is bound to everything does not get its own
// dead letters again and again.
func TestQuarantineEnds(t *testing.T) {
	h := newHouse(t, guest, func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Policy: plugins.Quarantine, Bindings: []plugins.Binding{{Boundary: abi.Publish, Subjects: []string{">"}}}}}
	})
	nc := h.connect()
	dead, err := nc.SubscribeSync("quarantine.guest")
	if err != nil {
		t.Fatal(err)
	}
	nc.Publish("t.a", []byte("t"))
	nc.Flush()
	h.until("end", func() bool {
		s := h.m.Status().Plugins[0]
		return s.OnError["quarantine"]+s.OnError["fail_closed"] >= 2
	})
	if s := h.m.Status().Plugins[0]; s.Calls > 3 {
		t.Errorf("it was asked %d times about one message", s.Calls)
	}
	_ = dead
}

// TestOnce: a message that several of a binding's subjects match meets the plugin
// once.
func TestOnce(t *testing.T) {
	h := newHouse(t, guest, func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Bindings: []plugins.Binding{{Boundary: abi.Publish, Subjects: []string{"t.>", "t.*", "t.a"}}}}}
	})
	nc := h.connect()
	nc.Publish("t.a", []byte("p"))
	nc.Flush()
	if n := h.m.Status().Plugins[0].Calls; n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestTrustWithdrawn: a reload that pins another file ends the one in force.
func TestTrustWithdrawn(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	if got := ask(t, nc, "ux"); got != "t.a uX " {
		t.Fatal(got)
	}
	o := h.options()
	o.Configure = map[string]plugins.Config{"guest": {SHA256: strings.Repeat("0", 64)}}
	commit, err := h.m.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	if got := ask(t, nc, "ux"); got != "t.a ux " {
		t.Errorf("what is pinned to another file is in force: %s", got)
	}
}

// TestNameIsFree: a file that was refused for its name is loaded when the other
// goes.
func TestNameIsFree(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	h.drop("twin.wasm", guest)
	h.until("refusal", func() bool { return h.saw("refuse", "is that of the plugin in guest.wasm") })
	if err := os.Remove(h.dir + "/guest.wasm"); err != nil {
		t.Fatal(err)
	}
	h.until("twin", func() bool { return h.m.Status().Plugins[0].File == "twin.wasm" && ask(t, nc, "ux") == "t.a uX " })
}

// TestRequiredAdmission: nobody joins while the plugin that decides is not there.
func TestRequiredAdmission(t *testing.T) {
	h := newHouse(t, "", func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Required: true, Bindings: []plugins.Binding{{Boundary: abi.Connect}}}}
	})
	if nc, err := nats.Connect(h.url); err == nil {
		nc.Close()
		t.Error("somebody joined")
	}
	h.drop("guest.wasm", guest)
	h.until("plugin", func() bool {
		nc, err := nats.Connect(h.url, nats.Timeout(5*time.Second))
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}
