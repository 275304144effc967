package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ganglion/core/broker"
	"ganglion/core/limit"
)

// newPair returns a self-signed certificate for the loopback, also as a pool of
// roots.
func newPair(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// tlsBroker serves TLS on the loopback and logs to log.
func tlsBroker(t *testing.T, o broker.Options, e *broker.TLS, log *lockedBuffer) string {
	t.Helper()
	if log != nil {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(ln, broker.Endpoint{Name: "tls", TLS: e})
	return ln.Addr().String()
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func connectTCP(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// session speaks NATS on c and returns what came back up to PONG.
func session(c net.Conn, r *bufio.Reader) (string, error) {
	if _, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n"); err != nil {
		return "", err
	}
	var got strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return got.String(), err
		}
		if !strings.HasPrefix(line, "INFO") {
			got.WriteString(line)
		}
		if line == "PONG\r\n" {
			return got.String(), nil
		}
	}
}

const said = "MSG a 1 2\r\nhi\r\nPONG\r\n"

// A client that has to show a certificate: who has none, or another one, is
// refused with a log line that says why.
func TestTLSVerify(t *testing.T) {
	server, roots := newPair(t, "server")
	good, goodRoots := newPair(t, "good")
	bad, _ := newPair(t, "bad")
	for _, mode := range []struct {
		name string
		tls  broker.TLS
	}{{"after INFO", broker.TLS{}}, {"first", broker.TLS{Mode: broker.First}}} {
		for _, c := range []struct {
			name string
			cert *tls.Certificate
			ok   bool
		}{{"trusted", &good, true}, {"untrusted", &bad, false}, {"none", nil, false}} {
			t.Run(mode.name+" "+c.name, func(t *testing.T) {
				var log lockedBuffer
				e := mode.tls
				e.Config = &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: goodRoots}
				addr := tlsBroker(t, broker.Options{}, &e, &log)
				raw := connectTCP(t, addr)
				if e.Mode == broker.AfterInfo {
					line := readLine(t, raw)
					if !strings.Contains(line, `"tls_required":true,"tls_verify":true`) {
						t.Fatalf("INFO %s", line)
					}
				}
				cfg := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
				if c.cert != nil {
					cert := *c.cert
					cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
				}
				cl := tls.Client(raw, cfg)
				got, err := session(cl, bufio.NewReader(cl))
				if c.ok && (got != said || err != nil) {
					t.Fatalf("%q, %v", got, err)
				}
				if !c.ok {
					if err == nil {
						t.Fatalf("let in: %q", got)
					}
					waitLog(t, &log, "TLS handshake error")
				}
			})
		}
	}
}

// readLine reads a line of c and no byte more.
func readLine(t *testing.T, c net.Conn) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); len(line) == 0 || line[len(line)-1] != '\n'; {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		line = append(line, b[0])
	}
	return string(line)
}

func waitLog(t *testing.T, log *lockedBuffer, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in the log:\n%s", text, log.String())
		}
	}
}

// What is no TLS on a TLS port, or silence, ends without a byte in answer; others
// are not disturbed.
func TestTLSGarbage(t *testing.T) {
	server, roots := newPair(t, "server")
	for _, c := range []struct {
		name, send string
		first      bool // the broker waits for TLS without INFO
	}{
		{"plain NATS", "CONNECT {}\r\nPING\r\n", false},
		{"plain NATS first", "CONNECT {}\r\nPING\r\n", true},
		{"http", "GET / HTTP/1.1\r\n\r\n", true},
		{"a record of 64 KiB", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 70000), true},
		{"half a hello, then silence", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", true},
		{"silence", "", true},
		{"silence after INFO", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log lockedBuffer
			e := &broker.TLS{Config: &tls.Config{Certificates: []tls.Certificate{server}}, Timeout: 300 * time.Millisecond}
			if c.first {
				e.Mode = broker.First
			}
			addr := tlsBroker(t, broker.Options{}, e, &log)
			raw := connectTCP(t, addr)
			if !c.first {
				readLine(t, raw)
			}
			io.WriteString(raw, c.send)
			b, err := io.ReadAll(raw)
			for len(b) > 0 && b[0] == 21 { // an alert is TLS's own way to refuse
				b = b[min(7, len(b)):]
			}
			if len(b) > 0 || isTimeout(err) {
				t.Fatalf("answer %q, %v", b, err)
			}
			waitLog(t, &log, "TLS handshake")
			good := tls.Client(connectTCP(t, addr), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
			if c.first {
				if got, err := session(good, bufio.NewReader(good)); got != said || err != nil {
					t.Fatalf("another client: %q, %v", got, err)
				}
			}
		})
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// TLS on a plain port is a protocol violation like any other garbage.
func TestTLSOnPlainPort(t *testing.T) {
	_, url := start(t, broker.Options{})
	raw := connectTCP(t, strings.TrimPrefix(url, "nats://"))
	readLine(t, raw)
	err := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}).Handshake()
	if err == nil {
		t.Fatal("handshake on a plain port")
	}
}

// Handshakes above the rate limit are refused, and no more of them run at the same
// time than there are slots.
func TestTLSHandshakeLimits(t *testing.T) {
	server, roots := newPair(t, "server")
	cfg := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	t.Run("rate", func(t *testing.T) {
		var log lockedBuffer
		addr := tlsBroker(t, broker.Options{}, &broker.TLS{
			Mode: broker.First, Config: &tls.Config{Certificates: []tls.Certificate{server}}, Rate: limit.NewBucket(0.0001, 2),
		}, &log)
		ok := 0
		for range 5 {
			c := tls.Client(connectTCP(t, addr), cfg)
			if got, err := session(c, bufio.NewReader(c)); err == nil && got == said {
				ok++
			}
		}
		if ok != 2 {
			t.Fatalf("%d handshakes, want 2", ok)
		}
		waitLog(t, &log, "connection_rate_limit is exceeded")
	})
	t.Run("slots", func(t *testing.T) {
		addr := tlsBroker(t, broker.Options{}, &broker.TLS{
			Mode: broker.First, Config: &tls.Config{Certificates: []tls.Certificate{server}}, Timeout: 10 * time.Second, Slots: make(chan struct{}, 1),
		}, nil)
		slow := connectTCP(t, addr)
		io.WriteString(slow, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") // takes the slot
		done := make(chan error, 1)
		go func() {
			c := tls.Client(connectTCP(t, addr), cfg)
			got, err := session(c, bufio.NewReader(c))
			if err == nil && got != said {
				err = fmt.Errorf("got %q", got)
			}
			done <- err
		}()
		slow.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// One write of a TLS client may hold many records, and one record many ops, split
// anywhere.
func TestTLSRecords(t *testing.T) {
	server, roots := newPair(t, "server")
	addr := tlsBroker(t, broker.Options{}, &broker.TLS{Mode: broker.First, Config: &tls.Config{Certificates: []tls.Certificate{server}}}, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		raw := connectTCP(t, addr)
		c := tls.Client(&dribbling{Conn: raw}, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: version, MaxVersion: version})
		payload := strings.Repeat("x", 100_000)
		go func() {
			io.WriteString(c, "CONNECT {\"verbose\":false}\r\nSUB big 1\r\n")
			for range 20 {
				fmt.Fprintf(c, "PUB big %d\r\n%s\r\n", len(payload), payload)
			}
			io.WriteString(c, "PING\r\n")
		}()
		r := bufio.NewReader(c)
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "INFO") {
			t.Fatalf("%q, %v", line, err)
		}
		for i := range 20 {
			line, err := r.ReadString('\n')
			if line != "MSG big 1 100000\r\n" || err != nil {
				t.Fatalf("message %d: %q, %v", i, line, err)
			}
			b := make([]byte, len(payload)+2)
			if _, err := io.ReadFull(r, b); err != nil || string(b) != payload+"\r\n" {
				t.Fatalf("payload %d: %v", i, err)
			}
		}
		if line, err := r.ReadString('\n'); line != "PONG\r\n" || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// dribbling sends in pieces that end in the middle of records.
type dribbling struct{ net.Conn }

func (d *dribbling) Write(p []byte) (int, error) {
	n := 0
	for step := 1; n < len(p); step = step*3%4099 + 1 {
		m, err := d.Conn.Write(p[n:min(n+step, len(p))])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
