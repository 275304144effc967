package certs_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

// patience bounds waits for things that must happen.
const patience = 30 * time.Second

// logBook is a slog.Handler that keeps what is logged and lets tests wait for it.
type logBook struct {
	mu    *sync.Mutex
	cond  *sync.Cond
	lines *[]string
	attrs string
}

func newLogBook(t *testing.T) *logBook {
	mu := new(sync.Mutex)
	b := &logBook{mu: mu, cond: sync.NewCond(mu), lines: new([]string)}
	t.Cleanup(func() {
		if t.Failed() {
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Logf("log:\n%s", strings.Join(*b.lines, "\n"))
		}
	})
	return b
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message + b.attrs
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.lines = append(*b.lines, line)
	b.cond.Broadcast()
	return nil
}

func (b *logBook) WithAttrs(as []slog.Attr) slog.Handler {
	c := *b
	for _, a := range as {
		c.attrs += " " + a.String()
	}
	return &c
}
func (b *logBook) WithGroup(string) slog.Handler { return b }

func (b *logBook) logger() *slog.Logger { return slog.New(b) }

// find counts lines that hold all of parts and returns the last one.
func (b *logBook) find(parts ...string) (n int, last string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.locked(parts)
}

func (b *logBook) locked(parts []string) (n int, last string) {
lines:
	for _, l := range *b.lines {
		for _, p := range parts {
			if !strings.Contains(l, p) {
				continue lines
			}
		}
		n++
		last = l
	}
	return n, last
}

// wait waits for the nth line that holds all of parts.
func (b *logBook) wait(t *testing.T, nth int, parts ...string) string {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		b.mu.Lock()
		late = true
		b.mu.Unlock()
		b.cond.Broadcast()
	})
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		n, last := b.locked(parts)
		if n >= nth {
			return last
		}
		if late {
			t.Fatalf("waited in vain for line %d with %q; there are %d", nth, parts, n)
		}
		b.cond.Wait()
	}
}

// authority signs certificates for files.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue returns the PEM of a new certificate and its key.
func (a *authority) issue(t *testing.T, notAfter time.Time, names ...string) (cert, key []byte) {
	t.Helper()
	k := newKey(t)
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: notAfter.AddDate(0, -3, 0), NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// replace writes a file as careful programs do: a new one is renamed over it.
func replace(t *testing.T, file string, b []byte) {
	t.Helper()
	tmp := file + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

// writePair writes a pair into dir.
func writePair(t *testing.T, dir string, cert, key []byte) certs.Pair {
	t.Helper()
	p := certs.Pair{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	replace(t, p.Key, key)
	replace(t, p.Cert, cert)
	return p
}

// manager makes a Manager that is closed with the test.
func manager(t *testing.T, o certs.Options) *certs.Manager {
	t.Helper()
	m, err := certs.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// echo serves lines over TLS on ln; what handshakes fail with goes to failed.
func echo(t *testing.T, ln net.Listener, cfg *tls.Config) (failed <-chan error) {
	errs := make(chan error, 1000)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s := tls.Server(c, cfg)
				if err := s.HandshakeContext(t.Context()); err != nil {
					errs <- err
					return
				}
				io.Copy(s, s)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return errs
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// talker is a TLS connection to echo.
type talker struct {
	c *tls.Conn
	r *bufio.Reader
}

func dial(addr string, cfg *tls.Config) (*talker, error) {
	d := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(d, "tcp", addr, cfg)
	if err != nil {
		return nil, err
	}
	return &talker{c, bufio.NewReader(c)}, nil
}

func mustDial(t *testing.T, addr string, cfg *tls.Config) *talker {
	t.Helper()
	k, err := dial(addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.c.Close() })
	return k
}

// say sends a line and wants it back.
func (k *talker) say(line string) error {
	k.c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(k.c, line); err != nil {
		return err
	}
	got, err := k.r.ReadString('\n')
	if err == nil && got != line+"\n" {
		err = fmt.Errorf("said %q, heard %q", line, got)
	}
	return err
}

// leafOf is the certificate that a fresh handshake gets.
func leafOf(t *testing.T, addr string, cfg *tls.Config) *x509.Certificate {
	t.Helper()
	k, err := dial(addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.c.Close()
	return k.c.ConnectionState().PeerCertificates[0]
}

func trust(p *x509.CertPool, name string) *tls.Config {
	return &tls.Config{RootCAs: p, ServerName: name}
}

// keepTalking has n connections talk until stop is called, which fails the test if
// one of them broke, and returns how many lines were exchanged.
func keepTalking(t *testing.T, n int, addr string, cfg *tls.Config) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for i := range n {
		k := mustDial(t, addr, cfg)
		wg.Go(func() {
			said := 0
			for ctx.Err() == nil {
				if err := k.say(fmt.Sprintf("line %d of %d", said, i)); err != nil {
					t.Errorf("connection %d broke after %d lines: %v", i, said, err)
					break
				}
				said++
			}
			mu.Lock()
			total += said
			mu.Unlock()
		})
	}
	return func() int {
		cancel()
		wg.Wait()
		return total
	}
}

// handshake runs one; local is what the server takes for its address. An error of
// the server is preferred: it says more.
func handshake(t *testing.T, server, client *tls.Config, local net.Addr) (*x509.Certificate, error) {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		a, err := ln.Accept()
		if err == nil {
			err = tls.Server(withLocal{a, local}, server).HandshakeContext(t.Context())
			a.Close()
		}
		done <- err
	}()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b.SetDeadline(time.Now().Add(patience))
	c := tls.Client(b, client)
	cerr := c.HandshakeContext(t.Context())
	b.Close()
	serr := <-done
	switch {
	case cerr == nil:
		return c.ConnectionState().PeerCertificates[0], nil
	case serr != nil && !strings.Contains(serr.Error(), "remote error"):
		return nil, serr
	}
	return nil, cerr
}

type withLocal struct {
	net.Conn
	addr net.Addr
}

func (c withLocal) LocalAddr() net.Addr { return c.addr }
