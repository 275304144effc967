package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/listeners/quic"
)

// patience is for what comes unless something is broken.
const patience = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// identity makes a certificate for ip, and a file with the root to trust.
func identity(t *testing.T, ip net.IP) (server *tls.Config, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{ip}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	must(t, err)
	ca = filepath.Join(t.TempDir(), "root.crt")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, ca
}

// world is a broker on pc, a client inside it, and a device that runs.
type world struct {
	broker *broker.Broker
	port   *quic.Port
	inside *nats.Conn
	device device
	said   *said
}

func newWorld(t *testing.T, pc net.PacketConn) *world {
	t.Helper()
	server, ca := identity(t, pc.LocalAddr().(*net.UDPAddr).IP)
	w := &world{said: &said{}}
	var err error
	w.broker, err = broker.New(broker.Options{})
	must(t, err)
	w.port, err = quic.NewPort(pc, quic.Options{TLS: server})
	must(t, err)
	ln, err := quic.Listen(w.port)
	must(t, err)
	go w.broker.Serve(ln, broker.Endpoint{Name: "quic", Secure: true, Type: auth.TypeQUIC})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		w.broker.Shutdown(ctx)
		w.port.Close()
	})
	w.inside, err = nats.Connect("", nats.InProcessServer(w.broker))
	must(t, err)
	t.Cleanup(w.inside.Close)
	w.device = device{id: "7", every: 10 * time.Millisecond, out: w.said, way: net.Dial, dial: quic.DialOptions{TLS: &tls.Config{}}}
	must(t, w.device.configure("quic://"+pc.LocalAddr().String(), ca))
	return w
}

// start has the device run until the test ends.
func (w *world) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.device.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the device: %v", err)
		}
	})
}

// ask gives the device a command; it may not be there yet.
func (w *world) ask(t *testing.T, command string) string {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		m, err := w.inside.Request("devices.7.cmd", []byte(command), patience)
		if err == nil {
			return string(m.Data)
		}
		if err != nats.ErrNoResponders || time.Now().After(end) {
			t.Fatalf("%s: %v; the device says\n%s", command, err, w.said)
		}
	}
}

// said is what the device prints.
type said struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// next returns the next telemetry.
func next(t *testing.T, sub *nats.Subscription) (v telemetry) {
	t.Helper()
	m, err := sub.NextMsg(patience)
	must(t, err)
	must(t, json.Unmarshal(m.Data, &v))
	return v
}

func TestDevice(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	w := newWorld(t, pc)
	sub, err := w.inside.SubscribeSync("devices.7.telemetry")
	must(t, err)
	must(t, w.inside.Flush())
	w.start(t)
	for n := range uint64(5) {
		if v := next(t, sub); v.N != n || v.At.IsZero() || v.Temperature < 20 {
			t.Fatalf("telemetry %+v; want number %d", v, n)
		}
	}
	for _, tc := range []struct{ command, want string }{
		{"ping", "pong"},
		{"interval 5ms", "every 5ms"},
		{"interval soon", "not a duration: soon"},
		{"interval -1s", "not a duration: -1s"},
		{"dance", "unknown; there are ping and interval <duration>"},
	} {
		if got := w.ask(t, tc.command); got != tc.want {
			t.Errorf("%s: answered %q; want %q", tc.command, got, tc.want)
		}
	}
}

func TestConfigure(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	must(t, os.WriteFile(none, []byte("nothing"), 0o600))
	for _, tc := range []struct{ server, ca, want string }{
		{"localhost:4433", "", "quic://host:port"},
		{"nats://localhost:4222", "", "quic://host:port"},
		{"quic://localhost", "", "quic://host:port"},
		{"quic://localhost:4433", none + "x", "-ca"},
		{"quic://localhost:4433", none, "no certificate"},
	} {
		d := device{out: io.Discard, dial: quic.DialOptions{TLS: &tls.Config{}}}
		if err := d.configure(tc.server, tc.ca); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("-server %s -ca %s: %v", tc.server, tc.ca, err)
		}
	}
}
