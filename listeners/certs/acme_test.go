package certs_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

// obtained waits for the nth new certificate.
func obtained(t *testing.T, log *logBook, nth int) {
	t.Helper()
	log.wait(t, nth, "INFO new certificate")
}

func TestACMEFirstCertificate(t *testing.T) {
	ca := newCA(t, 90*24*time.Hour)
	for _, challenge := range []string{certs.HTTP01, certs.TLSALPN01, certs.DNS01} {
		t.Run(challenge, func(t *testing.T) {
			ca.web, ca.tls = reopen(t, ca.web), reopen(t, ca.tls)
			log := newLogBook(t)
			before := ca.orders.Load()
			name := challenge + ".test"
			spec := certs.ACME{Domains: []string{name}, Challenges: []string{challenge}, Email: "op@" + name,
				Storage: filepath.Join(t.TempDir(), "acme")}
			want := name
			if challenge == certs.DNS01 {
				spec.Domains = []string{"*." + name}
				spec.DNS = &certs.DNS{Provider: ca.zone, Resolvers: []string{ca.zone.addr}}
				name = "any." + name
			}
			m := manager(t, ca.acme(t, log, spec))
			failed := ca.daemon(t, m)
			addr := ca.tls.Addr().String()

			// Before it is there: a clear error, and the daemon runs.
			if _, err := dial(addr, ca.client(name)); err == nil {
				t.Fatal("a certificate before Start")
			}
			if err := <-failed; !strings.Contains(err.Error(), "there is no certificate for") {
				t.Errorf("handshake without a certificate: %v", err)
			}
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			obtained(t, log, 1)

			k := mustDial(t, addr, ca.client(name))
			if err := k.say("hello"); err != nil {
				t.Fatal(err)
			}
			if p := k.c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
				t.Errorf("negotiated %q beside acme-tls/1", p)
			}
			if n := ca.orders.Load() - before; n != 1 {
				t.Errorf("%d orders for one certificate", n)
			}
			i := m.Certificates()[0]
			if i.Kind != certs.KindACME || !strings.Contains(i.Names[0], want) || i.LastError != "" || i.Fingerprint == "" ||
				!strings.HasPrefix(i.Issuer, "Pebble") || !i.NextTry.After(time.Now()) || i.NextTry.After(i.NotAfter) {
				t.Errorf("Certificates has %+v", i)
			}
			checkModes(t, spec.Storage)
			if challenge == certs.DNS01 {
				ca.zone.mu.Lock()
				defer ca.zone.mu.Unlock()
				if ca.zone.sets != 1 || len(ca.zone.txt) != 0 {
					t.Errorf("%d records were set and %v are left", ca.zone.sets, ca.zone.txt)
				}
			}
		})
	}
}

// checkModes wants all below dir to be for the owner alone.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("mode of %s is %v", path, fi.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if keys != 2 {
		t.Errorf("%d keys in %s, want that of the account and of the certificate", keys, dir)
	}
}

// Certificates that are due every second are renewed while connections talk.
func TestACMERenewalUnderLoad(t *testing.T) {
	ca, log := newCA(t, time.Hour), newLogBook(t)
	o := ca.acme(t, log, certs.ACME{Domains: []string{"load.test"}, Timing: certs.Timing{RenewAt: 0.9999}})
	m := manager(t, o)
	failed := ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 1)
	addr := ca.tls.Addr().String()
	seen := map[string]bool{}
	stop := keepTalking(t, 50, addr, ca.client("load.test"))
	for len(seen) < 4 {
		n, _ := log.find("INFO new certificate")
		if s := leafOf(t, addr, ca.client("load.test")).SerialNumber.String(); !seen[s] {
			seen[s] = true
			continue
		}
		obtained(t, log, n+1)
	}
	n := stop()
	m.Close()
	if n < 50 {
		t.Errorf("50 connections exchanged %d lines", n)
	}
	select {
	case err := <-failed:
		t.Errorf("a handshake failed: %v", err)
	default:
	}
	t.Logf("50 connections exchanged %d lines over %d renewals", n, ca.orders.Load()-1)
}

func TestACMERestartDoesNotOrderAgain(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	o := ca.acme(t, log, certs.ACME{Domains: []string{"keep.test"}})
	m1 := manager(t, o)
	ca.daemon(t, m1)
	if err := m1.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 1)
	first := m1.Certificates()[0].Fingerprint
	m1.Close()

	ca.down()
	log2 := newLogBook(t)
	o.Logger = log2.logger()
	m2 := manager(t, o)
	cfg := m2.TLSConfig("web")
	// At once, before Start, and with the CA away.
	if _, err := handshake(t, cfg, trust(ca.pool, "keep.test"), nowhere()); err != nil {
		t.Fatal(err)
	}
	if got := m2.Certificates()[0].Fingerprint; got != first {
		t.Errorf("another certificate after the restart")
	}
	if err := m2.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The task asks the CA when to renew, in vain, and leaves it at that.
	log2.wait(t, 1, "does not say when to renew")
	m2.Close()
	if n := ca.orders.Load(); n != 1 {
		t.Errorf("%d orders", n)
	}
	if n, line := log2.find("ERROR"); n > 0 {
		t.Errorf("logged %s", line)
	}

}

// A reload leaves a source alone that did not change, and takes what is stored into
// one that did.
func TestACMEReload(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	o := ca.acme(t, log, certs.ACME{Domains: []string{"keep.test"}})
	m := manager(t, o)
	ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 1)
	first := m.Certificates()[0].Fingerprint
	addr := ca.tls.Addr().String()
	old := mustDial(t, addr, ca.client("keep.test"))
	reload := func(o certs.Options) {
		t.Helper()
		commit, _, err := m.Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		commit()
		if got := m.Certificates()[0].Fingerprint; got != first {
			t.Error("the reload lost a certificate")
		}
	}
	same := *o.Sources["web"].ACME
	reload(certs.Options{Logger: log.logger(), Sources: map[string]certs.Source{"web": {ACME: &same}}})
	if n, _ := log.find("started background certificate maintenance"); n != 1 {
		t.Errorf("a source that did not change was made %d times", n)
	}
	more := same
	more.Domains = []string{"keep.test", "more.test"}
	reload(certs.Options{Logger: log.logger(), Sources: map[string]certs.Source{"web": {ACME: &more}}})
	log.wait(t, 1, "stopped background certificate maintenance")
	obtained(t, log, 2)
	for _, name := range more.Domains {
		if err := mustDial(t, addr, ca.client(name)).say("hello"); err != nil {
			t.Error(err)
		}
	}
	if err := old.say("still here"); err != nil {
		t.Error(err)
	}
	if n := ca.orders.Load(); n != 2 {
		t.Errorf("%d orders for two names", n)
	}
}

// A CA that wants certificates replaced, as after a mistake of its own, says so in
// the renewal window (RFC 9773).
func TestACMERenewsWhenTheCASays(t *testing.T) {
	ca, log := newCA(t, 90*24*time.Hour), newLogBook(t)
	var replaced, since atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/renewalInfo/") && ca.orders.Load() == 1:
			w.Header().Set("Content-Type", "application/json")
			now := time.Now()
			fmt.Fprintf(w, `{"suggestedWindow":{"start":%q,"end":%q}}`,
				now.Add(-2*time.Hour).Format(time.RFC3339), now.Add(-time.Hour).Format(time.RFC3339))
			return
		case r.URL.Path == "/order-plz":
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(b))
			var jws struct{ Payload string }
			json.Unmarshal(b, &jws)
			// The order that says what it replaces is refused for that; the next try
			// does not say it.
			if p, _ := base64.RawURLEncoding.DecodeString(jws.Payload); bytes.Contains(p, []byte(`"replaces"`)) {
				replaced.Add(1)
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusConflict)
				io.WriteString(w, `{"type":"urn:ietf:params:acme:error:malformed","detail":"replaces what?"}`)
				return
			}
			since.Store(replaced.Load())
		}
		ca.real.ServeHTTP(w, r)
	})
	ca.broken.Store(&h)
	m := manager(t, ca.acme(t, log, certs.ACME{Domains: []string{"mass.test"}, Timing: certs.Timing{
		Check: 50 * time.Millisecond, Retry: 10 * time.Millisecond, RetryMax: 200 * time.Millisecond}}))
	ca.daemon(t, m)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	obtained(t, log, 2)
	m.Close()
	if o, r, s := ca.orders.Load(), replaced.Load(), since.Load(); o != 2 || r != 1 || s != 1 {
		t.Errorf("%d orders were taken, %d that replace refused, %d of them before the last; want 2, 1 and 1", o, r, s)
	}
}

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
			m.Close() // must not wait for the CA
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
