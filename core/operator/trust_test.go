package operator

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

func TestNewRefuses(t *testing.T) {
	op, other, acc := operatorKey(), operatorKey(), accountKey()
	good := must(jwt.NewOperatorClaims(op.pub).Encode(op))
	res := &table{}
	operators := func(change func(*jwt.OperatorClaims), by key) Options {
		c := jwt.NewOperatorClaims(op.pub)
		change(c)
		return Options{Resolver: res, Operators: []string{sign(by, c, 0)}}
	}
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"no resolver":        {Options{Operators: []string{good}}, "needs a resolver"},
		"nobody to trust":    {Options{Resolver: res}, "nobody to trust"},
		"both":               {Options{Resolver: res, Operators: []string{good}, TrustedKeys: []string{op.pub}}, "keep one"},
		"account key":        {Options{Resolver: res, TrustedKeys: []string{acc.pub}}, "no public operator nkey"},
		"bad system account": {Options{Resolver: res, TrustedKeys: []string{op.pub}, SystemAccount: "SYS"}, "no public account nkey"},
		"bad pin":            {Options{Resolver: res, TrustedKeys: []string{op.pub}, Pinned: []string{"X"}}, "resolver_pinned_accounts"},
		"garbage":            {Options{Resolver: res, Operators: []string{"x"}}, "three parts"},
		"an account's":       {Options{Resolver: res, Operators: []string{must(jwt.NewAccountClaims(acc.pub).Encode(op))}}, "not one of type"},
		"another's":          {operators(func(*jwt.OperatorClaims) {}, other), "not its own key"},
		"expired":            {operators(func(c *jwt.OperatorClaims) { c.Expires = 100 }, op), "expired"},
		"not yet valid":      {operators(func(c *jwt.OperatorClaims) { c.NotBefore = 1 << 40 }, op), "not yet valid"},
		"bad signing key":    {operators(func(c *jwt.OperatorClaims) { c.SigningKeys.Add(acc.pub) }, op), "not an operator public key"},
		"strict with no key": {operators(func(c *jwt.OperatorClaims) { c.StrictSigningKeyUsage = true }, op), "no signing_keys"},
	} {
		if _, err := New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// TestAccountRefused shows each account token that is not used.
func TestAccountRefused(t *testing.T) {
	hour := time.Hour
	for _, tt := range []struct {
		name  string
		token func(w *world, c *jwt.AccountClaims) string
		want  error
	}{
		{"garbage", func(*world, *jwt.AccountClaims) string { return "<html>" }, ErrMalformed},
		{"empty", func(*world, *jwt.AccountClaims) string { return "" }, ErrMalformed},
		{"self-signed", func(w *world, c *jwt.AccountClaims) string { return sign(w.acc, c, 0) }, ErrUntrusted},
		{"another operator", func(w *world, c *jwt.AccountClaims) string { return sign(operatorKey(), c, 0) }, ErrUntrusted},
		{"signed by a user", func(w *world, c *jwt.AccountClaims) string { return sign(userKey(), c, 0) }, ErrUntrusted},
		{"forged", func(w *world, c *jwt.AccountClaims) string { return sign(key{operatorKey(), w.op.pub}, c, 0) }, ErrSignature},
		{"another account", func(w *world, c *jwt.AccountClaims) string { c.Subject = accountKey().pub; return sign(w.op, c, 0) }, ErrMalformed},
		{"about a user", func(w *world, c *jwt.AccountClaims) string { c.Subject = userKey().pub; return sign(w.op, c, 0) }, ErrMalformed},
		{"a user token", func(w *world, c *jwt.AccountClaims) string { return w.user(w.acc, nil) }, ErrMalformed},
		{"expired", func(w *world, c *jwt.AccountClaims) string {
			c.Expires = w.now.Add(-hour).Unix()
			return sign(w.op, c, 0)
		}, ErrExpired},
		{"not yet valid", func(w *world, c *jwt.AccountClaims) string {
			c.NotBefore = w.now.Add(hour).Unix()
			return sign(w.op, c, 0)
		}, ErrNotYetValid},
		{"null import", func(w *world, c *jwt.AccountClaims) string { c.Imports.Add(nil); return sign(w.op, c, 0) }, ErrMalformed},
		{"null export", func(w *world, c *jwt.AccountClaims) string {
			c.Limits.Exports, c.Limits.WildcardExports = 5, false
			c.Exports.Add(nil)
			return sign(w.op, c, 0)
		}, ErrMalformed},
		{"too many imports", func(w *world, c *jwt.AccountClaims) string {
			c.Limits.Imports = 0
			c.Imports.Add(&jwt.Import{Subject: "a", Account: w.sys.pub, Type: jwt.Stream})
			return sign(w.op, c, 0)
		}, ErrMalformed},
		{"overlapping imports", func(w *world, c *jwt.AccountClaims) string {
			c.Imports.Add(&jwt.Import{Subject: "a.>", Account: w.sys.pub, Type: jwt.Service}, &jwt.Import{Subject: "a.b", Account: w.sys.pub, Type: jwt.Service})
			return sign(w.op, c, 0)
		}, ErrMalformed},
		{"import of no kind of subject", func(w *world, c *jwt.AccountClaims) string {
			c.Imports.Add(&jwt.Import{Subject: "a..b", Account: w.sys.pub, Type: jwt.Stream})
			return sign(w.op, c, 0)
		}, ErrMalformed},
		{"overlapping exports", func(w *world, c *jwt.AccountClaims) string {
			c.Exports.Add(&jwt.Export{Subject: "a.>", Type: jwt.Stream}, &jwt.Export{Subject: "a.b", Type: jwt.Stream})
			return sign(w.op, c, 0)
		}, ErrMalformed},
		{"mapping of 160 percent", func(w *world, c *jwt.AccountClaims) string {
			c.Mappings = jwt.Mapping{"m": {{Subject: "n", Weight: 80}, {Subject: "o", Weight: 80}}}
			return sign(w.op, c, 0)
		}, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			token := tt.token(w, jwt.NewAccountClaims(w.acc.pub))
			w.resolver.put(w.acc.pub, token)
			w.trust.Forget(w.acc.pub)
			acc, err := w.trust.Account(t.Context(), w.acc.pub)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %+v, %v; want %v", acc, err, tt.want)
			}
			noSecret(t, err.Error(), token)
			if len(w.trust.Accounts()) != 0 {
				t.Error("it is in use")
			}
		})
	}
	w := newWorld(t, nil)
	for name, want := range map[string]error{"": ErrMalformed, "../../etc/passwd": ErrMalformed, userKey().pub: ErrMalformed, accountKey().pub: ErrNotFound} {
		if _, err := w.trust.Account(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("account %q: got %v, want %v", name, err, want)
		}
	}
}

// TestSigners shows which of an operator's keys may sign accounts.
func TestSigners(t *testing.T) {
	main, sk, other := operatorKey(), operatorKey(), operatorKey()
	acc := accountKey()
	c := jwt.NewAccountClaims(acc.pub)
	for _, strict := range []bool{false, true} {
		oc := jwt.NewOperatorClaims(main.pub)
		oc.SigningKeys.Add(sk.pub)
		oc.StrictSigningKeyUsage = strict
		trust, err := New(Options{Operators: []string{must(oc.Encode(main))}, Resolver: &table{}})
		if err != nil {
			t.Fatal(err)
		}
		for by, want := range map[key]bool{main: !strict, sk: true, other: false} {
			if _, err := trust.Verify(sign(by, c, 0)); (err == nil) != want || err != nil && !errors.Is(err, ErrUntrusted) {
				t.Errorf("strict %v, main %v, signing %v: got %v", strict, by == main, by == sk, err)
			}
		}
	}
	trust, err := New(Options{TrustedKeys: []string{other.pub}, SystemAccount: acc.pub, Resolver: &table{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(sign(other, c, 0)); err != nil {
		t.Error(err)
	}
	if _, err := trust.Verify(sign(main, c, 0)); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a key that is not in trusted_keys: %v", err)
	}
}

func TestPinned(t *testing.T) {
	pinned := accountKey()
	w := newWorld(t, func(o *Options) { o.Pinned = []string{pinned.pub} })
	w.resolver.put(pinned.pub, sign(w.op, jwt.NewAccountClaims(pinned.pub), 0))
	for name, want := range map[string]error{pinned.pub: nil, w.sys.pub: nil, w.acc.pub: ErrPinned} {
		if _, err := w.trust.Account(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if _, _, err := w.trust.Load(t.Context(), w.resolver.tokens[w.acc.pub]); !errors.Is(err, ErrPinned) {
		t.Errorf("pushed: got %v, want ErrPinned", err)
	}
	if _, err := w.trust.User(t.Context(), w.user(w.acc, nil)); !errors.Is(err, ErrPinned) {
		t.Errorf("user: got %v, want ErrPinned", err)
	}
}

func TestLoad(t *testing.T) {
	w := newWorld(t, nil)
	c := jwt.NewAccountClaims(w.acc.pub)
	at := w.now.Unix() - 100
	load := func(name string, iat int64) (string, bool, error) {
		c.Name = name
		acc, changed, err := w.trust.Load(t.Context(), sign(w.op, c, iat))
		if acc == nil {
			return "", changed, err
		}
		return acc.Spec.NameTag, changed, err
	}
	for _, tt := range []struct {
		name    string
		iat     int64
		inUse   string
		changed bool
		err     error
	}{
		{"first", at, "first", true, nil},
		{"first", at, "first", false, nil},
		{"replayed", at - 1, "first", false, ErrStale},
		{"same second", at, "same second", true, nil},
		{"second", at + 1, "second", true, nil},
		{"first", at, "second", false, ErrStale},
	} {
		got, changed, err := load(tt.name, tt.iat)
		if got != tt.inUse || changed != tt.changed || !errors.Is(err, tt.err) {
			t.Errorf("%s of %d: got %q, %v, %v; want %q, %v, %v", tt.name, tt.iat-at, got, changed, err, tt.inUse, tt.changed, tt.err)
		}
	}
	if _, _, err := w.trust.Load(t.Context(), sign(w.acc, c, 0)); !errors.Is(err, ErrUntrusted) {
		t.Errorf("self-signed: %v", err)
	}
	if all := w.trust.Accounts(); len(all) != 1 || all[0].Spec.NameTag != "second" {
		t.Errorf("in use are %v", all)
	}
}

// TestAccountExpires has an account's time run out while it is in use.
func TestAccountExpires(t *testing.T) {
	w := newWorld(t, nil)
	w.account(func(c *jwt.AccountClaims) { c.Expires = w.now.Add(time.Minute).Unix() })
	token := w.user(w.acc, nil)
	if _, err := w.trust.User(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Minute)
	if _, err := w.trust.User(t.Context(), token); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
	c := jwt.NewAccountClaims(w.acc.pub)
	w.resolver.put(w.acc.pub, sign(w.op, c, w.now.Unix()))
	if _, err := w.trust.User(t.Context(), token); err != nil {
		t.Errorf("renewed: %v", err)
	}
}

// gate is a Resolver that answers once it is opened.
type gate struct {
	Resolver
	open  chan struct{}
	calls atomic.Int32
	in    chan struct{} // one element per call
}

func (g *gate) Fetch(ctx context.Context, account string) (string, error) {
	g.calls.Add(1)
	g.in <- struct{}{}
	select {
	case <-g.open:
		return g.Resolver.Fetch(ctx, account)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// TestFetchOnce has many ask for one account at a time, and the first give up.
func TestFetchOnce(t *testing.T) {
	var g *gate
	w := newWorld(t, func(o *Options) {
		g = &gate{Resolver: o.Resolver, open: make(chan struct{}), in: make(chan struct{}, 100)}
		o.Resolver = g
	})
	first, giveUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := w.trust.Account(first, w.acc.pub)
		gone <- err
	}()
	<-g.in
	var wg sync.WaitGroup
	var failed atomic.Int32
	for range 20 {
		wg.Go(func() {
			if _, err := w.trust.Account(t.Context(), w.acc.pub); err != nil {
				failed.Add(1)
			}
		})
	}
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	close(g.open)
	wg.Wait()
	if failed.Load() != 0 || g.calls.Load() > 3 {
		t.Errorf("%d of 20 failed, %d fetches; want 0 and at most 2 or 3", failed.Load(), g.calls.Load())
	}
}

// TestForgetDuringFetch has an account deleted while its token is under way.
func TestForgetDuringFetch(t *testing.T) {
	var g *gate
	w := newWorld(t, func(o *Options) {
		g = &gate{Resolver: o.Resolver, open: make(chan struct{}), in: make(chan struct{}, 2)}
		o.Resolver = g
	})
	done := make(chan error)
	go func() {
		_, err := w.trust.Account(t.Context(), w.acc.pub)
		done <- err
	}()
	<-g.in
	w.trust.Forget(w.acc.pub)
	close(g.open)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if all := w.trust.Accounts(); len(all) != 0 {
		t.Errorf("it is in use again: %v", all)
	}
}

// TestFetchFails has all who wait share a failure that isn't one caller's own.
func TestFetchFails(t *testing.T) {
	var g *gate
	w := newWorld(t, func(o *Options) {
		g = &gate{Resolver: failing{context.DeadlineExceeded}, open: make(chan struct{}), in: make(chan struct{}, 100)}
		o.Resolver = g
	})
	done := make(chan error, 10)
	ask := func() {
		_, err := w.trust.Account(t.Context(), w.acc.pub)
		done <- err
	}
	go ask()
	<-g.in
	waiting := make(chan struct{}, 9)
	for range 9 {
		go func() {
			waiting <- struct{}{}
			ask()
		}()
	}
	for range 9 {
		<-waiting
	}
	close(g.open)
	for range 10 {
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
}
