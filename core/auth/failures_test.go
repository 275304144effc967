package auth_test

import (
	"net/netip"
	"testing"
	"time"

	"ganglion/core/auth"
)

func TestFailures(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := &auth.Failures{Now: func() time.Time { return now }}
	at := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	bad, good := at("192.0.2.1"), at("192.0.2.2")
	for range 5 {
		f.Failed(bad)
	}
	if d := f.Delay(bad); d != 0 {
		t.Errorf("five failures delay by %v", d)
	}
	for range 10 {
		f.Failed(bad)
	}
	if d := f.Delay(bad); d < 100*time.Millisecond || d >= auth.MaxDelay {
		t.Errorf("fifteen failures delay by %v", d)
	}
	for range 1000 {
		f.Failed(bad)
	}
	if d := f.Delay(bad); d != auth.MaxDelay {
		t.Errorf("many failures delay by %v", d)
	}
	if d := f.Delay(good); d != 0 {
		t.Errorf("another address is delayed by %v", d)
	}
	if d := f.Delay(at("::ffff:192.0.2.1")); d != auth.MaxDelay {
		t.Errorf("the same address as IPv6 is delayed by %v", d)
	}
	f.Succeeded(bad)
	if d := f.Delay(bad); d == 0 {
		t.Error("one success forgives all")
	}
	now = now.Add(time.Minute)
	if d := f.Delay(bad); d != 0 {
		t.Errorf("a minute later the delay is %v", d)
	}
	for range 100 {
		f.Failed(at("2001:db8::1"))
	}
	if f.Delay(at("2001:db8::ffff")) == 0 || f.Delay(at("2001:db8:0:1::1")) != 0 {
		t.Error("IPv6 is not counted by /64")
	}
}

// TestFailuresBounded has one that matters outlast a flood of others.
func TestFailuresBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := &auth.Failures{Now: func() time.Time { return now }}
	bad := netip.MustParseAddr("198.51.100.1")
	for range 100 {
		f.Failed(bad)
	}
	for i := range 50_000 {
		f.Failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := f.Len(); n > 16384 {
		t.Errorf("remembers %d addresses", n)
	}
	if f.Delay(bad) != auth.MaxDelay {
		t.Error("a flood of other addresses makes it forget")
	}
}
