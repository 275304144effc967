package certs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

func TestFileErrors(t *testing.T) {
	a := newAuthority(t)
	year := time.Now().AddDate(1, 0, 0)
	cert, key := a.issue(t, year, "a.test")
	_, otherKey := a.issue(t, year, "b.test")
	for _, c := range []struct {
		name      string
		cert, key []byte // nil: no file
		want      []string
	}{
		{"missing certificate", nil, key, []string{`source "web"`, "certificate file", "tls.crt does not exist", "check the path"}},
		{"missing key", cert, nil, []string{"key file", "tls.key does not exist"}},
		{"mismatch", cert, otherKey, []string{"tls.key", "tls.crt", "do not belong together", "[a.test]"}},
		{"swapped", key, cert, []string{"holds a key and no certificate", "swapped"}},
		{"no PEM", []byte("hello"), key, []string{"tls.crt holds no PEM certificate"}},
		{"no PEM key", cert, []byte("hello"), []string{"tls.key holds no PEM private key"}},
		{"encrypted key", cert, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
			[]string{"tls.key is encrypted", "openssl pkey"}},
		{"broken certificate", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), key, []string{"certificate file", "tls.crt: x509"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			p := certs.Pair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
			if c.cert != nil {
				replace(t, p.Cert, c.cert)
			}
			if c.key != nil {
				replace(t, p.Key, c.key)
			}
			_, err := certs.New(certs.Options{Sources: map[string]certs.Source{"web": {Files: []certs.Pair{p}}}})
			if err == nil {
				t.Fatal("New took the pair")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestFileExpiryIsWarnedAbout(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name string
		left time.Duration
		want string
	}{
		{"expired", -time.Hour, "WARN certificate has expired"},
		{"soon", 24 * time.Hour, "WARN certificate expires soon"},
		{"not yet", 200 * 24 * time.Hour, "WARN certificate is not valid yet"},
		{"fine", 60 * 24 * time.Hour, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := newLogBook(t)
			cert, key := a.issue(t, time.Now().Add(c.left), "a.test")
			m := manager(t, certs.Options{Logger: log.logger(), Sources: map[string]certs.Source{
				"web": {Files: []certs.Pair{writePair(t, t.TempDir(), cert, key)}}}})
			m.Check()
			m.Check()
			n, line := log.find("WARN")
			switch {
			case c.want == "" && n > 0, c.want != "" && (n != 1 || !strings.HasPrefix(line, c.want)):
				t.Fatalf("%d warnings, the last %q; want one %q", n, line, c.want)
			}
		})
	}
}

// Every pair is one certificate of its own, and clients get the one for their name.
func TestFilesByName(t *testing.T) {
	a := newAuthority(t)
	var pairs []certs.Pair
	for _, n := range []string{"a.test", "*.b.test"} {
		cert, key := a.issue(t, time.Now().AddDate(0, 2, 0), n)
		pairs = append(pairs, writePair(t, t.TempDir(), cert, key))
	}
	m := manager(t, certs.Options{Sources: map[string]certs.Source{"web": {Files: pairs}}})
	ln := listen(t)
	echo(t, ln, m.TLSConfig("web"))
	for sni, want := range map[string]string{"a.test": "a.test", "x.b.test": "*.b.test", "": "a.test", "unknown.test": "a.test"} {
		cfg := trust(a.pool(), sni)
		cfg.InsecureSkipVerify = sni == "" || sni == "unknown.test"
		if got := leafOf(t, ln.Addr().String(), cfg).DNSNames[0]; got != want {
			t.Errorf("client that asks for %q got %q, want %q", sni, got, want)
		}
	}
	is := m.Certificates()
	if len(is) != 2 || is[0].Kind != certs.KindFile || is[0].Source != "web" || is[0].Issuer != "test authority" || len(is[0].Fingerprint) != 64 {
		t.Errorf("Certificates() = %+v", is)
	}
}

func TestFileChangeWhileConnectionsTalk(t *testing.T) {
	log := newLogBook(t)
	a := newAuthority(t)
	dir := t.TempDir()
	year := time.Now().AddDate(1, 0, -300)
	cert1, key1 := a.issue(t, year, "a.test")
	cert2, key2 := a.issue(t, year.Add(time.Hour), "a.test")
	cert3, key3 := a.issue(t, year.Add(2*time.Hour), "a.test")
	p := writePair(t, dir, cert1, key1)
	// The watcher runs too, so that the race detector sees both.
	m := manager(t, certs.Options{Logger: log.logger(), Poll: 5 * time.Millisecond,
		Sources: map[string]certs.Source{"web": {Files: []certs.Pair{p}}}})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln := listen(t)
	failed := echo(t, ln, m.TLSConfig("web"))
	addr, cfg := ln.Addr().String(), trust(a.pool(), "a.test")
	stop := keepTalking(t, 100, addr, cfg)
	first := leafOf(t, addr, cfg)

	replace(t, p.Key, key2) // between these two the pair does not match
	log.wait(t, 1, "ERROR", "the old certificate stays", "do not belong together")
	if got := leafOf(t, addr, cfg); !got.Equal(first) {
		t.Fatal("a pair that does not match is served")
	}
	if e := m.Certificates()[0].LastError; !strings.Contains(e, "do not belong together") {
		t.Errorf("LastError = %q", e)
	}
	replace(t, p.Cert, cert2)
	log.wait(t, 1, "INFO", "new connections get the new certificate")
	second := leafOf(t, addr, cfg)
	if second.Equal(first) {
		t.Fatal("the changed certificate is not served")
	}
	if e := m.Certificates()[0].LastError; e != "" {
		t.Errorf("LastError = %q after the files were right again", e)
	}

	// Written in place, then taken away.
	if err := os.WriteFile(p.Cert, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	log.wait(t, 1, "ERROR", "holds no PEM certificate")
	if err := os.Remove(p.Cert); err != nil {
		t.Fatal(err)
	}
	log.wait(t, 1, "ERROR", "does not exist")
	if got := leafOf(t, addr, cfg); !got.Equal(second) {
		t.Fatal("a broken change replaced the certificate")
	}
	replace(t, p.Key, key3)
	replace(t, p.Cert, cert3)
	log.wait(t, 2, "INFO", "new connections get the new certificate")
	if got := leafOf(t, addr, cfg); got.Equal(second) {
		t.Fatal("the third certificate is not served")
	}

	if n := stop(); n < 100 {
		t.Errorf("100 connections exchanged %d lines", n)
	}
	select {
	case err := <-failed:
		t.Errorf("a handshake failed: %v", err)
	default:
	}
}

// As a mounted Kubernetes secret changes: the files are links through a directory
// that is itself a link, which is replaced.
func TestFileChangeBySymlink(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	for i := range 2 {
		d := filepath.Join(dir, fmt.Sprintf("..data%d", i))
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		cert, key := a.issue(t, time.Now().AddDate(0, 2, i), "a.test")
		p := writePair(t, d, cert, key)
		// Old files, so that only the link tells that something changed.
		past := time.Now().Add(-time.Hour)
		for _, f := range []string{p.Cert, p.Key} {
			if err := os.Chtimes(f, past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(to, name string) {
		t.Helper()
		tmp := filepath.Join(dir, "..tmp")
		if err := os.Symlink(to, tmp); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..data0", "..data")
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	m := manager(t, certs.Options{Sources: map[string]certs.Source{"web": {Files: []certs.Pair{
		{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}}}}})
	before := m.Certificates()[0].Fingerprint
	m.Check()
	if got := m.Certificates()[0].Fingerprint; got != before {
		t.Fatal("changed without a change")
	}
	link("..data1", "..data")
	m.Check()
	if got := m.Certificates()[0].Fingerprint; got == before {
		t.Fatal("the turned link was not noticed")
	}
}

// A second change within the resolution of the file's time, in place and of the same
// size, is noticed all the same.
func TestFileChangeWithinOneTick(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	p := certs.Pair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	at := time.Now()
	write := func(end time.Time) {
		t.Helper()
		cert, key := a.issue(t, end, "a.test")
		for f, b := range map[string][]byte{p.Cert: cert, p.Key: key} {
			b = append(b, strings.Repeat("\n", 2000-len(b))...)
			if err := os.WriteFile(f, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(time.Now().AddDate(0, 1, 0))
	m := manager(t, certs.Options{Sources: map[string]certs.Source{"web": {Files: []certs.Pair{p}}}})
	before := m.Certificates()[0].Fingerprint
	write(time.Now().AddDate(0, 2, 0))
	m.Check()
	if m.Certificates()[0].Fingerprint == before {
		t.Fatal("the change was not noticed")
	}
}
