package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Trust verifies accounts and users. It is safe for concurrent use and starts
// no goroutine.
type Trust struct {
	// Static after New.
	operators []string
	signers   map[string]bool // who may sign accounts
	system    string
	pinned    map[string]bool // nil is all
	resolver  Resolver
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	cache   map[string]*Account
	fetches map[string]*fetch
}

// fetch is a call of the resolver that others wait for too.
type fetch struct {
	done chan struct{}
	// Valid once done.
	acc    *Account
	err    error
	gaveUp bool // the caller's context ended, which says nothing to others

	forgotten bool // meanwhile; guarded by Trust.mu
}

// New returns a Trust for o, or what is wrong with o.
func New(o Options) (*Trust, error) {
	switch {
	case o.Resolver == nil:
		return nil, errors.New("operator: operator mode needs a resolver; set resolver to MEMORY, URL(...) or { type: full, dir: ... }")
	case len(o.Operators) == 0 && len(o.TrustedKeys) == 0:
		return nil, errors.New("operator: nobody to trust; set operator to an operator JWT or trusted_keys to public operator nkeys")
	case len(o.Operators) > 0 && len(o.TrustedKeys) > 0:
		return nil, errors.New("operator: both operator and trusted_keys are set; keep one of them")
	}
	t := &Trust{
		operators: o.Operators,
		signers:   make(map[string]bool),
		system:    o.SystemAccount,
		resolver:  o.Resolver,
		now:       o.Now,
		log:       o.Logger,
		cache:     make(map[string]*Account),
		fetches:   make(map[string]*fetch),
	}
	if t.now == nil {
		t.now = time.Now
	}
	if t.log == nil {
		t.log = slog.Default()
	}
	for _, key := range o.TrustedKeys {
		if !nkeys.IsValidPublicOperatorKey(key) {
			return nil, fmt.Errorf("operator: trusted_keys has %.60q, which is no public operator nkey; those begin with O", key)
		}
		t.signers[key] = true
	}
	for i, token := range o.Operators {
		if err := t.trust(token); err != nil {
			return nil, fmt.Errorf("operator: operator JWT %d: %w", i+1, err)
		}
	}
	if t.system != "" && !nkeys.IsValidPublicAccountKey(t.system) {
		return nil, fmt.Errorf("operator: system_account is %.60q, which is no public account nkey; those begin with A", t.system)
	}
	return t, t.pin(o.Pinned)
}

// trust adds the keys of an operator to those that may sign accounts.
func (t *Trust) trust(token string) error {
	c, err := decode[*jwt.OperatorClaims](token, jwt.OperatorClaim)
	if err != nil {
		return err
	}
	if c.Issuer != c.Subject && !c.SigningKeys.Contains(c.Issuer) {
		return fmt.Errorf("%w: operator %s is signed by %s, which is not its own key", ErrUntrusted, c.Subject, c.Issuer)
	}
	if !nkeys.IsValidPublicOperatorKey(c.Subject) {
		return fmt.Errorf("%w: its subject is no public operator nkey", ErrMalformed)
	}
	if err := inTime(&c.ClaimsData, t.now()); err != nil {
		return err
	}
	vr := jwt.CreateValidationResults()
	c.Validate(vr)
	if text := blocking(vr); text != "" {
		return fmt.Errorf("%w: operator %s: %s", ErrMalformed, c.Subject, text)
	}
	if c.StrictSigningKeyUsage && len(c.SigningKeys) == 0 {
		return fmt.Errorf("%w: operator %s has strict_signing_key_usage and no signing_keys, so nobody could sign an account", ErrMalformed, c.Subject)
	}
	if !c.StrictSigningKeyUsage {
		t.signers[c.Subject] = true
	}
	for _, key := range c.SigningKeys {
		t.signers[key] = true
	}
	if t.system == "" {
		t.system = c.SystemAccount
	}
	return nil
}

func (t *Trust) pin(names []string) error {
	if names == nil {
		return nil
	}
	t.pinned = make(map[string]bool, len(names)+1)
	for _, name := range names {
		if !nkeys.IsValidPublicAccountKey(name) {
			return fmt.Errorf("operator: resolver_pinned_accounts has %.60q, which is no public account nkey; those begin with A", name)
		}
		t.pinned[name] = true
	}
	t.pinned[t.system] = true
	return nil
}

// SystemAccount returns the system account's public nkey; "" when there is none.
func (t *Trust) SystemAccount() string { return t.system }

// Account returns an account by its public nkey: the one in use, or else what
// the resolver has, once it is verified. Callers that ask for the same account
// share one fetch. An account in use whose time is over is fetched again.
func (t *Trust) Account(ctx context.Context, name string) (*Account, error) {
	if !nkeys.IsValidPublicAccountKey(name) {
		return nil, fmt.Errorf("%w: %.60q is no public account nkey", ErrMalformed, name)
	}
	if t.pinned != nil && !t.pinned[name] {
		return nil, fmt.Errorf("%w: %s", ErrPinned, name)
	}
	for {
		t.mu.Lock()
		if acc := t.cache[name]; acc != nil && inTime(&acc.Claims.ClaimsData, t.now()) == nil {
			t.mu.Unlock()
			return acc, nil
		}
		f := t.fetches[name]
		if f == nil {
			f = &fetch{done: make(chan struct{})}
			t.fetches[name] = f
			t.mu.Unlock()
			t.fetch(ctx, name, f)
			return f.acc, f.err
		}
		t.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("operator: waiting for account %s: %w", name, context.Cause(ctx))
		}
		if !f.gaveUp {
			return f.acc, f.err
		}
	}
}

// fetch asks the resolver for an account, once for all who wait for f.
func (t *Trust) fetch(ctx context.Context, name string, f *fetch) {
	defer func() {
		t.mu.Lock()
		delete(t.fetches, name)
		t.mu.Unlock()
		close(f.done)
	}()
	f.err = fmt.Errorf("operator: fetching account %s failed", name) // should the resolver panic
	c, token, err := t.resolve(ctx, name)
	if err != nil {
		f.err, f.gaveUp = err, ctx.Err() != nil
		return
	}
	acc := t.compile(ctx, c, token)
	if ctx.Err() != nil { // it may lack imports that couldn't be checked any more
		f.err, f.gaveUp = fmt.Errorf("operator: account %s: %w", name, context.Cause(ctx)), true
		return
	}
	f.acc, _, f.err = t.use(acc, f)
	if errors.Is(f.err, ErrStale) { // a newer one was pushed meanwhile
		f.err = nil
	}
}

// resolve returns the verified claims that the resolver has of an account.
func (t *Trust) resolve(ctx context.Context, name string) (*jwt.AccountClaims, string, error) {
	token, err := t.resolver.Fetch(ctx, name)
	if err != nil {
		return nil, "", fmt.Errorf("operator: account %s: %w", name, err)
	}
	c, err := t.verify(token)
	if err != nil {
		return nil, "", fmt.Errorf("operator: account %s from the resolver: %w", name, err)
	}
	if c.Subject != name {
		return nil, "", fmt.Errorf("operator: %w: the resolver answered for account %s with that of %s", ErrMalformed, name, c.Subject)
	}
	return c, token, nil
}

// verify returns the claims of an account token that a trusted operator signed
// and that holds now.
func (t *Trust) verify(token string) (*jwt.AccountClaims, error) {
	c, err := decode[*jwt.AccountClaims](token, jwt.AccountClaim)
	if err != nil {
		return nil, err
	}
	if !nkeys.IsValidPublicAccountKey(c.Subject) {
		return nil, fmt.Errorf("%w: the account token's subject is no public account nkey", ErrMalformed)
	}
	if !t.signers[c.Issuer] {
		return nil, fmt.Errorf("%w: account %s is signed by %s", ErrUntrusted, c.Subject, c.Issuer)
	}
	if t.pinned != nil && !t.pinned[c.Subject] {
		return nil, fmt.Errorf("%w: %s", ErrPinned, c.Subject)
	}
	if err := inTime(&c.ClaimsData, t.now()); err != nil {
		return nil, err
	}
	return c, checkAccount(c)
}

// Load verifies a token that was pushed and makes it the one in use. It reports
// whether that changed anything; a token issued before the one in use is refused
// with ErrStale, and the one in use is returned with it. Storing the token is the
// caller's, and so is to look at Dependents.
func (t *Trust) Load(ctx context.Context, token string) (acc *Account, changed bool, err error) {
	c, err := t.verify(token)
	if err != nil {
		return nil, false, err
	}
	acc = t.compile(ctx, c, token)
	if ctx.Err() != nil {
		return nil, false, fmt.Errorf("operator: account %s: %w", c.Subject, context.Cause(ctx))
	}
	return t.use(acc, nil)
}

// Signs reports whether key, a public nkey, is an operator's or one of its signing
// keys.
func (t *Trust) Signs(key string) bool { return t.signers[key] }

// Verify checks a token like Load and changes nothing. It returns the account's
// public nkey.
func (t *Trust) Verify(token string) (name string, err error) {
	c, err := t.verify(token)
	if err != nil {
		return "", err
	}
	return c.Subject, nil
}

// use makes acc the account in use, if it is not older than that, nor what a
// fetch brings that began before the account was forgotten.
func (t *Trust) use(acc *Account, f *fetch) (inUse *Account, changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f != nil && f.forgotten {
		return acc, false, nil
	}
	name := acc.Claims.Subject
	switch old := t.cache[name]; {
	case old == nil:
	case old.Token == acc.Token:
		return old, false, nil
	case acc.Claims.IssuedAt < old.Claims.IssuedAt:
		return old, false, fmt.Errorf("%w: account %s of %s, in use is that of %s", ErrStale, name, stamp(acc.Claims.IssuedAt), stamp(old.Claims.IssuedAt))
	}
	t.cache[name] = acc
	return acc, true, nil
}

// Dependents compiles those accounts in use again whose imports rest on
// activations of the named account, and returns the ones whose imports changed.
// Call it when Load reports a change, for the signing keys may have changed, and
// now and then for accounts that are Unresolved. When ctx ends it stops.
func (t *Trust) Dependents(ctx context.Context, name string) []*Account {
	var changed []*Account
	for _, old := range t.Accounts() {
		if !slices.ContainsFunc(old.Claims.Imports, func(i *jwt.Import) bool { return i.Account == name && i.Token != "" }) {
			continue
		}
		acc := t.compile(ctx, old.Claims, old.Token)
		if ctx.Err() != nil {
			break
		}
		t.mu.Lock()
		if t.cache[old.Claims.Subject] == old {
			t.cache[old.Claims.Subject] = acc
			if !slices.Equal(acc.Spec.Imports, old.Spec.Imports) {
				changed = append(changed, acc)
			}
		}
		t.mu.Unlock()
	}
	return changed
}

// Forget drops an account from those in use: the next call of Account asks the
// resolver.
func (t *Trust) Forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.cache, name)
	if f := t.fetches[name]; f != nil {
		f.forgotten = true
	}
}

// Accounts returns the accounts in use, sorted by public nkey.
func (t *Trust) Accounts() []*Account {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.cache), func(a, b *Account) int {
		return compare(a.Spec.Name, b.Spec.Name)
	})
}

// Operators returns the operators' JWTs, which must not be changed.
func (t *Trust) Operators() []string { return t.operators }
