package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// challengePath is where HTTP-01 looks (RFC 8555, 8.3).
const challengePath = "/.well-known/acme-challenge/"

// challenges are those that a CA may come for at the moment, from all sources: the
// listener that the CA comes to need not be the one the certificate is for.
type challenges struct {
	mu   sync.RWMutex
	http map[string]acme.Challenge // guarded by mu; by token
	alpn map[string]alpnChallenge  // guarded by mu; by server name
}

type alpnChallenge struct {
	auth string // tells challenges for one name apart
	cert *tls.Certificate
}

func newChallenges() *challenges {
	return &challenges{http: make(map[string]acme.Challenge), alpn: make(map[string]alpnChallenge)}
}

// HTTPHandler answers HTTP-01 challenges and leaves all other requests to next; a
// nil next answers 404. Mount it on port 80 of the domains.
func (m *Manager) HTTPHandler(next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.URL.Path, challengePath)
		if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		m.challenges.mu.RLock()
		c, ok := m.challenges.http[token]
		m.challenges.mu.RUnlock()
		// The host is compared so that a page of another site cannot have the
		// broker prove things to a CA (DNS rebinding).
		if !ok || !strings.EqualFold(hostOf(r.Host), c.Identifier.Value) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		io.WriteString(w, c.KeyAuthorization)
	})
}

func hostOf(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return strings.Trim(hostport, "[]")
}

// ServeHTTP01 serves HTTPHandler(next) on ln until ctx ends; then it closes ln, ends
// requests that take longer than a second and returns nil.
func (m *Manager) ServeHTTP01(ctx context.Context, ln net.Listener, next http.Handler) error {
	s := &http.Server{
		Handler:           m.HTTPHandler(next),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(m.current.Load().opts.Logger.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(sctx) != nil {
			s.Close()
		}
	})
	err := s.Serve(ln)
	if stop() { // ctx has not ended: ln failed
		s.Close()
		return fmt.Errorf("certs: http-01 on %s: %w", ln.Addr(), err)
	}
	<-done
	return nil
}

// configForClient answers handshakes for TLS-ALPN-01 and lets all others pass: it
// is a tls.Config's GetConfigForClient.
func (c *challenges) configForClient(h *tls.ClientHelloInfo) (*tls.Config, error) {
	if !slices.Equal(h.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		return nil, nil
	}
	c.mu.RLock()
	a, ok := c.alpn[normal(h.ServerName)]
	c.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("certs: no %s challenge for %q is under way", TLSALPN01, h.ServerName)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		Certificates:           []tls.Certificate{*a.cert},
		NextProtos:             []string{acmez.ACMETLS1Protocol},
		SessionTicketsDisabled: true,
	}, nil
}

// httpSolver and alpnSolver put challenges where the handler and the config find
// them. They are acmez.Solvers.
type (
	httpSolver struct{ *challenges }
	alpnSolver struct{ *challenges }
)

func (s httpSolver) Present(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.http[c.Token] = c
	return nil
}

func (s httpSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.http, c.Token)
	return nil
}

func (s alpnSolver) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return fmt.Errorf("making the %s certificate: %w", TLSALPN01, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alpn[alpnName(c)] = alpnChallenge{c.KeyAuthorization, cert}
	return nil
}

func (s alpnSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := alpnName(c); s.alpn[n].auth == c.KeyAuthorization {
		delete(s.alpn, n)
	}
	return nil
}

// alpnName is the server name that the CA sends: for an address its name in the
// reverse zone (RFC 8738, 6).
func alpnName(c acme.Challenge) string {
	a, err := netip.ParseAddr(c.Identifier.Value)
	if err != nil {
		return normal(c.Identifier.Value)
	}
	var b strings.Builder
	if a.Is4() {
		q := a.As4()
		fmt.Fprintf(&b, "%d.%d.%d.%d.in-addr.arpa", q[3], q[2], q[1], q[0])
		return b.String()
	}
	q := a.As16()
	for _, x := range slices.Backward(q[:]) {
		fmt.Fprintf(&b, "%x.%x.", x&0xf, x>>4)
	}
	return b.String() + "ip6.arpa"
}
