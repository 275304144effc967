package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"encoding/pem"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"github.com/nats-io/nats.go"

	"ganglion/cmd/ganglion/config"
)

// pebble starts an ACME CA that looks for every name on this machine, with
// http-01 at one port and tls-alpn-01 at another.
func pebble(t *testing.T, httpPort, tlsPort int) (url, roots string, issued *x509.CertPool, orders *atomic.Int64) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(q)
		if h := q.Question[0]; h.Qtype == dns.TypeA {
			r.Answer = append(r.Answer, &dns.A{Hdr: dns.RR_Header{Name: h.Name, Rrtype: h.Qtype, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)})
		}
		w.WriteMsg(r)
	})}
	go names.ActivateAndServe()
	t.Cleanup(func() { names.Shutdown() })
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	authority := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 90 * 24 * 3600}})
	front := wfe.New(quiet, store, va.New(quiet, httpPort, tlsPort, false, ln.Addr().String(), store), authority, []string{"ca.test"}, false, false, 0, 0)
	orders = &atomic.Int64{}
	h := front.Handler()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" {
			orders.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	roots = filepath.Join(t.TempDir(), "roots.pem")
	write(t, roots, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	issued = x509.NewCertPool()
	issued.AddCert(authority.GetRootCert(0).Cert)
	return s.URL + "/dir", roots, issued, orders
}

// freePorts returns ports that were free a moment ago: the CA must know them
// before the server listens.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for len(ports) < n { // not one that the system gives to whoever dials meanwhile
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000)))
		if err != nil {
			continue
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// A server that is told its name fetches one certificate for all its listeners,
// by either challenge, and says so; one whose CA is away starts and goes on trying.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			dir, ports := t.TempDir(), freePorts(t, 2)
			url, roots, issued, orders := pebble(t, ports[1], ports[0])
			acme := fmt.Sprintf(`acme { domains: ["edge.test"], email: "ops@edge.test", ca: "%s", ca_roots: "%s", challenges: ["%s"], storage: "%s/acme" }`, url, roots, challenge, dir)
			file := filepath.Join(dir, "server.conf")
			write(t, file, fmt.Sprintf(`
listen: "127.0.0.1:-1"
log_file: "%s/log"
tls { %s }
websocket { listen: "127.0.0.1:%d", tls { %s } }
`, dir, acme, ports[0], acme))
			cmd, err := config.Parse([]string{"-c", file, "--http-port", strconv.Itoa(ports[1])}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Start(t.Context(), cmd, "test", "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Stop)
			for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
				if cs := d.certs.Certificates(); len(cs) == 1 && !cs[0].NotAfter.IsZero() {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("no certificate: %+v\n%s", d.certs.Certificates(), read(t, filepath.Join(dir, "log")))
				}
			}
			tcp, wss := d.testURLs()
			for _, u := range []string{tcp, wss} {
				nc, err := nats.Connect(u, nats.Secure(&tls.Config{RootCAs: issued, ServerName: "edge.test"}))
				if err != nil {
					t.Fatalf("%s: %v\n%s", u, err, read(t, filepath.Join(dir, "log")))
				}
				nc.Close()
			}
			if n := orders.Load(); n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		})
	}
	t.Run("no CA", func(t *testing.T) {
		dir := t.TempDir()
		d := launch(t, dir, fmt.Sprintf(`
listen: "127.0.0.1:-1"
log_file: "DIR/log"
tls { acme { domains: ["edge.test"], ca: "https://127.0.0.1:%d/dir", challenges: ["tls-alpn-01"], storage: "DIR/acme" } }
allow_non_tls: true
`, freePorts(t, 1)[0]))
		nc, err := nats.Connect("nats://" + d.ClientAddr().String())
		if err != nil {
			t.Fatalf("without TLS, meanwhile: %v", err)
		}
		nc.Close()
		for end := time.Now().Add(soon); !strings.Contains(read(t, filepath.Join(dir, "log")), "connection refused"); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the log does not say why:\n%s", read(t, filepath.Join(dir, "log")))
			}
		}
	})
}
