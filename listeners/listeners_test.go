package listeners_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"ganglion/listeners"
)

func TestLimitsCheck(t *testing.T) {
	for _, tc := range []struct {
		limits listeners.Limits
		want   string
	}{
		{listeners.Limits{}, ""},
		{listeners.Limits{MaxConns: 1, MaxPerAddr: 1, AcceptRate: 0.5, AcceptBurst: 1}, ""},
		{listeners.Limits{MaxPerAddr: -1}, "MaxPerAddr is -1"},
		{listeners.Limits{AcceptRate: -1}, "AcceptRate is -1"},
		{listeners.Limits{AcceptBurst: 5}, "set AcceptRate too"},
	} {
		err := tc.limits.Check()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.limits, err, tc.want)
		}
	}
}

func TestSet(t *testing.T) {
	var opened []*script
	reg := listeners.Registry{"script": func(context.Context, listeners.Config) (net.Listener, error) {
		opened = append(opened, newScript())
		return opened[len(opened)-1], nil
	}}
	set, err := reg.Open(t.Context(), listeners.Config{Name: "a", Kind: "script"}, listeners.Config{Name: "b", Kind: "script"})
	if err != nil {
		t.Fatal(err)
	}
	b, ok := set.Lookup("b")
	if !ok || b.Name != "b" || b.Listener != net.Listener(b.Gate) {
		t.Fatalf("lookup: %+v", b)
	}
	if _, ok := set.Lookup("c"); ok {
		t.Fatal("found a listener that there is not")
	}
	// One listener of the set is closed; its connections and the others stay.
	go opened[1].arrive("10.0.0.1:1")
	c, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	stats := set.Stats()
	if stats[0].Name != "a" || stats[0].Closed || !stats[1].Closed || stats[1].Open != 1 {
		t.Fatalf("stats %+v", stats)
	}
	c.Close()
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	if !set[0].Gate.Stats().Closed {
		t.Fatal("a is open")
	}

	for _, tc := range []struct {
		name string
		cs   []listeners.Config
		want string
	}{
		{"name twice", []listeners.Config{{Name: "a", Kind: "script"}, {Name: "a", Kind: "script"}}, "name"},
		{"limits", []listeners.Config{{Name: "a", Kind: "script"}, {Name: "b", Kind: "script", Limits: listeners.Limits{MaxConns: -5}}}, "MaxConns is -5"},
		{"kind", []listeners.Config{{Name: "a", Kind: "script"}, {Name: "b", Kind: "carrier pigeon"}}, "carrier pigeon"},
	} {
		opened = nil
		_, err := reg.Open(t.Context(), tc.cs...)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if len(opened) != 1 {
			t.Fatalf("%s: %d opened", tc.name, len(opened))
		}
		<-opened[0].closed
	}
}
