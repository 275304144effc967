package listeners_test

import (
	"net/http"
	"testing"

	"ganglion/listeners"
)

func TestOrigins(t *testing.T) {
	const host = "edge.example:8443"
	for _, tc := range []struct {
		name    string
		same    bool
		allowed []string
		origin  string
		plain   bool // not over TLS
		ok      bool
	}{
		{name: "everybody", origin: "https://else.example", ok: true},
		{name: "no page", same: true, allowed: []string{"https://a.example"}, ok: true},
		{name: "same", same: true, origin: "https://EDGE.example:8443", ok: true},
		{name: "same, plain", same: true, plain: true, origin: "http://edge.example:8443", ok: true},
		{name: "another scheme", same: true, origin: "http://edge.example:8443"},
		{name: "another port", same: true, origin: "https://edge.example"},
		{name: "another host", same: true, origin: "https://else.example:8443"},
		{name: "listed", allowed: []string{"https://a.example", "http://b.example:80"}, origin: "http://b.example", ok: true},
		{name: "default port", allowed: []string{"https://a.example"}, origin: "https://a.example:443", ok: true},
		{name: "not listed", allowed: []string{"https://a.example"}, origin: "https://b.example"},
		{name: "listed, not the same", same: true, allowed: []string{"https://a.example"}, origin: "https://a.example"},
		{name: "null", allowed: []string{"https://a.example"}, origin: "null"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			os, err := listeners.NewOrigins(tc.same, tc.allowed)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{Host: host, Header: http.Header{}}
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			if err := os.Check(r, !tc.plain); (err == nil) != tc.ok {
				t.Fatalf("check: %v", err)
			}
		})
	}
	for _, s := range []string{"", "a.example", "https://", "://x", "https://:443"} {
		if _, err := listeners.NewOrigins(false, []string{s}); err == nil {
			t.Errorf("%q is taken for an origin", s)
		}
	}
}
