package certs_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

func TestACMEDownAtStart(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	ca.down()
	m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"late.test"}}))
	failed := ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	line := log.wait(t, 3, "ERROR cannot get a certificate")
	for _, w := range []string{"domain=late.test", "cannot be reached", "refused", "next_try_in"} {
		if !strings.Contains(line, w) {
			t.Errorf("log line %q does not say %q", line, w)
		}
	}
	if i := m.Certificates()[0]; !strings.Contains(i.LastError, "cannot be reached") || i.NextTry.IsZero() || i.Names[0] != "late.test" {
		t.Errorf("Certificates has %+v", i)
	}
	if _, err := dial(ca.tls.Addr().String(), ca.client("late.test")); err == nil {
		t.Fatal("handshake without a certificate")
	}
	if err := <-failed; !strings.Contains(err.Error(), "cannot be reached") || !strings.Contains(err.Error(), "next try in") {
		t.Errorf("handshake error %v", err)
	}
	ca.up(t)
	obtained(t, log, 1)
	if err := mustDial(t, ca.tls.Addr().String(), ca.client("late.test")).say("at last"); err != nil {
		t.Error(err)
	}
	if e := m.Certificates()[0].LastError; e != "" {
		t.Errorf("LastError = %q after success", e)
	}
}

func TestACMEBadCA(t *testing.T) {
	problem := func(status int, typ, detail string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","status":%d,"detail":%q}`, typ, status, detail)
		}
	}
	text := func(status int, s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status); fmt.Fprint(w, s) }
	}
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		instead string // the path that it answers, all when empty
		want    []string
		pause   time.Duration // at least, until the next try
	}{
		{"hangs", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "", []string{"did not answer within 100ms"}, 0},
		{"stalls in its answer", func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("{"))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "", []string{"did not finish its answer"}, 0},
		{"hangs later", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "/order-plz", []string{"not done within 1s"}, 0},
		{"nonsense", text(200, "<html>hello</html>"), "", []string{"no ACME directory", "<html>hello"}, 0},
		{"empty JSON", text(200, "{}"), "", []string{"no ACME directory"}, 0},
		{"500", text(500, "oops"), "", []string{"answered 500"}, 0},
		{"fails later", problem(500, "serverInternal", "oops"), "/order-plz", []string{"the CA failed", "oops"}, time.Minute},
		{"rate limit", problem(429, "rateLimited", "too many certificates; retry after "+time.Now().Add(2*time.Hour).UTC().Format(time.DateTime)+" UTC"),
			"/order-plz", []string{"rate limit is reached", "too many certificates"}, 110 * time.Minute},
		{"CAA", problem(403, "caa", "CAA record for x.test prevents issuance"), "/order-plz", []string{"CAA record of x.test", "does not allow this CA"}, time.Minute},
		{"external account", problem(403, "externalAccountRequired", "no"), "/sign-me-up", []string{"acme eab"}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			ca, log := newCA(t, time.Hour), newLogBook(t)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.instead == "" || r.URL.Path == c.instead {
					c.answer(w, r)
					return
				}
				ca.real.ServeHTTP(w, r)
			})
			ca.broken.Store(&h)
			m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"x.test"}, Timing: certs.Timing{
				Attempt: time.Second, Directory: 100 * time.Millisecond, Retry: 10 * time.Millisecond, RetryMax: time.Hour, Refused: 2 * time.Minute,
			}}))
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			nth := 2
			if c.pause > 0 {
				nth = 1
			}
			line := log.wait(t, nth, "ERROR cannot get a certificate")
			for _, w := range c.want {
				if !strings.Contains(line, w) {
					t.Errorf("log line %q does not say %q", line, w)
				}
			}
			if next := time.Until(m.Certificates()[0].NextTry); next < c.pause || c.pause == 0 && next > time.Minute {
				t.Errorf("next try in %v, want at least %v", next, c.pause)
			}
			m.Close() // must not wait for the CA, nor leave anybody waiting for it
			b := make([]byte, 1<<20)
			for _, who := range []string{"certs.(*task).", "certs.(*Manager).watch("} {
				if bytes.Contains(b[:runtime.Stack(b, true)], []byte(who)) {
					t.Errorf("%s runs after Close", who)
				}
			}
		})
	}
}

// The CA is all right, but the way back to us or the name is not.
func TestACMERefused(t *testing.T) {
	for _, c := range []struct {
		name      string
		challenge string
		spoil     func(*testCA)
		want      []string
	}{
		{"port closed", certs.HTTP01, func(c *testCA) { c.web.Close() },
			[]string{"the CA cannot connect to x.test", "port 80 (to the broker's port 8080)"}},
		{"port closed", certs.TLSALPN01, func(c *testCA) { c.tls.Close() },
			[]string{"x.test", "port 443 (to the broker's port 443)", "Failed to connect"}},
		{"somebody else's server", certs.HTTP01, func(c *testCA) { go http.Serve(c.web, http.NotFoundHandler()) },
			[]string{"did not find this broker under x.test", "something else answer port 80"}},
		{"blocked name", certs.HTTP01, func(c *testCA) { c.db.AddBlockedDomain("x.test") },
			[]string{"does not issue certificates for x.test"}},
	} {
		t.Run(c.name+" "+c.challenge, func(t *testing.T) {
			ca, log := newCA(t, time.Hour), newLogBook(t)
			c.spoil(ca)
			m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"x.test"}, Challenges: []string{c.challenge}, HTTPPort: 8080}))
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			line := log.wait(t, 1, "ERROR cannot get a certificate")
			for _, w := range c.want {
				if !strings.Contains(line, w) {
					t.Errorf("log line %q does not say %q", line, w)
				}
			}
		})
	}
}

func TestACMEStorage(t *testing.T) {
	ca, log := newCA(t, time.Hour), newLogBook(t)
	dir := filepath.Join(t.TempDir(), "acme")
	free := occupied(t, dir)
	m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"disk.test"}, Storage: dir, Timing: certs.Timing{RenewAt: 0.9999}}))
	failed := ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	line := log.wait(t, 2, "ERROR cannot get a certificate")
	if !strings.Contains(line, "storage") || !strings.Contains(line, dir) || !strings.Contains(line, "make room") {
		t.Errorf("log line %q", line)
	}
	if n := ca.orders.Load(); n != 0 {
		t.Errorf("%d orders for certificates that could not be kept", n)
	}
	free()
	obtained(t, log, 1)
	free = occupied(t, dir)
	log.wait(t, 1, "ERROR cannot renew the certificate; the old one stays", "make room")
	addr := ca.tls.Addr().String()
	if err := mustDial(t, addr, ca.client("disk.test")).say("still served"); err != nil {
		t.Error(err)
	}
	if e := m.Certificates()[0].LastError; !strings.Contains(e, "make room") {
		t.Errorf("LastError = %q", e)
	}
	free()
	n, _ := log.find("INFO new certificate")
	obtained(t, log, n+1)
	select {
	case err := <-failed:
		t.Errorf("a handshake failed: %v", err)
	default:
	}
}

// What is stored and cannot be read is replaced.
func TestACMEStoredCertificateIsBroken(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	o := ca.acme(t, log, certs.ACME{Domains: []string{"heal.test"}, Storage: filepath.Join(t.TempDir(), "acme")})
	t.Run("first", func(t *testing.T) {
		m := manager(t, o)
		ca.daemon(t, m)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		obtained(t, log, 1)
	})
	found, err := filepath.Glob(filepath.Join(o.Sources["web"].ACME.Storage, "certificates", "*", "heal.test", "heal.test.crt"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if err := os.WriteFile(found[0], []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	log2 := newLogBook(t)
	o.Logger = log2.logger()
	m2 := manager(t, o)
	ca.web, ca.tls = reopen(t, ca.web), reopen(t, ca.tls)
	ca.daemon(t, m2)
	if err := m2.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log2, 1)
}

// A CA that was set up anew does not know the account that is stored.
func TestACMEAccountIsMadeAnew(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	var refused atomic.Bool
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" && refused.CompareAndSwap(false, true) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"type":"urn:ietf:params:acme:error:accountDoesNotExist","detail":"who?"}`)
			return
		}
		ca.real.ServeHTTP(w, r)
	})
	ca.broken.Store(&h)
	m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"again.test"}}))
	ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 1)
	if n, _ := log.find("made an account at the CA"); n != 2 {
		t.Errorf("%d accounts were made, want 2", n)
	}
}
