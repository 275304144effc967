package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// certmagic's own maintenance leaves renewal to the task, even of a certificate that
// has expired.
func TestMaintenanceDoesNotRenew(t *testing.T) {
	var log bytes.Buffer
	spec := ACME{Domains: []string{"old.test"}, CA: "https://127.0.0.1:1/dir", Storage: t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: serial(), DNSNames: spec.Domains,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	storage := &certmagic.FileStorage{Path: spec.Storage}
	ca, keys := (&certmagic.ACMEIssuer{CA: spec.CA}).IssuerKey(), certmagic.StorageKeys
	for k, v := range map[string][]byte{
		keys.SiteCert(ca, "old.test"):       certPEM(der),
		keys.SitePrivateKey(ca, "old.test"): keyPEM,
		keys.SiteMeta(ca, "old.test"):       []byte("{}"),
	} {
		if err := storage.Store(t.Context(), k, v); err != nil {
			t.Fatal(err)
		}
	}
	s, err := newACMESource("web", spec, newChallenges(),
		slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	if i := s.infos()[0]; i.Fingerprint == "" {
		t.Fatalf("the stored certificate was not loaded: %+v", i)
	}
	if err := s.cache.RenewManagedCertificates(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.stop()
	if l := log.String(); strings.Contains(l, "queuing") || strings.Contains(l, "unable to get configuration") {
		t.Errorf("maintenance renews:\n%s", l)
	}
}
