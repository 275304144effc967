package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// handshakeWait is how long a handshake waits for a certificate that is fetched
	// on its demand.
	handshakeWait = 30 * time.Second
	// askTimeout bounds one question to Ask.
	askTimeout = 10 * time.Second
	// denialPause is how long a no, or a question that failed, is remembered.
	denialPause = time.Minute
	// maxRefused bounds how many names are remembered.
	maxRefused = 10000
	// defaultMaxDemand is OnDemand.Max when it is 0.
	defaultMaxDemand = 1000
)

// errDenied is an answer of Ask other than 200.
var errDenied = errors.New("no certificate is wanted")

// refusal is why a name has no certificate, and until when that is the answer.
type refusal struct {
	err   error
	until time.Time
}

// asker puts the question of OnDemand.
type asker struct {
	url    *url.URL
	max    int
	client *http.Client
}

func newAsker(o OnDemand) *asker {
	u, _ := url.Parse(o.Ask) // validate has parsed it
	a := &asker{url: u, max: o.Max, client: &http.Client{
		Timeout:   askTimeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, IdleConnTimeout: time.Minute},
		// A redirect is not a yes, and must not lead elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if a.max <= 0 {
		a.max = defaultMaxDemand
	}
	return a
}

func (a *asker) close() { a.client.CloseIdleConnections() }

// ask returns nil for yes, an error that is errDenied for no, and others when
// there was no answer.
func (a *asker) ask(ctx context.Context, name string) error {
	u := *a.url
	q := u.Query()
	q.Set("domain", name)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return unreachable{err}
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return unreachable{fmt.Errorf("asking whether a certificate is wanted: %w", err)}
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answered %s", errDenied, a.url.Redacted(), resp.Status)
	}
	return nil
}

// demand has a certificate fetched for name and waits for it.
func (s *acmeSource) demand(ctx context.Context, name string) error {
	if net.ParseIP(name) != nil || !certmagic.SubjectQualifiesForCert(name) || certmagic.SubjectIsIP(name) {
		return fmt.Errorf("certs: source %q: %q is not a name that can have a certificate", s.name, name)
	}
	t, err := s.demandTask(name)
	if err != nil {
		return err
	}
	if err := t.firstTry(ctx); err != nil {
		return err
	}
	return t.missing()
}

// demandTask returns the task for name, a new one unless it was refused lately.
func (s *acmeSource) demandTask(name string) (*task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[name]; t != nil {
		return t, nil
	}
	if r, ok := s.refused[name]; ok && time.Now().Before(r.until) {
		return nil, r.err
	}
	switch {
	case s.ctx == nil || s.stopped:
		return nil, fmt.Errorf("certs: source %q is not running, so there is no certificate for %q", s.name, name)
	case len(s.tasks)-len(s.domains) >= s.asker.max:
		return nil, fmt.Errorf("certs: source %q has fetched certificates for on_demand max %d names; raise it for %q", s.name, s.asker.max, name)
	}
	delete(s.refused, name)
	t := newTask(s, name, true)
	s.tasks[name] = t
	s.running.Go(func() { t.run(s.ctx) })
	return t, nil
}

// drop ends the task of a name that has no certificate, or should have none, and
// remembers why for a while.
func (s *acmeSource) drop(t *task) {
	if t.hash != "" {
		s.cache.Remove([]string{t.hash})
	}
	t.mu.Lock()
	r := refusal{until: t.next}
	err := t.err
	t.mu.Unlock()
	if r.until.IsZero() {
		r.until = time.Now().Add(denialPause)
	}
	r.err = fmt.Errorf("certs: there is no certificate for %q: %w", t.name, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tasks, t.name)
	if len(s.refused) >= maxRefused {
		clear(s.refused)
	}
	s.refused[t.name] = r
}
