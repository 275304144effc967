package auth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/wire"
)

// must returns v; only tests call it, with what can't fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// key is a pair of keys and its public one.
type key struct {
	nkeys.KeyPair
	public string
}

func newKey(create func() (nkeys.KeyPair, error)) key {
	pair := must(create())
	return key{pair, must(pair.PublicKey())}
}

// sign signs a nonce as clients do.
func (k key) sign(nonce string) string {
	return base64.RawURLEncoding.EncodeToString(must(k.Sign([]byte(nonce))))
}

// hash is a cheap bcrypt hash.
func hash(password string) string {
	return string(must(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)))
}

// registry returns a Registry with accounts of these names.
func registry(names ...string) *account.Registry {
	r := account.NewRegistry("")
	for _, n := range names {
		r.Update(account.Spec{Name: n, Limits: account.NoLimits})
	}
	return r
}

func newAuth(t testing.TB, o auth.Options) *auth.Authenticator {
	t.Helper()
	a, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const nonce = "AbCdEfGhIjKlMnO"

// request is a Request with a CONNECT of these fields.
func request(fields map[string]any) *auth.Request {
	arg := must(json.Marshal(fields))
	o := must(wire.ParseConnect(arg))
	return &auth.Request{Connect: &o, Nonce: nonce, Remote: netip.MustParseAddr("192.0.2.7"), CID: 5}
}

type fields = map[string]any

// with returns r from another place.
func with(r *auth.Request, change func(*auth.Request)) *auth.Request {
	change(r)
	return r
}

// upgraded returns r with an upgrade request that has cookies.
func upgraded(r *auth.Request, cookies string) *auth.Request {
	r.HTTP = &http.Request{Header: http.Header{"Cookie": {cookies}, "X-Plant": {"north"}}}
	r.Type, r.Listener = auth.TypeWebSocket, "ws"
	return r
}

// wantDenied checks that an error wraps ErrDenied and also, and that it has none
// of the secrets.
func wantDenied(t testing.TB, err, also error, secrets ...string) {
	t.Helper()
	switch {
	case !errors.Is(err, auth.ErrDenied):
		t.Fatalf("the error is %v, want one of ErrDenied", err)
	case also != nil && !errors.Is(err, also):
		t.Fatalf("the error is %v, want one of %v", err, also)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func login(t testing.TB, a *auth.Authenticator, r *auth.Request) *auth.Identity {
	t.Helper()
	id, err := a.Authenticate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
