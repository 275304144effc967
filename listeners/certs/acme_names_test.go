package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

func TestACMEOnDemand(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	var asked atomic.Int64
	ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !strings.HasSuffix(r.URL.Query().Get("domain"), ".good.test") || r.URL.Query().Get("key") != "1" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer ask.Close()
	m := manager(t, ca.acme(t, log, certs.ACME{OnDemand: &certs.OnDemand{Ask: ask.URL + "/may?key=1", Max: 2}}))
	failed := ca.daemon(t, m)
	addr := ca.tls.Addr().String()
	refused := func(name, want string) {
		t.Helper()
		if _, err := dial(addr, ca.client(name)); err == nil {
			t.Fatalf("a certificate for %q", name)
		}
		if err := <-failed; !strings.Contains(err.Error(), want) {
			t.Errorf("handshake for %q: error %v, want one with %q", name, err, want)
		}
	}
	refused("a.good.test", "not running")
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Ten clients at once are one order.
	got := make(chan error, 10)
	for range cap(got) {
		go func() {
			k, err := dial(addr, ca.client("a.good.test"))
			if err == nil {
				err = k.say("hello")
				k.c.Close()
			}
			got <- err
		}()
	}
	for range cap(got) {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	if o, a := ca.orders.Load(), asked.Load(); o != 1 || a != 1 {
		t.Errorf("%d orders and %d questions for one name", o, a)
	}
	refused("bad.test", "403")
	refused("bad.test", "no certificate is wanted")
	if a := asked.Load(); a != 2 {
		t.Errorf("asked %d times; a no must be remembered", a)
	}
	cfg := ca.client("b.good.test")
	if err := mustDial(t, addr, cfg).say("hello"); err != nil {
		t.Error(err)
	}
	refused("c.good.test", "max 2 names")
	cfg = ca.client("")
	cfg.InsecureSkipVerify = true
	if _, err := dial(addr, cfg); err == nil {
		t.Error("a certificate without a name")
	}
	if err := <-failed; !strings.Contains(err.Error(), "sent no server name") {
		t.Errorf("handshake without a name: %v", err)
	}
	if is := m.Certificates(); len(is) != 2 {
		t.Errorf("Certificates = %+v", is)
	}
	if n := ca.orders.Load(); n != 2 {
		t.Errorf("%d orders for two names", n)
	}
}

// Before a certificate is renewed, it is asked whether it is still wanted.
func TestACMEOnDemandIsAskedAgain(t *testing.T) {
	ca, log := newCA(t, time.Hour), newLogBook(t)
	var asked atomic.Int64
	ask := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer ask.Close()
	m := manager(t, ca.acme(t, log, certs.ACME{OnDemand: &certs.OnDemand{Ask: ask.URL}, Timing: certs.Timing{RenewAt: 0.9999}}))
	failed := ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := ca.tls.Addr().String()
	k := mustDial(t, addr, ca.client("brief.test"))
	log.wait(t, 1, "INFO certificate is no longer wanted", "brief.test")
	if _, err := dial(addr, ca.client("brief.test")); err == nil {
		t.Error("a certificate that is no longer wanted is served")
	}
	if err := <-failed; !strings.Contains(err.Error(), "no certificate is wanted") {
		t.Errorf("handshake error %v", err)
	}
	if err := k.say("still here"); err != nil {
		t.Error(err)
	}
	if n := ca.orders.Load(); n != 1 {
		t.Errorf("%d orders", n)
	}
}

// Certificates for addresses (RFC 8738).
func TestACMEAddress(t *testing.T) {
	for _, challenge := range []string{certs.HTTP01, certs.TLSALPN01} {
		t.Run(challenge, func(t *testing.T) {
			ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
			m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"127.0.0.1"}, Challenges: []string{challenge}}))
			ca.daemon(t, m)
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			obtained(t, log, 1)
			if err := mustDial(t, ca.tls.Addr().String(), ca.client("127.0.0.1")).say("hello"); err != nil {
				t.Error(err)
			}
		})
	}
}

// While http-01 is under way, only its own request is answered by the manager.
func TestHTTPHandler(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"page.test"}, Challenges: []string{certs.HTTP01}}))
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page") })
	get := func(method, host, path string) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "http://"+host+path, nil)
		m.HTTPHandler(next).ServeHTTP(w, r)
		return w.Body.String()
	}
	checked := make(chan struct{})
	go http.Serve(ca.web, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-checked: // the CA comes from several sides
		default:
			for _, c := range []struct {
				method, host, path string
				mine               bool
			}{
				{"GET", "page.test", r.URL.Path, true},
				{"GET", "PAGE.test:5002", r.URL.Path, true},
				{"GET", "evil.test", r.URL.Path, false},
				{"POST", "page.test", r.URL.Path, false},
				{"GET", "page.test", r.URL.Path + "x", false},
				{"GET", "page.test", "/", false},
			} {
				if got := get(c.method, c.host, c.path); (got != "page") != c.mine {
					t.Errorf("%s http://%s%s was answered %q", c.method, c.host, c.path, got)
				}
			}
		}
		m.HTTPHandler(next).ServeHTTP(w, r)
	}))
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 1)
	close(checked)
	if got := get("GET", "page.test", "/.well-known/acme-challenge/x"); got != "page" {
		t.Errorf("after the challenge: %q", got)
	}
	w := httptest.NewRecorder()
	m.HTTPHandler(nil).ServeHTTP(w, httptest.NewRequest("GET", "http://page.test/", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("without next: %d", w.Code)
	}
}

// A client without a server name gets the first domain; one that wants another
// name is told so.
func TestACMENames(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"First.test", "second.test"}}))
	failed := ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 2)
	addr := ca.tls.Addr().String()
	for sni, want := range map[string]string{"": "first.test", "SECOND.test": "second.test"} {
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: sni}
		leaf := leafOf(t, addr, cfg)
		if err := leaf.VerifyHostname(want); err != nil {
			t.Errorf("client that asks for %q: %v", sni, err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: ca.pool, Intermediates: nil}); err == nil {
			t.Error("verified without its intermediate: the CA's chain is not what it should be")
		}
	}
	if _, err := dial(addr, ca.client("third.test")); err == nil {
		t.Fatal("a certificate for a name that is not a domain")
	}
	if err := <-failed; !strings.Contains(err.Error(), `"third.test" is none of its domains (first.test, second.test)`) {
		t.Errorf("handshake error %v", err)
	}
	// A tls-alpn-01 handshake that nobody waits for fails, with ALPN or not at all.
	if _, err := dial(addr, &tls.Config{InsecureSkipVerify: true, ServerName: "first.test", NextProtos: []string{"acme-tls/1"}}); err == nil {
		t.Error("acme-tls/1 without a challenge")
	}
	if err := <-failed; !strings.Contains(err.Error(), "no tls-alpn-01 challenge") {
		t.Errorf("handshake error %v", err)
	}
}
