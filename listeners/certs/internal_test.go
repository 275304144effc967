package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ganglion/listeners/certs"
)

func internalOptions(dir string, hosts ...string) certs.Options {
	return certs.Options{Sources: map[string]certs.Source{"lan": {Internal: &certs.Internal{Storage: dir, Hosts: hosts}}}}
}

func rootPool(t *testing.T, m *certs.Manager) *x509.CertPool {
	t.Helper()
	b, err := m.Root()
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(b) {
		t.Fatal("Root is no PEM certificate")
	}
	return p
}

func TestInternalNames(t *testing.T) {
	m := manager(t, internalOptions(t.TempDir(), "Broker.LAN", "*.iot.lan", "10.1.2.3"))
	pool, cfg := rootPool(t, m), m.TLSConfig("lan")
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	nat := &net.TCPAddr{IP: net.IPv4(192, 168, 7, 9), Port: 1}
	for _, c := range []struct {
		name  string
		sni   string   // what the client verifies and, unless it is an address, sends
		local net.Addr // where it arrives
		bad   string
	}{
		{"localhost", "localhost", loopback, ""},
		{"a host, in other letters", "broker.lan", nat, ""},
		{"a pattern", "sensor7.iot.lan", nat, ""},
		{"an unknown name", "evil.example", nat, `"evil.example" is not among the hosts`},
		{"too deep for the pattern", "a.b.iot.lan", nat, "is not among the hosts"},
		{"loopback", "127.0.0.1", loopback, ""},
		{"loopback, IPv6", "::1", &net.TCPAddr{IP: net.IPv6loopback, Port: 1}, ""},
		{"the address it came to", "192.168.7.9", nat, ""},
		{"a host that is an address, through NAT", "10.1.2.3", nat, ""},
		{"another address", "192.168.7.10", nat, "certificate is valid for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf, err := handshake(t, cfg, trust(pool, c.sni), c.local)
			switch {
			case c.bad == "" && err != nil:
				t.Fatal(err)
			case c.bad == "":
				if err := leaf.VerifyHostname(c.sni); err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), c.bad):
				t.Fatalf("error %v, want one with %q", err, c.bad)
			}
		})
	}
	for _, i := range m.Certificates() {
		if i.Kind != certs.KindInternal || !strings.HasPrefix(i.Issuer, "Ganglion internal CA") || i.NextTry.IsZero() {
			t.Errorf("Certificates has %+v", i)
		}
	}
}

func TestInternalRotation(t *testing.T) {
	start := time.Now()
	var clock atomic.Int64
	now := func() time.Time { return start.Add(time.Duration(clock.Load())) }
	o := internalOptions(t.TempDir())
	o.Now = now
	o.Sources["lan"].Internal.Lifetime = 24 * time.Hour
	o.Sources["lan"].Internal.RootLifetime = 60 * 24 * time.Hour
	m := manager(t, o)
	pool := rootPool(t, m)
	get := func() *x509.Certificate {
		t.Helper()
		client := trust(pool, "localhost")
		client.Time = now
		leaf, err := handshake(t, m.TLSConfig("lan"), client, nowhere())
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	}
	first := get()
	clock.Store(int64(15 * time.Hour))
	if !get().Equal(first) {
		t.Error("rotated with 9 of 24 hours left")
	}
	clock.Store(int64(17 * time.Hour))
	second := get()
	if second.Equal(first) {
		t.Error("not rotated with 7 of 24 hours left")
	}
	if left := second.NotAfter.Sub(now()); left > 24*time.Hour || left < 24*time.Hour-time.Second {
		t.Errorf("the new certificate has %v left", left)
	}
	// Near its end, the root bounds the leaf and is complained about.
	clock.Store(int64(60*24*time.Hour - time.Hour))
	root, err := m.Root()
	if err != nil {
		t.Fatal(err)
	}
	if last := get(); last.NotAfter.After(start.Add(60 * 24 * time.Hour)) {
		t.Errorf("leaf until %v outlives the root %s", last.NotAfter, root)
	}
	if e := m.Certificates()[0].LastError; !strings.Contains(e, "the root ends on") {
		t.Errorf("LastError = %q", e)
	}
	clock.Store(int64(61 * 24 * time.Hour))
	if _, err := handshake(t, m.TLSConfig("lan"), trust(pool, "localhost"), nowhere()); err == nil || !strings.Contains(err.Error(), "internal root") {
		t.Errorf("error after the root's end: %v", err)
	}
}

// nowhere is the local address of a transport that has none.
func nowhere() net.Addr { return &net.UnixAddr{Name: "@", Net: "unix"} }

func TestInternalRootIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "ca")
	m1 := manager(t, internalOptions(dir))
	root1, err := m1.Root()
	if err != nil {
		t.Fatal(err)
	}
	m1.Close()
	m2 := manager(t, internalOptions(dir))
	root2, err := m2.Root()
	if err != nil {
		t.Fatal(err)
	}
	if string(root1) != string(root2) {
		t.Error("the root changed over a restart")
	}
	if b, err := os.ReadFile(filepath.Join(dir, "root.crt")); err != nil || string(b) != string(root1) {
		t.Errorf("root.crt: %v, %d bytes", err, len(b))
	}
	if strings.Contains(string(root1), "PRIVATE") {
		t.Error("Root gives the key away")
	}
	if runtime.GOOS != "windows" {
		for file, mode := range map[string]os.FileMode{"": 0o700, "root.pem": 0o600, "root.crt": 0o644} {
			fi, err := os.Stat(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if fi.Mode().Perm() != mode {
				t.Errorf("mode of %q is %v, want %v", file, fi.Mode().Perm(), mode)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Managers that start at once on one directory end up with one root.
func TestInternalRootRace(t *testing.T) {
	dir := t.TempDir()
	roots := make(chan string, 8)
	for range cap(roots) {
		go func() {
			m, err := certs.New(internalOptions(dir))
			if err != nil {
				roots <- err.Error()
				return
			}
			b, _ := m.Root()
			m.Close()
			roots <- string(b)
		}()
	}
	first := <-roots
	if !strings.Contains(first, "BEGIN CERTIFICATE") {
		t.Fatal(first)
	}
	for range cap(roots) - 1 {
		if r := <-roots; r != first {
			t.Fatalf("two roots, or an error: %s", r)
		}
	}
}

func TestInternalErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "root.pem"), []byte("half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, host, want string }{
		{"not a directory", filepath.Join(file, "ca"), "", "cannot read the root"},
		{"broken root", broken, "", "remove it to make a new one"},
		{"bad host", dir, "http://x", `internal host "http://x" is neither`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := internalOptions(c.dir)
			if c.host != "" {
				o = internalOptions(c.dir, c.host)
			}
			_, err := certs.New(o)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `source "lan"`) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
	m := manager(t, certs.Options{})
	if _, err := m.Root(); err == nil {
		t.Error("Root without an internal CA")
	}
	if _, err := handshake(t, m.TLSConfig("nobody"), &tls.Config{ServerName: "x"}, nowhere()); err == nil || !strings.Contains(err.Error(), `no source "nobody"`) {
		t.Errorf("handshake with an unknown source: %v", err)
	}
}
