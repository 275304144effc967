package router

import (
	"testing"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// TestMoved: a message whose subject a publish hook replaced meets the deliver
// hooks of where it goes, not of where it came from.
func TestMoved(t *testing.T) {
	var ran []string
	deliver := func(name string) hook.Deliver {
		return hook.DeliverFunc(func(to hook.Zone, _ *wire.Msg) (hook.Verdict, error) {
			ran = append(ran, name+" "+to.Account+" "+to.Listener)
			return hook.Pass, nil
		})
	}
	acc := account.New("A")
	acc.SetHooks(hook.NewTable([]hook.Binding{
		{Pattern: "raw.>", Publish: hook.PublishFunc(func(_ *hook.Origin, m *wire.Msg) (hook.Verdict, error) {
			m.Scratch = append(m.Scratch, "pii.x"...)
			m.Subject = m.Scratch
			return hook.Pass, nil
		})},
		{Pattern: "raw.>", Deliver: deliver("raw")},
		{Pattern: "pii.>", Deliver: deliver("pii")},
	}))
	s := account.NewSubscription(&counting{}, "pii.>", "", "1")
	s.Listener = "tcp"
	acc.Subscribe(s)
	var from counting
	if out := New(0, &Counters{}).Publish(&from, acc, nil, &wire.Msg{Subject: []byte("raw.x")}); out.Receivers != 1 {
		t.Errorf("%+v", out)
	}
	if len(ran) != 1 || ran[0] != "pii A tcp" {
		t.Errorf("ran %q", ran)
	}
}
