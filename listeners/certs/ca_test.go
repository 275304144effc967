package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ganglion/listeners/certs"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// testCA is an ACME CA (Pebble) that finds everything below .test on this machine:
// http-01 at web, tls-alpn-01 at tls.
type testCA struct {
	url, roots string // Options: the directory, and whom to trust for it
	pool       *x509.CertPool
	web, tls   net.Listener
	zone       *zone
	orders     atomic.Int64
	db         *db.MemoryStore

	// broken, when set, answers instead of the CA.
	broken atomic.Pointer[http.HandlerFunc]

	addr    string
	cfg     *tls.Config
	real    http.Handler // without broken
	handler http.Handler
	server  *http.Server
}

// newCA starts a CA; what it signs lives for life.
func newCA(t *testing.T, life time.Duration) *testCA {
	t.Helper()
	// Without its chaos: Pebble else waits, and rejects nonces, at random.
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	c := &testCA{web: listen(t), tls: listen(t), zone: newZone(t), db: db.NewMemoryStore()}
	t.Cleanup(func() { c.web.Close(); c.tls.Close() })
	quiet := log.New(io.Discard, "", 0)
	authority := ca.New(quiet, c.db, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life / time.Second)}})
	validator := va.New(quiet, port(c.web), port(c.tls), false, c.zone.addr, c.db)
	front := wfe.New(quiet, c.db, validator, authority, []string{"ca.test"}, false, false, 0, 0)
	h := front.Handler()
	c.real = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/order-plz" {
			c.orders.Add(1)
		}
		h.ServeHTTP(w, r)
	})
	c.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b := c.broken.Load(); b != nil {
			(*b)(w, r)
			return
		}
		c.real.ServeHTTP(w, r)
	})
	c.pool = x509.NewCertPool()
	c.pool.AddCert(authority.GetRootCert(0).Cert)

	// The CA's own https has a certificate of another authority.
	a := newAuthority(t)
	certPEM, keyPEM := a.issue(t, time.Now().AddDate(0, 2, 0), "localhost")
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	c.cfg = &tls.Config{Certificates: []tls.Certificate{pair}}
	c.roots = filepath.Join(t.TempDir(), "roots.pem")
	replace(t, c.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	ln := listen(t)
	c.addr = ln.Addr().String()
	c.url = fmt.Sprintf("https://localhost:%d/dir", port(ln))
	c.serve(ln)
	t.Cleanup(c.down)
	return c
}

func port(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

// reopen closes ln and listens on its port again.
func reopen(t *testing.T, ln net.Listener) net.Listener {
	t.Helper()
	ln.Close()
	ln, err := net.Listen("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (c *testCA) serve(ln net.Listener) {
	c.server = &http.Server{Handler: c.handler, TLSConfig: c.cfg.Clone(), ErrorLog: log.New(io.Discard, "", 0)}
	s := c.server
	go s.ServeTLS(ln, "", "")
}

// down makes the CA's port refuse connections; up undoes it.
func (c *testCA) down() { c.server.Close() }

func (c *testCA) up(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.serve(ln)
}

// acme are options for one source "web" at c, with pauses for tests.
func (c *testCA) acme(t *testing.T, log *logBook, a certs.ACME) certs.Options {
	t.Helper()
	a.CA, a.CARoots = c.url, c.roots
	if a.Storage == "" {
		a.Storage = filepath.Join(t.TempDir(), "acme")
	}
	if a.Timing.Retry == 0 {
		a.Timing.Retry, a.Timing.RetryMax = 10*time.Millisecond, 200*time.Millisecond
	}
	return certs.Options{Logger: log.logger(), Sources: map[string]certs.Source{"web": {ACME: &a}}}
}

// daemon serves m at the ports that the CA comes to, as the broker's daemon would:
// http on one, wss on the other.
func (c *testCA) daemon(t *testing.T, m *certs.Manager) (failed <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.ServeHTTP01(ctx, c.web, nil); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	cfg := m.TLSConfig("web")
	cfg.NextProtos = []string{"http/1.1"}
	return echo(t, c.tls, cfg)
}

// client verifies as a browser does.
func (c *testCA) client(name string) *tls.Config {
	cfg := trust(c.pool, name)
	cfg.NextProtos = []string{"http/1.1"}
	return cfg
}

// zone is a DNS server and, in memory, the libdns provider of its records.
type zone struct {
	addr string
	mu   sync.Mutex
	txt  map[string][]string // by absolute name
	sets int                 // how many records were ever set
}

func newZone(t *testing.T) *zone {
	t.Helper()
	z := &zone{txt: make(map[string][]string)}
	// One port for both transports: the validator uses TCP, certmagic UDP.
	for {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		z.addr = pc.LocalAddr().String()
		ln, err := net.Listen("tcp", z.addr)
		if err != nil {
			pc.Close()
			continue
		}
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: ln, Handler: z}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go s.ActivateAndServe()
			<-started
			t.Cleanup(func() { s.Shutdown() })
		}
		return z
	}
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	r := new(dns.Msg)
	r.SetReply(q)
	r.Authoritative = true
	name := strings.ToLower(q.Question[0].Name)
	head := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
	switch head.Rrtype {
	case dns.TypeA:
		r.Answer = append(r.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
	case dns.TypeSOA:
		if name == "test." {
			r.Answer = append(r.Answer, &dns.SOA{Hdr: head, Ns: "ns.test.", Mbox: "a.test.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1})
		}
	case dns.TypeTXT:
		z.mu.Lock()
		for _, v := range z.txt[name] {
			r.Answer = append(r.Answer, &dns.TXT{Hdr: head, Txt: []string{v}})
		}
		z.mu.Unlock()
	}
	w.WriteMsg(r)
}

func (z *zone) AppendRecords(_ context.Context, in string, rs []libdns.Record) ([]libdns.Record, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, r := range rs {
		n := libdns.AbsoluteName(r.RR().Name, in)
		z.txt[n] = append(z.txt[n], r.RR().Data)
		z.sets++
	}
	return rs, nil
}

func (z *zone) DeleteRecords(_ context.Context, in string, rs []libdns.Record) ([]libdns.Record, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, r := range rs {
		n := libdns.AbsoluteName(r.RR().Name, in)
		z.txt[n] = slices.DeleteFunc(z.txt[n], func(v string) bool { return v == r.RR().Data })
		if len(z.txt[n]) == 0 {
			delete(z.txt, n)
		}
	}
	return rs, nil
}

// occupied makes dir impossible to write into, for root too: it is a file.
func occupied(t *testing.T, dir string) (free func()) {
	t.Helper()
	if err := os.Rename(dir, dir+".aside"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+".aside", dir); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}
