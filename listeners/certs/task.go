package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

const (
	// ariPause is how often the CA is asked when to renew, when it does not say
	// how often it wants to be.
	ariPause = 6 * time.Hour
	// idlePause keeps a certificate that is due, yet came out the same, from being
	// tried for without end: another process has just renewed it, or our idea of
	// when it is due is a second ahead of certmagic's.
	idlePause = time.Second
)

// storageError is a failure of our own disk.
type storageError struct{ err error }

func (e storageError) Error() string { return e.err.Error() }
func (e storageError) Unwrap() error { return e.err }

// task keeps the certificate of one domain.
type task struct {
	src    *acmeSource
	name   string
	demand bool // fetched because a client asked for it
	first  chan struct{}

	// Owned by run, and by newACMESource before it.
	hash     string // of the certificate in the cache
	ari      acme.RenewalInfo
	ariNext  time.Time
	failures int

	mu   sync.Mutex
	leaf *x509.Certificate // guarded by mu; nil when there is none
	err  error             // guarded by mu; of the last try
	next time.Time         // guarded by mu; when the next is due
}

func newTask(s *acmeSource, name string, demand bool) *task {
	return &task{src: s, name: name, demand: demand, first: make(chan struct{})}
}

// load takes the certificate from storage into the cache, if there is one.
func (t *task) load(ctx context.Context) error {
	c, err := t.src.config.CacheManagedCertificate(ctx, t.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return storageError{fmt.Errorf("loading the stored certificate: %w", err)}
	case c.Hash() == t.hash:
		return nil
	}
	if t.hash != "" {
		t.src.cache.Remove([]string{t.hash})
	}
	t.hash, t.ari, t.ariNext = c.Hash(), acme.RenewalInfo{}, time.Time{}
	t.mu.Lock()
	t.leaf = c.Leaf
	t.mu.Unlock()
	return nil
}

// run keeps the certificate until ctx ends, or until on demand it is not wanted.
func (t *task) run(ctx context.Context) {
	var opened bool
	for {
		pause, keep := t.step(ctx)
		if !keep {
			t.src.drop(t)
		}
		if !opened {
			close(t.first)
			opened = true
		}
		if !keep {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// step does what is due now. It returns how long there is nothing to do, and
// whether the task goes on.
func (t *task) step(ctx context.Context) (pause time.Duration, keep bool) {
	if t.leaf == nil && t.demand {
		// Asked before storage is read: the answer may have changed since.
		if err := t.src.asker.ask(ctx, t.name); err != nil {
			t.setError(err, time.Time{})
			return 0, false
		}
		if err := t.load(ctx); err != nil {
			t.src.log.Warn("stored certificate cannot be used; fetching a new one", "domain", t.name, "error", err)
		}
	}
	t.askARI(ctx)
	force := t.ariDue()
	if t.leaf != nil && !force && time.Until(t.renewTime()) > 0 {
		return t.settle(), true
	}
	if t.leaf != nil && t.demand {
		if err := t.src.asker.ask(ctx, t.name); errors.Is(err, errDenied) {
			t.src.log.Info("certificate is no longer wanted; it is not renewed", "domain", t.name)
			t.setError(err, time.Time{})
			return 0, false
		} else if err != nil {
			return t.fail(ctx, err)
		}
	}
	before := t.hash
	if err := t.try(ctx, force); err != nil {
		return t.fail(ctx, err)
	}
	t.failures = 0
	if t.hash == before {
		t.setError(nil, time.Now().Add(idlePause))
		return idlePause, true
	}
	// The CA is asked about it at the next step, not now: one that wants each of its
	// certificates replaced at once gets an order per Check and not one after the other.
	t.src.log.Info("new certificate", "domain", t.name, "issuer", t.leaf.Issuer.CommonName, "not_after", t.leaf.NotAfter)
	return t.settle(), true
}

// settle is the end of a step that leaves nothing to do.
func (t *task) settle() time.Duration {
	at := t.renewTime()
	if s := t.ari.SelectedTime; !s.IsZero() && s.Before(at) {
		at = s
	}
	t.setError(nil, at)
	return max(min(time.Until(at), t.src.timing.Check), 0)
}

// try obtains or renews the certificate once.
func (t *task) try(ctx context.Context, force bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.src.timing.Attempt,
		unreachable{fmt.Errorf("not done within %v", t.src.timing.Attempt)})
	defer cancel()
	before := t.hash
	// Another process may have been here, and what cannot be loaded is replaced.
	broken := t.load(ctx) != nil
	if t.hash != before && time.Until(t.renewTime()) > 0 {
		return nil
	}
	if err := t.checkStorage(ctx); err != nil {
		return err
	}
	var err error
	switch {
	case broken:
		err = t.src.config.RenewCertSync(ctx, t.name, true)
	case t.leaf == nil:
		err = t.src.config.ObtainCertSync(ctx, t.name)
	default:
		// An order that names what it replaces may be exempt from rate limits. It may
		// also be refused for just that, so only the first try does.
		if t.failures == 0 {
			ctx = context.WithValue(ctx, replaces{}, t.leaf)
		}
		err = t.src.config.RenewCertSync(ctx, t.name, force)
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return err
	}
	if err := t.load(ctx); err != nil {
		return err
	}
	if t.leaf == nil {
		return storageError{errors.New("the certificate was obtained but is not in storage")}
	}
	return nil
}

// checkStorage makes sure that a certificate can be kept before it is ordered,
// because orders are limited.
func (t *task) checkStorage(ctx context.Context) error {
	st := t.src.config.Storage
	key := fmt.Sprintf("write_test_%x", rand.Uint64())
	if err := st.Store(ctx, key, make([]byte, 16<<10)); err != nil {
		return storageError{err}
	}
	if err := st.Delete(ctx, key); err != nil {
		return storageError{err}
	}
	return nil
}

// fail notes err and says when to try again.
func (t *task) fail(ctx context.Context, err error) (time.Duration, bool) {
	if ctx.Err() != nil {
		return 0, true // run is about to end
	}
	pause, reason := t.src.judge(err, t.name, t.failures)
	t.failures++
	t.setError(reason, time.Now().Add(pause))
	if t.leaf != nil {
		t.src.log.Error("cannot renew the certificate; the old one stays",
			"domain", t.name, "error", reason, "not_after", t.leaf.NotAfter, "next_try_in", pause.Round(time.Second))
		return pause, true
	}
	t.src.log.Error("cannot get a certificate; connections are refused until there is one",
		"domain", t.name, "error", reason, "next_try_in", pause.Round(time.Second))
	return pause, !t.demand
}

// renewTime is when so much of the certificate's life is over that it is renewed.
// certmagic counts the last second of a certificate in full.
func (t *task) renewTime() time.Time {
	end := t.leaf.NotAfter.Truncate(time.Second).Add(time.Second)
	life := end.Sub(t.leaf.NotBefore)
	return end.Add(-time.Duration(float64(life) * t.src.timing.RenewAt))
}

// askARI asks the CA when the certificate should be renewed, if that is due. What
// goes wrong only means that the certificate's own dates count.
func (t *task) askARI(ctx context.Context) {
	if t.leaf == nil || time.Now().Before(t.ariNext) {
		return
	}
	t.ariNext = time.Now().Add(ariPause)
	info, err := t.src.issuer.renewalInfo(ctx, t.leaf)
	if err != nil {
		t.src.log.Debug("the CA does not say when to renew", "domain", t.name, "error", err)
		return
	}
	if info.RetryAfter != nil && time.Until(*info.RetryAfter) > time.Minute {
		t.ariNext = *info.RetryAfter
	}
	if info.SameWindow(t.ari) {
		return // keep the moment that was picked
	}
	t.ari = info
	if info.HasWindow() && info.ExplanationURL != "" {
		t.src.log.Info("the CA explains when to renew", "domain", t.name, "at", info.SelectedTime, "url", info.ExplanationURL)
	}
}

func (t *task) ariDue() bool {
	return t.leaf != nil && !t.ari.SelectedTime.IsZero() && time.Now().After(t.ari.SelectedTime)
}

func (t *task) setError(err error, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err, t.next = err, next
}

// firstTry waits until the task has tried once.
func (t *task) firstTry(ctx context.Context) error {
	timer := time.NewTimer(handshakeWait)
	defer timer.Stop()
	select {
	case <-t.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("certs: the certificate for %q is still being fetched", t.name)
	}
}

// missing says why there is no certificate; nil when there is one.
func (t *task) missing() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.leaf != nil:
		return nil
	case t.err == nil:
		return fmt.Errorf("certs: there is no certificate for %q yet: it is being fetched", t.name)
	case t.next.IsZero():
		return fmt.Errorf("certs: there is no certificate for %q: %w", t.name, t.err)
	}
	return fmt.Errorf("certs: there is no certificate for %q yet (next try in %v): %w",
		t.name, max(time.Until(t.next), 0).Round(time.Second), t.err)
}

func (t *task) info() Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := Info{Source: t.src.name, Kind: KindACME, Names: []string{t.name}, NextTry: t.next}
	i.describe(t.leaf)
	if t.err != nil {
		i.LastError = t.err.Error()
	}
	return i
}

var _ certmagic.Issuer = (*issuer)(nil)
