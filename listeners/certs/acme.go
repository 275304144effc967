package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"golang.org/x/net/idna"
)

// loadTimeout bounds how long New reads stored certificates: refreshing a stale
// OCSP staple may go over the network.
const loadTimeout = 5 * time.Second

// acmeSource serves certificates that it obtains and renews.
type acmeSource struct {
	// Static after construction.
	name    string
	spec    ACME   // as configured, for same
	roots   []byte // what CARoots held
	domains []string
	timing  Timing
	log     *slog.Logger
	issuer  *issuer
	cache   *certmagic.Cache
	config  *certmagic.Config
	asker   *asker // nil without on-demand

	mu      sync.RWMutex
	tasks   map[string]*task   // guarded by mu; by domain
	refused map[string]refusal // guarded by mu; names that were asked for on demand in vain
	ctx     context.Context    // guarded by mu; nil before start
	cancel  context.CancelFunc
	stopped bool
	running sync.WaitGroup
}

func newACMESource(name string, spec ACME, cs *challenges, log *slog.Logger) (*acmeSource, error) {
	s := &acmeSource{
		name: name, spec: spec, timing: spec.Timing.withDefaults(), log: log,
		tasks: make(map[string]*task), refused: make(map[string]refusal),
	}
	if spec.CARoots != "" {
		s.roots, _ = os.ReadFile(spec.CARoots) // newIssuer reports errors
	}
	for _, d := range spec.Domains {
		a, err := idna.ToASCII(normal(d))
		if err != nil {
			return nil, fmt.Errorf("acme domain %q: %w", d, err)
		}
		s.domains = append(s.domains, a)
	}
	withTiming := spec
	withTiming.Timing = s.timing
	var err error
	if s.issuer, err = newIssuer(withTiming, cs, log); err != nil {
		return nil, err
	}
	if spec.OnDemand != nil {
		s.asker = newAsker(*spec.OnDemand)
	}
	s.setup()
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	for _, d := range s.domains {
		t := newTask(s, d, false)
		if err := t.load(ctx); err != nil {
			t.setError(err, time.Time{})
		}
		s.tasks[d] = t
	}
	return s, nil
}

// setup makes certmagic's half: a cache of its own and a config that names
// everything, so that the package's defaults are not used.
func (s *acmeSource) setup() {
	zl := zapLogger(s.log.With("component", "certmagic"))
	s.cache = certmagic.NewCache(certmagic.CacheOptions{
		Logger: zl,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			return nil, errors.New("not set up yet")
		},
	})
	template := certmagic.Config{
		RenewalWindowRatio:  s.timing.RenewAt,
		KeySource:           certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		Issuers:             []certmagic.Issuer{s.issuer},
		Logger:              zl,
		DisableARI:          true, // the task asks
		DisableStorageCheck: true, // the task checks
	}
	if s.spec.Storage != "" {
		template.Storage = &certmagic.FileStorage{Path: s.spec.Storage}
	}
	for _, d := range s.domains {
		if !strings.HasPrefix(d, "*.") {
			template.DefaultServerName = d
			break
		}
	}
	s.config = certmagic.New(s.cache, template)
	s.issuer.storage = s.config.Storage

	// The cache's own goroutine keeps OCSP staples fresh. It would also renew, in
	// goroutines that stop cannot wait for, were it not for a config that says that
	// renewal happens on demand.
	template.OnDemand = &certmagic.OnDemandConfig{
		DecisionFunc: func(context.Context, string) error { return errors.New("renewal is the task's") },
	}
	maintenance := certmagic.New(s.cache, template)
	s.cache.SetOptions(certmagic.CacheOptions{
		Logger:           zl,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return maintenance, nil },
	})
}

// same reports whether spec would make the same source.
func (s *acmeSource) same(spec *ACME) bool {
	a, b := s.spec, *spec
	if (a.DNS == nil) != (b.DNS == nil) {
		return false
	}
	if a.DNS != nil {
		da, db := *a.DNS, *b.DNS
		// Providers are compared by identity: they may be in use.
		if v := reflect.ValueOf(da.Provider); v.IsValid() && !v.Comparable() || da.Provider != db.Provider {
			return false
		}
		da.Provider, db.Provider = nil, nil
		a.DNS, b.DNS = &da, &db
	}
	if !reflect.DeepEqual(a, b) {
		return false
	}
	if spec.CARoots == "" {
		return true
	}
	roots, err := os.ReadFile(spec.CARoots)
	return err == nil && slices.Equal(roots, s.roots)
}

func (s *acmeSource) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	for _, t := range s.tasks {
		s.running.Go(func() { t.run(s.ctx) })
	}
}

func (s *acmeSource) stop() {
	s.mu.Lock()
	s.stopped = true
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
	s.cache.Stop()
	s.issuer.close()
	if s.asker != nil {
		s.asker.close()
	}
}

// find returns the task for a server name: its own, or that of a wildcard.
func (s *acmeSource) find(name string) *task {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.tasks[name]; t != nil {
		return t
	}
	if _, rest, ok := strings.Cut(name, "."); ok {
		return s.tasks["*."+rest]
	}
	return nil
}

func (s *acmeSource) certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name, err := idna.Lookup.ToASCII(normal(h.ServerName))
	if err != nil {
		return nil, fmt.Errorf("certs: source %q: server name %q: %w", s.name, h.ServerName, err)
	}
	if name == "" {
		if name = s.config.DefaultServerName; name == "" {
			return nil, fmt.Errorf("certs: source %q: the client sent no server name and there is no domain to fall back to", s.name)
		}
	}
	t := s.find(name)
	switch {
	case t == nil && s.asker != nil:
		if err := s.demand(h.Context(), name); err != nil {
			return nil, err
		}
	case t == nil:
		return nil, fmt.Errorf("certs: source %q: %q is none of its domains (%s)", s.name, name, strings.Join(s.domains, ", "))
	default:
		if t.demand {
			if err := t.firstTry(h.Context()); err != nil {
				return nil, err
			}
		}
		if err := t.missing(); err != nil {
			return nil, err
		}
	}
	return s.config.GetCertificateWithContext(h.Context(), h)
}

func (s *acmeSource) infos() []Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var is []Info
	for _, name := range slices.Sorted(maps.Keys(s.tasks)) {
		is = append(is, s.tasks[name].info())
	}
	return is
}
