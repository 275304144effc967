package auth_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/operator"
)

// resolver has account tokens by name.
type resolver struct {
	mu     sync.Mutex
	tokens map[string]string
}

func (r *resolver) Fetch(_ context.Context, name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if token := r.tokens[name]; token != "" {
		return token, nil
	}
	return "", fmt.Errorf("%w: %s", operator.ErrNotFound, name)
}

// realm is a server in operator mode.
type realm struct {
	t                   testing.TB
	op, app, other, sig key
	accounts            *resolver
	trust               *operator.Trust
	reg                 *account.Registry
	o                   auth.Options
	a                   *auth.Authenticator
}

func newRealm(t testing.TB, change func(*realm)) *realm {
	w := &realm{
		t: t, op: newKey(nkeys.CreateOperator), app: newKey(nkeys.CreateAccount), other: newKey(nkeys.CreateAccount), sig: newKey(nkeys.CreateAccount),
		accounts: &resolver{tokens: map[string]string{}}, reg: registry(),
	}
	w.trust = must(operator.New(operator.Options{TrustedKeys: []string{w.op.public}, Resolver: w.accounts, Logger: slog.New(slog.DiscardHandler)}))
	w.o = auth.Options{Operator: w.trust, Accounts: w.reg, Logger: slog.New(slog.DiscardHandler)}
	w.account(w.app, func(c *jwt.AccountClaims) { c.SigningKeys.Add(w.sig.public) })
	w.account(w.other, func(c *jwt.AccountClaims) {})
	if change != nil {
		change(w)
	}
	w.a = newAuth(t, w.o)
	return w
}

func (w *realm) account(k key, change func(*jwt.AccountClaims)) string {
	c := jwt.NewAccountClaims(k.public)
	change(c)
	w.accounts.tokens[k.public] = must(c.Encode(w.op))
	return w.accounts.tokens[k.public]
}

func (w *realm) user(k, by key, change func(*jwt.UserClaims)) string {
	c := jwt.NewUserClaims(k.public)
	c.Name = "dev"
	if by.public != w.app.public && by.public != w.other.public {
		c.IssuerAccount = w.app.public
	}
	if change != nil {
		change(c)
	}
	return must(c.Encode(by))
}

func TestOperatorMode(t *testing.T) {
	w := newRealm(t, nil)
	u, stranger := newKey(nkeys.CreateUser), newKey(nkeys.CreateUser)
	good := w.user(u, w.app, nil)
	for _, tt := range []struct {
		name  string
		token string
		sig   string
		ok    bool
		also  error
	}{
		{"good", good, u.sign(nonce), true, nil},
		{"by a signing key", w.user(u, w.sig, nil), u.sign(nonce), true, nil},
		{"bearer", w.user(u, w.app, func(c *jwt.UserClaims) { c.BearerToken = true }), "", true, nil},
		{"in time", w.user(u, w.app, func(c *jwt.UserClaims) { c.Expires = time.Now().Unix() + 60 }), u.sign(nonce), true, nil},
		{"from here", w.user(u, w.app, func(c *jwt.UserClaims) { c.Src.Add("192.0.2.0/24") }), u.sign(nonce), true, nil},
		{"nothing", "", "", false, nil},
		{"no JWT", "", u.sign(nonce), false, nil},
		{"no signature", good, "", false, nil},
		{"another's signature", good, stranger.sign(nonce), false, nil},
		{"replayed", good, u.sign("another nonce.."), false, nil},
		{"expired", w.user(u, w.app, func(c *jwt.UserClaims) { c.Expires = time.Now().Unix() - 1 }), u.sign(nonce), false, auth.ErrExpired},
		{"forged", w.user(u, nobody(w), nil), u.sign(nonce), false, nil},
		{"unknown account", w.user(u, newKey(nkeys.CreateAccount), func(c *jwt.UserClaims) { c.IssuerAccount = "" }), u.sign(nonce), false, auth.ErrNoAccount},
		{"from elsewhere", w.user(u, w.app, func(c *jwt.UserClaims) { c.Src.Add("10.0.0.0/8") }), u.sign(nonce), false, nil},
		{"connection type", w.user(u, w.app, func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add("WEBSOCKET") }), u.sign(nonce), false, auth.ErrConnectionType},
		{"an account's token", w.accounts.tokens[w.app.public], u.sign(nonce), false, nil},
		{"nonsense", "a.b.c", u.sign(nonce), false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := w.a.Authenticate(t.Context(), request(fields{"jwt": tt.token, "sig": tt.sig}))
			if !tt.ok {
				wantDenied(t, err, tt.also, tt.token, tt.sig)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if id.User != u.public || id.NameTag != "dev" || id.Account != w.reg.Get(w.app.public) || id.JWT != tt.token {
				t.Errorf("is %+v", id)
			}
		})
	}
	if !w.a.NeedsNonce() || !w.a.Required("") {
		t.Error("operator mode needs no nonce, or no authentication")
	}
}

// nobody returns a key that the account doesn't know.
func nobody(*realm) key { return newKey(nkeys.CreateAccount) }

func TestOperatorRenew(t *testing.T) {
	w := newRealm(t, nil)
	u := newKey(nkeys.CreateUser)
	token := w.user(u, w.app, func(c *jwt.UserClaims) { c.Limits.Subs, c.Limits.Payload = 7, 100 })
	old := login(t, w.a, request(fields{"jwt": token, "sig": u.sign(nonce)}))
	if old.MaxSubs != 7 || old.MaxPayload != 100 {
		t.Errorf("is %+v", old)
	}
	if _, err := w.a.Renew(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	revoked := w.account(w.app, func(c *jwt.AccountClaims) {
		c.SigningKeys.Add(w.sig.public)
		c.Revoke(u.public)
		c.Exports.Add(&jwt.Export{Subject: "new", Type: jwt.Stream})
	})
	if _, changed, err := w.trust.Load(t.Context(), revoked); err != nil || !changed {
		t.Fatal(changed, err)
	}
	_, err := w.a.Renew(t.Context(), old)
	wantDenied(t, err, auth.ErrRevoked, token)
	_, err = w.a.Authenticate(t.Context(), request(fields{"jwt": token, "sig": u.sign(nonce)}))
	wantDenied(t, err, auth.ErrRevoked, token)
	_, err = newAuth(t, auth.Options{}).Renew(t.Context(), old)
	wantDenied(t, err, nil)

	// An account that begins to ask a service leaves nobody in unasked.
	v := newKey(nkeys.CreateUser)
	before := login(t, w.a, request(fields{"jwt": w.user(v, w.other, nil), "sig": v.sign(nonce)}))
	asking := w.account(w.other, func(c *jwt.AccountClaims) {
		c.Authorization.AuthUsers.Add(u.public)
		c.Tags.Add("new")
	})
	if _, changed, err := w.trust.Load(t.Context(), asking); err != nil || !changed {
		t.Fatal(changed, err)
	}
	_, err = w.a.Renew(t.Context(), before)
	wantDenied(t, err, nil)

	// A login with what was changed brings it into the registry.
	id := login(t, w.a, request(fields{"jwt": w.user(v, w.app, nil), "sig": v.sign(nonce)}))
	if len(id.Account.Spec().Exports) != 1 {
		t.Error("the account is not today's")
	}
}

// TestOperatorImports has the accounts that one imports from loaded too.
func TestOperatorImports(t *testing.T) {
	w := newRealm(t, nil)
	third := newKey(nkeys.CreateAccount)
	w.account(third, func(c *jwt.AccountClaims) { c.Exports.Add(&jwt.Export{Subject: "c", Type: jwt.Service}) })
	w.account(w.other, func(c *jwt.AccountClaims) {
		c.Exports.Add(&jwt.Export{Subject: "b", Type: jwt.Stream})
		c.Imports.Add(&jwt.Import{Account: third.public, Subject: "c", Type: jwt.Service})
		c.Imports.Add(&jwt.Import{Account: w.app.public, Subject: "a", Type: jwt.Stream}) // and back
	})
	w.account(w.app, func(c *jwt.AccountClaims) {
		c.Exports.Add(&jwt.Export{Subject: "a", Type: jwt.Stream})
		c.Imports.Add(&jwt.Import{Account: w.other.public, Subject: "b", Type: jwt.Stream})
		c.Imports.Add(&jwt.Import{Account: newKey(nkeys.CreateAccount).public, Subject: "x", Type: jwt.Stream}) // nowhere
	})
	u := newKey(nkeys.CreateUser)
	login(t, w.a, request(fields{"jwt": w.user(u, w.app, nil), "sig": u.sign(nonce)}))
	for _, k := range []key{w.app, w.other, third} {
		if w.reg.Get(k.public) == nil {
			t.Errorf("account %s is not loaded", k.public)
		}
	}
}

func TestOperatorConcurrent(t *testing.T) {
	w := newRealm(t, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			u := newKey(nkeys.CreateUser)
			for range 20 {
				id, err := w.a.Authenticate(t.Context(), request(fields{"jwt": w.user(u, w.app, nil), "sig": u.sign(nonce)}))
				if err != nil || id.Account != w.reg.Get(w.app.public) {
					t.Error(id, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestOperatorCallout has an account decide about its users by itself: those who
// bring the sentinel become whoever its service says.
func TestOperatorCallout(t *testing.T) {
	for _, tt := range []struct {
		name    string
		allowed []string
		by      func(w *realm) key // who signs the user
		answer  func(w *realm) key // who signs the answer
		want    string             // in the error; "" is let in
	}{
		{"another user", nil, func(w *realm) key { return w.app }, nil, "the user JWT is about"},
		{"same account", nil, func(w *realm) key { return w.app }, nil, ""},
		{"by signing keys", nil, func(w *realm) key { return w.sig }, func(w *realm) key { return w.sig }, ""},
		{"allowed account", []string{"other"}, func(w *realm) key { return w.other }, nil, ""},
		{"any account", []string{"*"}, func(w *realm) key { return w.other }, nil, ""},
		{"account not allowed", nil, func(w *realm) key { return w.other }, nil, "allowed_accounts"},
		{"answer of another", []string{"*"}, func(w *realm) key { return w.app }, func(w *realm) key { return w.other }, "signed by"},
		{"user of nobody", []string{"*"}, nobody, nil, "signing key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys, sentinel, own := must(auth.NewKeys()), newKey(nkeys.CreateUser), newKey(nkeys.CreateUser)
			asked := ""
			w := newRealm(t, func(w *realm) {
				w.account(w.app, func(c *jwt.AccountClaims) {
					c.SigningKeys.Add(w.sig.public)
					c.Authorization.AuthUsers.Add(own.public)
					for _, a := range tt.allowed {
						if a == "other" {
							a = w.other.public
						}
						c.Authorization.AllowedAccounts.Add(a)
					}
				})
				w.o.Keys = keys
				w.o.DefaultSentinel = w.user(sentinel, w.app, func(c *jwt.UserClaims) { c.BearerToken = true })
				w.o.Callout = &auth.Callout{Requester: service(func(_ context.Context, acc *account.Account, _ string, _, data []byte) ([]byte, error) {
					req := must(jwt.DecodeAuthorizationRequestClaims(string(data)))
					asked = req.ConnectOptions.Username
					r := jwt.NewAuthorizationResponseClaims(req.UserNkey)
					r.Audience = keys.ID
					about := key{public: req.UserNkey}
					if tt.name == "another user" {
						about = newKey(nkeys.CreateUser)
					}
					r.Jwt = w.user(about, tt.by(w), nil)
					signer := w.app
					if tt.answer != nil {
						signer = tt.answer(w)
						r.IssuerAccount = w.app.public
					}
					return []byte(must(r.Encode(signer))), nil
				})}
			})
			id, err := w.a.Authenticate(t.Context(), request(fields{"user": "bob", "pass": "p"}))
			if asked != "bob" {
				t.Errorf("was asked about %q", asked)
			}
			if tt.want != "" {
				wantDenied(t, err, auth.ErrCallout)
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("the error is %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := tt.by(w); id.Account.Name() != want.public && want.public != w.sig.public {
				t.Errorf("is in %s", id.Account.Name())
			}
			if _, err := w.a.Renew(t.Context(), id); err != nil {
				t.Error(err)
			}
			asked = ""
			if id := login(t, w.a, request(fields{"jwt": w.user(own, w.app, nil), "sig": own.sign(nonce)})); id.User != own.public || asked != "" {
				t.Errorf("the service's own user is asked about %q and is %+v", asked, id)
			}
		})
	}
}

func TestOperatorRemote(t *testing.T) {
	w := newRealm(t, nil)
	u := newKey(nkeys.CreateUser)
	token := w.user(u, w.app, func(c *jwt.UserClaims) { c.Src.Add("2001:db8::/32") })
	r := request(fields{"jwt": token, "sig": u.sign(nonce)})
	r.Remote = netip.MustParseAddr("2001:db8::5")
	login(t, w.a, r)
	r.Remote = netip.Addr{}
	_, err := w.a.Authenticate(t.Context(), r)
	wantDenied(t, err, nil)
}
