package certs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
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
