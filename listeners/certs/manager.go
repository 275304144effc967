package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kinds of Info.
const (
	KindFile     = "file"
	KindACME     = "acme"
	KindInternal = "internal"
)

// Info is one certificate that is served, or that a source tries to get.
type Info struct {
	Source string   `json:"source"`
	Kind   string   `json:"kind"`
	Names  []string `json:"names"`
	// Issuer is the common name of who signed it; empty when there is none yet,
	// as are the times and the fingerprint (SHA-256 of the leaf, hexadecimal).
	Issuer      string    `json:"issuer,omitempty"`
	NotBefore   time.Time `json:"not_before,omitzero"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	// LastError is why the last try failed; empty when it did not.
	LastError string `json:"last_error,omitempty"`
	// NextTry is when the certificate is renewed or tried for again; zero when
	// that waits for something else, such as a file to change.
	NextTry time.Time `json:"next_try,omitzero"`
}

// A source is one entry of Options.Sources, loaded. certificate and infos are
// called by many goroutines; start and stop once each, stop after or without start.
type source interface {
	certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	infos() []Info
	// start begins what the source does by itself, until ctx ends.
	start(ctx context.Context)
	// stop ends it, waits for it and frees what New took. certificate keeps working.
	stop()
}

// generation is everything that one Prepare made.
type generation struct {
	opts    Options
	sources map[string]source
}

// Manager holds the certificates of all listeners. It is safe for concurrent use.
type Manager struct {
	// Static after construction.
	challenges *challenges

	// What handshakes see; replaced by commit.
	current atomic.Pointer[generation]
	// changed tells the file watcher that current was replaced.
	changed chan struct{}

	// files keeps two Checks apart.
	files sync.Mutex

	mu        sync.Mutex
	ctx       context.Context // guarded by mu; nil before Start
	cancel    context.CancelFunc
	closed    bool
	preparing bool           // between Prepare and commit or abort
	running   sync.WaitGroup // the watcher and sources that are being stopped
}

// New loads the sources of o: files and internal roots are read, certificates of
// ACME sources are taken from storage if they are there. It does not reach for a
// CA. An error names the source, the file and what to do.
func New(o Options) (*Manager, error) {
	m := &Manager{challenges: newChallenges(), changed: make(chan struct{}, 1)}
	g, err := m.load(o, nil)
	if err != nil {
		return nil, err
	}
	m.current.Store(g)
	return m, nil
}

// load makes a generation. Sources of old that would come out the same are taken
// over, except files, which a reload reads anew.
func (m *Manager) load(o Options, old *generation) (*generation, error) {
	o = o.withDefaults()
	o.Sources = maps.Clone(o.Sources)
	g := &generation{opts: o, sources: make(map[string]source, len(o.Sources))}
	for _, name := range slices.Sorted(maps.Keys(o.Sources)) {
		s, err := m.loadSource(name, o, old)
		if err != nil {
			g.stopExcept(old)
			return nil, fmt.Errorf("certs: source %q: %w", name, err)
		}
		g.sources[name] = s
	}
	return g, nil
}

func (m *Manager) loadSource(name string, o Options, old *generation) (source, error) {
	spec := o.Sources[name]
	if err := spec.validate(); err != nil {
		return nil, err
	}
	log := o.Logger.With("source", name)
	switch {
	case spec.ACME != nil:
		if old != nil {
			if s, ok := old.sources[name].(*acmeSource); ok && s.same(spec.ACME) {
				return s, nil
			}
		}
		return newACMESource(name, *spec.ACME, m.challenges, log)
	case spec.Internal != nil:
		if old != nil {
			if s, ok := old.sources[name].(*internalSource); ok && s.same(spec.Internal) {
				return s, nil
			}
		}
		return newInternalSource(name, *spec.Internal, o.Now, log)
	default:
		return newFileSource(name, spec.Files, o.Now, log)
	}
}

// stopExcept stops the sources of g that are not also those of other, which may be nil.
func (g *generation) stopExcept(other *generation) {
	for name, s := range g.sources {
		if other == nil || other.sources[name] != s {
			s.stop()
		}
	}
}

// Start begins to obtain, renew and watch. It returns at once; what it began ends
// with ctx or Close.
func (m *Manager) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return errors.New("certs: Start after Close")
	case m.ctx != nil:
		return errors.New("certs: started twice")
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
	for _, s := range m.current.Load().sources {
		s.start(m.ctx)
	}
	m.running.Go(func() { m.watch(m.ctx) })
	return nil
}

// watch looks at the files every Poll.
func (m *Manager) watch(ctx context.Context) {
	for {
		var due <-chan time.Time
		if d := m.current.Load().opts.Poll; d > 0 {
			due = time.After(d)
		}
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
		case <-due:
			m.Check()
		}
	}
}

// Check reads certificate files that changed since they were last read. It is what
// Options.Poll does, for those who know better when.
func (m *Manager) Check() {
	m.files.Lock()
	defer m.files.Unlock()
	for _, s := range m.current.Load().sources {
		if f, ok := s.(*fileSource); ok {
			f.check()
		}
	}
}

// Prepare loads o as New does, beside what is served. Either commit or abort must
// be called; what is called after that does nothing. After commit new handshakes see
// o. Sources that did not change go on undisturbed, with the Logger they have. There
// can be one Prepare at a time.
func (m *Manager) Prepare(o Options) (commit, abort func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return nil, nil, errors.New("certs: Prepare after Close")
	case m.preparing:
		return nil, nil, errors.New("certs: another Prepare has neither been committed nor aborted")
	}
	old := m.current.Load()
	g, err := m.load(o, old)
	if err != nil {
		return nil, nil, err
	}
	m.preparing = true
	var once sync.Once
	return func() { once.Do(func() { m.commit(g) }) },
		func() {
			once.Do(func() {
				m.mu.Lock()
				m.preparing = false
				m.mu.Unlock()
				g.stopExcept(old)
			})
		}, nil
}

func (m *Manager) commit(g *generation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.preparing = false
	old := m.current.Swap(g)
	if m.closed {
		g.stopExcept(old)
		return
	}
	if m.ctx != nil {
		for name, s := range g.sources {
			if old.sources[name] != s {
				s.start(m.ctx)
			}
		}
	}
	// An order that is under way may take a moment to be withdrawn.
	m.running.Go(func() { old.stopExcept(g) })
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Close ends what Start began and waits for it. Certificates that are loaded are
// still served.
func (m *Manager) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	if m.cancel != nil {
		m.cancel()
	}
	m.mu.Unlock()
	m.running.Wait()
	m.current.Load().stopExcept(nil)
	return nil
}

// TLSConfig returns a new config whose certificate is always the one that source
// has at the moment. The caller may set what else the listener needs: ClientAuth,
// and NextProtos for https and wss ("http/1.1"). Handshakes for TLS-ALPN-01 are
// answered apart by GetConfigForClient, so NextProtos need not name acme-tls/1.
func (m *Manager) TLSConfig(source string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			s, ok := m.current.Load().sources[source]
			if !ok {
				return nil, fmt.Errorf("certs: there is no source %q", source)
			}
			return s.certificate(h)
		},
		GetConfigForClient: m.challenges.configForClient,
	}
}

// Certificates returns what is served and until when, sorted by source and name.
func (m *Manager) Certificates() []Info {
	var is []Info
	g := m.current.Load()
	for _, name := range slices.Sorted(maps.Keys(g.sources)) {
		is = append(is, g.sources[name].infos()...)
	}
	return is
}

// Root returns the PEM of the root of the internal CA, or of each of them when
// sources have different ones.
func (m *Manager) Root() ([]byte, error) {
	var roots []byte
	g := m.current.Load()
	for _, name := range slices.Sorted(maps.Keys(g.sources)) {
		if s, ok := g.sources[name].(*internalSource); ok {
			if p := s.rootPEM(); !bytes.Contains(roots, p) {
				roots = append(roots, p...)
			}
		}
	}
	if roots == nil {
		return nil, errors.New("certs: there is no internal CA; add a source with internal")
	}
	return roots, nil
}

// describe fills in what is read off a certificate.
func (i *Info) describe(leaf *x509.Certificate) {
	if leaf == nil {
		return
	}
	i.Names = names(leaf)
	i.Issuer = leaf.Issuer.CommonName
	i.NotBefore, i.NotAfter = leaf.NotBefore, leaf.NotAfter
	sum := sha256.Sum256(leaf.Raw)
	i.Fingerprint = hex.EncodeToString(sum[:])
}

// names returns all names of c, or its common name when it has no others.
func names(c *x509.Certificate) []string {
	ns := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		ns = append(ns, ip.String())
	}
	if len(ns) == 0 && c.Subject.CommonName != "" {
		ns = append(ns, c.Subject.CommonName)
	}
	return ns
}
