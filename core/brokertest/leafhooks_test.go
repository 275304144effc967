package brokertest_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"ganglion/core/broker"
	"ganglion/core/hook"
	"ganglion/core/leaf"
	"ganglion/core/wire"
)

// TestLeafHooks: what crosses the uplink meets the hooks there, once for each
// message, and what stays on this side does not.
func TestLeafHooks(t *testing.T) {
	t.Parallel()
	core, leafs := hub(t, "", "")
	b, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}}})
	var outs, ins atomic.Int64
	out := hook.DeliverFunc(func(_ hook.Zone, m *wire.Msg) (hook.Verdict, error) {
		outs.Add(1)
		if bytes.HasSuffix(m.Subject, []byte("no")) {
			return hook.Drop, nil
		}
		m.Data, m.HdrLen = []byte("reduced"), 0
		return hook.Pass, nil
	})
	in := hook.PublishFunc(func(_ *hook.Origin, m *wire.Msg) (hook.Verdict, error) {
		ins.Add(1)
		switch {
		case bytes.HasSuffix(m.Subject, []byte("no")):
			return hook.Reject, errors.New("not here")
		case bytes.HasSuffix(m.Subject, []byte("move")):
			m.Subject = []byte("moved.here")
		default:
			m.Data, m.HdrLen = []byte("checked"), 0
		}
		return hook.Pass, nil
	})
	b.SetHooks([]broker.Hook{{Binding: hook.Binding{Pattern: "up.>", LeafOut: out}}, {Binding: hook.Binding{Pattern: "down.>", LeafIn: in}}})
	at, far := dial(t, tcpAt(addr)), dial(t, tcpAt(core))
	up, err := far.SubscribeSync("up.>")
	must(t, err)
	_, err = far.SubscribeSync("up.*") // it crosses once
	must(t, err)
	here, err := at.SubscribeSync("up.>")
	must(t, err)
	down, err := at.SubscribeSync("down.>")
	must(t, err)
	_, err = at.SubscribeSync("down.*")
	must(t, err)
	moved, err := at.SubscribeSync("moved.*")
	must(t, err)
	must(t, far.Flush())
	must(t, at.Flush())
	reaches(t, at, far)
	reaches(t, far, at)
	for _, s := range []string{"up.no", "up.yes"} {
		must(t, at.Publish(s, []byte("all of it")))
		next(t, here, "all of it")
	}
	if m := next(t, up, "reduced"); m.Subject != "up.yes" {
		t.Errorf("%s crossed", m.Subject)
	}
	for _, s := range []string{"down.no", "down.move", "down.yes"} {
		must(t, far.Publish(s, []byte("raw")))
	}
	if m := next(t, down, "checked"); m.Subject != "down.yes" {
		t.Errorf("%s came in", m.Subject)
	}
	if m := next(t, moved, "raw"); m.Subject != "moved.here" {
		t.Errorf("%s came in", m.Subject)
	}
	if o, i := outs.Load(), ins.Load(); o != 2 || i != 3 {
		t.Errorf("the hooks saw %d messages going out and %d coming in, want 2 and 3", o, i)
	}
}
