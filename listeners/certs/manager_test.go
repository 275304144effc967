package certs_test

import (
	"strings"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

func TestSourceErrors(t *testing.T) {
	dns := &certs.DNS{Provider: newZone(t)}
	for _, c := range []struct {
		name string
		s    certs.Source
		want string
	}{
		{"nothing", certs.Source{}, "exactly one of files, acme and internal"},
		{"two", certs.Source{Internal: &certs.Internal{}, ACME: &certs.ACME{}}, "exactly one of"},
		{"no files", certs.Source{Files: []certs.Pair{}}, "files is empty"},
		{"no domains", certs.Source{ACME: &certs.ACME{}}, "no domains"},
		{"bad domain", certs.Source{ACME: &certs.ACME{Domains: []string{"a b"}}}, `domain "a b"`},
		{"no public domain", certs.Source{ACME: &certs.ACME{Domains: []string{"broker.local"}}}, "is not a public name"},
		{"bad challenge", certs.Source{ACME: &certs.ACME{Domains: []string{"a.test"}, Challenges: []string{"http"}}}, `challenge "http" is unknown`},
		{"wildcard", certs.Source{ACME: &certs.ACME{Domains: []string{"*.a.test"}}}, "wildcard, which needs challenge dns-01"},
		{"no provider", certs.Source{ACME: &certs.ACME{Domains: []string{"a.test"}, Challenges: []string{"dns-01"}}}, "needs a DNS provider"},
		{"bad CA", certs.Source{ACME: &certs.ACME{Domains: []string{"a.test"}, CA: "letsencrypt"}}, `ca "letsencrypt" is not a URL`},
		{"plain CA", certs.Source{ACME: &certs.ACME{Domains: []string{"a.test"}, CA: "http://ca.example.com/dir"}}, "is not https"},
		{"bad roots", certs.Source{ACME: &certs.ACME{Domains: []string{"a.test"}, CARoots: "/nowhere/ca.pem"}}, "/nowhere/ca.pem"},
		{"bad ask", certs.Source{ACME: &certs.ACME{OnDemand: &certs.OnDemand{Ask: "yes"}}}, `ask "yes" is not a URL`},
		{"fine", certs.Source{ACME: &certs.ACME{Domains: []string{"*.a.test"}, DNS: dns, Storage: t.TempDir()}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := certs.New(certs.Options{Sources: map[string]certs.Source{"s": c.s}})
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				m.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `certs: source "s": `) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestPrepare(t *testing.T) {
	a := newAuthority(t)
	dir := t.TempDir()
	end := time.Now().AddDate(0, 2, 0)
	pair := func(name string) certs.Pair {
		cert, key := a.issue(t, end, name)
		return writePair(t, t.TempDir(), cert, key)
	}
	first, second := pair("a.test"), pair("a.test")
	options := func(p certs.Pair, hosts ...string) certs.Options {
		return certs.Options{Sources: map[string]certs.Source{
			"web": {Files: []certs.Pair{p}},
			"lan": {Internal: &certs.Internal{Storage: dir, Hosts: hosts}},
		}}
	}
	m := manager(t, options(first))
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln := listen(t)
	echo(t, ln, m.TLSConfig("web"))
	addr, cfg := ln.Addr().String(), trust(a.pool(), "a.test")
	old := mustDial(t, addr, cfg)
	served := leafOf(t, addr, cfg)
	internal := m.Certificates()[0].Fingerprint

	// All or nothing: the good half is not taken when the other is bad.
	bad := options(second)
	bad.Sources["zzz"] = certs.Source{Files: []certs.Pair{{Cert: "/nowhere", Key: "/nowhere"}}}
	if _, _, err := m.Prepare(bad); err == nil || !strings.Contains(err.Error(), `source "zzz"`) {
		t.Fatalf("Prepare of a bad source: %v", err)
	}
	if !leafOf(t, addr, cfg).Equal(served) {
		t.Fatal("a failed Prepare changed what is served")
	}

	commit, abort, err := m.Prepare(options(second))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Prepare(options(second)); err == nil {
		t.Fatal("two Prepares at a time")
	}
	abort()
	commit() // does nothing any more
	if !leafOf(t, addr, cfg).Equal(served) {
		t.Fatal("abort changed what is served")
	}

	commit, abort, err = m.Prepare(options(second))
	if err != nil {
		t.Fatal(err)
	}
	if !leafOf(t, addr, cfg).Equal(served) {
		t.Fatal("served before commit")
	}
	commit()
	abort()
	if leafOf(t, addr, cfg).Equal(served) {
		t.Fatal("commit did not change what is served")
	}
	if err := old.say("still here"); err != nil {
		t.Fatal(err)
	}
	if got := m.Certificates()[0].Fingerprint; got != internal {
		t.Error("a source that did not change was made anew")
	}

	commit, _, err = m.Prepare(options(second, "new.lan"))
	if err != nil {
		t.Fatal(err)
	}
	commit()
	if _, err := handshake(t, m.TLSConfig("lan"), trust(rootPool(t, m), "new.lan"), nowhere()); err != nil {
		t.Errorf("a host that was added: %v", err)
	}

	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal("second Close: ", err)
	}
	if _, _, err := m.Prepare(options(first)); err == nil {
		t.Error("Prepare after Close")
	}
	leafOf(t, addr, cfg) // what is loaded is still served
}

func TestStartTwice(t *testing.T) {
	m := manager(t, certs.Options{})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
}
