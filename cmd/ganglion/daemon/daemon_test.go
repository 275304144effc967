package daemon

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/cmd/ganglion/config"
	"ganglion/listeners/websocket"
)

const soon = 20 * time.Second

// launch starts a server with a configuration; the test's end stops it. File
// names in text are relative to dir.
func launch(t *testing.T, dir, text string) *Daemon {
	t.Helper()
	file := filepath.Join(dir, "server.conf")
	write(t, file, strings.ReplaceAll(text, "DIR", dir))
	cmd, err := config.Parse([]string{"-c", file}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Start(t.Context(), cmd, "test", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	return d
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newCert writes a self-signed certificate for the loopback with the given
// serial number to NAME.crt and NAME.key in dir.
func newCert(t *testing.T, dir, name string, serial int64) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// urls returns where TLS and wss clients connect to.
func (d *Daemon) testURLs() (tcp, wss string) {
	for i, l := range d.set {
		at := fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port)
		switch {
		case i == 0:
			tcp = "tls://" + at
		case l.Kind == websocket.Kind:
			wss = "wss://" + at
		}
	}
	return tcp, wss
}

// serials returns the serial numbers that new connections are shown.
func serials(t *testing.T, d *Daemon) (s [2]int64) {
	t.Helper()
	tcp, wss := d.testURLs()
	for i, url := range []string{tcp, wss} {
		cfg := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
			s[i] = cs.PeerCertificates[0].SerialNumber.Int64()
			return nil
		}}
		nc, err := nats.Connect(url, nats.Secure(cfg))
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	return s
}

// A reload with another certificate, and a changed file, reach new connections on
// all listeners; 100 that talk meanwhile lose nothing and stay.
func TestReloadCertificate(t *testing.T) {
	dir := t.TempDir()
	newCert(t, dir, "a", 1)
	const text = `
listen: "127.0.0.1:-1"
log_file: "DIR/log"
tls { cert_file: "DIR/%[1]s.crt", key_file: "DIR/%[1]s.key" }
websocket { listen: "127.0.0.1:-1", tls { cert_file: "DIR/%[1]s.crt", key_file: "DIR/%[1]s.key" } }
`
	d := launch(t, dir, fmt.Sprintf(text, "a"))
	tcp, wss := d.testURLs()
	const clients = 100
	var drops atomic.Int32
	stop := make(chan struct{})
	done := make(chan int, clients)
	for i := range clients {
		url := tcp
		if i%2 == 1 {
			url = wss
		}
		nc, err := nats.Connect(url, nats.Secure(&tls.Config{InsecureSkipVerify: true}), nats.DisconnectErrHandler(func(*nats.Conn, error) { drops.Add(1) }))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		subj := fmt.Sprintf("own.%d", i)
		sub, err := nc.SubscribeSync(subj)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			n := 0
			defer func() { done <- n }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if nc.Publish(subj, []byte("x")) != nil {
					return
				}
				if _, err := sub.NextMsg(soon); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
				n++
			}
		}()
	}
	if s := serials(t, d); s != [2]int64{1, 1} {
		t.Fatalf("serial numbers %v, want 1", s)
	}
	// another certificate in the configuration
	newCert(t, dir, "b", 2)
	write(t, filepath.Join(dir, "server.conf"), strings.ReplaceAll(fmt.Sprintf(text, "b"), "DIR", dir))
	if err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	if s := serials(t, d); s != [2]int64{2, 2} {
		t.Fatalf("after the reload: serial numbers %v, want 2", s)
	}
	// the file changes
	newCert(t, dir, "b", 3)
	d.certs.Check()
	if s := serials(t, d); s != [2]int64{3, 3} {
		t.Fatalf("after the file changed: serial numbers %v, want 3", s)
	}
	// a broken pair keeps the old one; a reload with it changes nothing
	write(t, filepath.Join(dir, "b.key"), "garbage")
	d.certs.Check()
	if err := d.Reload(); err == nil || !strings.Contains(err.Error(), "b.key") {
		t.Fatalf("reload with a broken key: %v", err)
	}
	if s := serials(t, d); s != [2]int64{3, 3} {
		t.Fatalf("after the file broke: serial numbers %v, want 3", s)
	}
	close(stop)
	for range clients {
		if n := <-done; n == 0 {
			t.Error("a client never talked")
		}
	}
	if n := drops.Load(); n != 0 {
		t.Errorf("%d connections were dropped", n)
	}
}

// Clients must show a certificate that is pinned, by a trusted CA or by any.
func TestPinnedCertificates(t *testing.T) {
	dir := t.TempDir()
	newCert(t, dir, "server", 1)
	good, other := newCert(t, dir, "good", 2), newCert(t, dir, "other", 3)
	_ = other
	sum := sha256.Sum256(good.RawSubjectPublicKeyInfo)
	write(t, filepath.Join(dir, "ca.crt"), read(t, filepath.Join(dir, "good.crt"))+read(t, filepath.Join(dir, "other.crt")))
	d := launch(t, dir, fmt.Sprintf(`
listen: "127.0.0.1:-1"
log_file: "DIR/log"
tls { cert_file: "DIR/server.crt", key_file: "DIR/server.key", ca_file: "DIR/ca.crt", verify: true, pinned_certs: ["%s"], min_version: "1.3", handshake_first: auto }
`, hex.EncodeToString(sum[:])))
	tcp, _ := d.testURLs()
	for _, c := range []struct {
		name string
		ok   bool
	}{{"good", true}, {"other", false}, {"", false}} {
		opts := []nats.Option{nats.RootCAs(filepath.Join(dir, "server.crt")), nats.MaxReconnects(0)}
		if c.name != "" {
			opts = append(opts, nats.ClientCert(filepath.Join(dir, c.name+".crt"), filepath.Join(dir, c.name+".key")))
		}
		nc, err := nats.Connect(tcp, opts...)
		if err == nil {
			nc.Close()
		}
		if c.ok != (err == nil) {
			t.Errorf("certificate %q: %v", c.name, err)
		}
	}
	for _, want := range []string{"is not among pinned_certs", "client didn't provide a certificate"} {
		// The client may know before it is logged.
		for end := time.Now().Add(10 * time.Second); !strings.Contains(read(t, filepath.Join(dir, "log")), want); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %q in the log:\n%s", want, read(t, filepath.Join(dir, "log")))
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b)) + "\n"
}

// A listener that is paused, or closed, leaves the others and its own connections
// alone; the limits of one listener are its own.
func TestListenersAreApart(t *testing.T) {
	dir := t.TempDir()
	d := launch(t, dir, `
listen: "127.0.0.1:-1"
log_file: "DIR/log"
websocket { listen: "127.0.0.1:-1", no_tls: true }
listeners { lan { listen: "127.0.0.1:-1", max_connections: 2 }, sock { path: "DIR/s" } }
`)
	url := map[string]string{}
	for _, l := range d.set {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			url[l.Name] = "nats://" + a.String()
		}
	}
	url["websocket"] = strings.Replace(url["websocket"], "nats", "ws", 1)
	connect := func(name string) (*nats.Conn, error) {
		nc, err := nats.Connect(url[name], nats.Timeout(time.Second), nats.MaxReconnects(0))
		if err == nil {
			t.Cleanup(nc.Close)
		}
		return nc, err
	}
	var own []*nats.Conn
	for _, name := range []string{"tcp", "websocket", "lan", "lan"} {
		nc, err := connect(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		own = append(own, nc)
	}
	if _, err := connect("lan"); err == nil {
		t.Error("a third connection on lan, which takes 2")
	}
	lan, _ := d.set.Lookup("lan")
	if s := lan.Gate.Stats(); s.RefusedMax == 0 || s.Open != 2 {
		t.Errorf("lan: %+v", s)
	}
	ws, _ := d.set.Lookup("websocket")
	ws.Gate.Pause()
	if _, err := connect("websocket"); err == nil {
		t.Error("a connection on a paused listener")
	}
	if _, err := connect("tcp"); err != nil {
		t.Errorf("tcp, while websocket is paused: %v", err)
	}
	ws.Gate.Resume()
	if _, err := connect("websocket"); err != nil {
		t.Errorf("websocket, resumed: %v", err)
	}
	lan.Close()
	for _, nc := range own {
		if err := nc.FlushTimeout(soon); err != nil {
			t.Errorf("%s: %v", nc.ConnectedUrl(), err)
		}
	}
	if c, err := net.Dial("unix", filepath.Join(dir, "s")); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}

// connection_rate_limit holds for wss as it does for TLS.
func TestSecureWebSocketRate(t *testing.T) {
	dir := t.TempDir()
	newCert(t, dir, "a", 1)
	d := launch(t, dir, `
listen: "127.0.0.1:-1"
log_file: "DIR/log"
websocket { listen: "127.0.0.1:-1", tls { cert_file: "DIR/a.crt", key_file: "DIR/a.key", connection_rate_limit: 1 } }
`)
	_, wss := d.testURLs()
	refused := 0
	for range 20 {
		nc, err := nats.Connect(wss, nats.Secure(&tls.Config{InsecureSkipVerify: true}))
		if err != nil {
			refused++
			continue
		}
		nc.Close()
	}
	if refused == 0 || refused == 20 {
		t.Errorf("%d of 20 refused, want some", refused)
	}
}
