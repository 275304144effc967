package certs

import (
	"testing"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/libdns"
	"github.com/mholt/acmez/v3/acme"
)

// The names of RFC 8738, section 6.
func TestALPNName(t *testing.T) {
	for id, want := range map[string]string{
		"Example.com": "example.com",
		"192.0.2.1":   "1.2.0.192.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := alpnName(acme.Challenge{Identifier: acme.Identifier{Value: id}}); got != want {
			t.Errorf("alpnName(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestSameACME(t *testing.T) {
	type provider struct {
		libdns.RecordAppender
		libdns.RecordDeleter
		_ []string // makes it incomparable
	}
	p1, p2 := &provider{}, &provider{}
	with := func(p certmagic.DNSProvider) *ACME {
		return &ACME{Domains: []string{"a.test"}, DNS: &DNS{Provider: p}}
	}
	for _, c := range []struct {
		name string
		a, b *ACME
		want bool
	}{
		{"equal", &ACME{Domains: []string{"a.test"}}, &ACME{Domains: []string{"a.test"}}, true},
		{"other domain", &ACME{Domains: []string{"a.test"}}, &ACME{Domains: []string{"b.test"}}, false},
		{"same provider", with(p1), with(p1), true},
		{"other provider", with(p1), with(p2), false},
		{"provider that cannot be compared", with(provider{}), with(provider{}), false},
		{"no provider", with(nil), with(p1), false},
		{"no dns", &ACME{Domains: []string{"a.test"}}, with(p1), false},
		{"roots that cannot be read", &ACME{CARoots: "/nowhere"}, &ACME{CARoots: "/nowhere"}, false},
	} {
		s := &acmeSource{spec: *c.a}
		if got := s.same(c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
