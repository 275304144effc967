package operator

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/permission"
)

// TestUserRefused shows each token that must not get anybody in, with the error
// that says why.
func TestUserRefused(t *testing.T) {
	stranger := accountKey()
	hour := time.Now().Add(time.Hour).Unix()
	past := time.Now().Add(-time.Hour).Unix()
	b64 := base64.RawURLEncoding.EncodeToString
	for _, tt := range []struct {
		name    string
		account func(*jwt.AccountClaims)
		token   func(w *world) string
		want    error
	}{
		{"empty", nil, func(*world) string { return "" }, ErrMalformed},
		{"garbage", nil, func(*world) string { return "a.b.c" }, ErrMalformed},
		{"too large", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) { c.Name = strings.Repeat("n", MaxToken) })
		}, ErrMalformed},
		{"forged", nil, func(w *world) string {
			good := strings.Split(w.user(w.acc, nil), ".")
			other := strings.Split(w.user(w.acc, nil), ".")
			return good[0] + "." + other[1] + "." + good[2]
		}, ErrSignature},
		{"unsigned", nil, func(w *world) string {
			parts := strings.Split(w.user(w.acc, nil), ".")
			return b64([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + parts[1] + "."
		}, ErrMalformed},
		{"signed with HMAC", nil, func(w *world) string {
			parts := strings.Split(w.user(w.acc, nil), ".")
			return b64([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + parts[1] + "." + parts[2]
		}, ErrMalformed},
		{"no signature", nil, func(w *world) string {
			parts := strings.Split(w.user(w.acc, nil), ".")
			return parts[0] + "." + parts[1] + "."
		}, ErrSignature},
		{"names the account, signed by a stranger", nil, func(w *world) string {
			return w.user(key{stranger.KeyPair, w.acc.pub}, nil)
		}, ErrSignature},
		{"signed by a user", nil, func(w *world) string { return w.user(userKey(), nil) }, ErrUntrusted},
		{"signed by the operator", nil, func(w *world) string { return w.user(w.op, nil) }, ErrUntrusted},
		{"account of nobody", nil, func(w *world) string { return w.user(stranger, nil) }, ErrNotFound},
		{"stranger for the account", nil, func(w *world) string {
			return w.user(stranger, func(c *jwt.UserClaims) { c.IssuerAccount = w.acc.pub })
		}, ErrUntrusted},
		{"account for another account", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) { c.IssuerAccount = w.sys.pub })
		}, ErrUntrusted},
		{"signing key without issuer account", nil, func(w *world) string { return w.user(w.signing, nil) }, ErrNotFound},
		{"issuer account is a user", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) { c.IssuerAccount = userKey().pub })
		}, ErrMalformed},
		{"an account token", nil, func(w *world) string { return w.resolver.tokens[w.acc.pub] }, ErrMalformed},
		{"an operator token", nil, func(w *world) string { return sign(w.op, jwt.NewOperatorClaims(w.op.pub), 0) }, ErrMalformed},
		{"an activation", nil, func(w *world) string { return sign(w.acc, jwt.NewActivationClaims(w.acc.pub), 0) }, ErrMalformed},
		{"a generic token", nil, func(w *world) string {
			parts := strings.Split(must(jwt.NewGenericClaims(userKey().pub).Encode(w.acc)), ".")
			return parts[0] + "." + parts[1] + "." + b64(must(w.acc.Sign([]byte(parts[1]))))
		}, ErrMalformed},
		{"about an account", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) { c.Subject = w.acc.pub })
		}, ErrMalformed},
		{"about nobody", nil, func(w *world) string { return w.user(w.acc, func(c *jwt.UserClaims) { c.Subject = "" }) }, ErrMalformed},
		{"expired", nil, func(w *world) string { return w.user(w.acc, func(c *jwt.UserClaims) { c.Expires = past }) }, ErrExpired},
		{"not yet valid", nil, func(w *world) string { return w.user(w.acc, func(c *jwt.UserClaims) { c.NotBefore = hour }) }, ErrNotYetValid},
		{"all revoked", func(c *jwt.AccountClaims) { c.Revocations = jwt.RevocationList{jwt.All: hour} },
			func(w *world) string { return w.user(w.acc, nil) }, ErrRevoked},
		{"account expired", func(c *jwt.AccountClaims) { c.Expires = past }, func(w *world) string { return w.user(w.acc, nil) }, ErrExpired},
		{"account not yet valid", func(c *jwt.AccountClaims) { c.NotBefore = hour }, func(w *world) string { return w.user(w.acc, nil) }, ErrNotYetValid},
		{"bearer disallowed", func(c *jwt.AccountClaims) { c.Limits.DisallowBearer = true },
			func(w *world) string { return w.user(w.acc, func(c *jwt.UserClaims) { c.BearerToken = true }) }, ErrBearer},
		{"bad source", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) { c.Src = jwt.CIDRList{"10.0.0.0/8", "nonsense"} })
		}, ErrMalformed},
		{"bad hours", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) {
				c.Times = []jwt.TimeRange{{Start: "00:00:00", End: "23:59:59"}, {Start: "x", End: "y"}}
			})
		}, ErrMalformed},
		{"bad permissions", nil, func(w *world) string {
			return w.user(w.acc, func(c *jwt.UserClaims) { c.Pub.Allow.Add("a..b") })
		}, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if tt.account != nil {
				w.account(tt.account)
			}
			token := tt.token(w)
			u, err := w.trust.User(t.Context(), token)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, %v; want %v", u, err, tt.want)
			}
			noSecret(t, err.Error()+w.log.String(), token, w.resolver.tokens[w.acc.pub])
		})
	}
}

func TestUser(t *testing.T) {
	w := newWorld(t, nil)
	end := w.now.Add(time.Hour).Truncate(time.Second)
	fill := func(c *jwt.UserClaims) {
		c.Name = "bob"
		c.IssuerAccount = w.acc.pub
		c.Pub.Allow.Add("a", "b.>")
		c.Sub.Deny.Add("c", "d q")
		c.Resp = &jwt.ResponsePermission{MaxMsgs: 3, Expires: time.Second}
		c.Subs = 5
		c.NatsLimits.Payload = 1 << 10
		c.Expires = end.Unix()
		c.AllowedConnectionTypes = jwt.StringList{"standard", jwt.ConnectionTypeWebsocket}
		c.Src = jwt.CIDRList{"10.1.2.3/8", "::1/128"}
		c.Tags.Add("Rate:5")
	}
	for _, by := range []key{w.acc, w.signing} {
		token := w.user(by, fill)
		u, err := w.trust.User(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		want := &User{
			Name: "bob", NKey: u.Claims.Subject, Account: w.acc.pub, Issuer: by.pub,
			Permissions: permission.Spec{
				Publish:   &permission.Rules{Allow: []string{"a", "b.>"}},
				Subscribe: &permission.Rules{Deny: []string{"c", "d q"}},
				Responses: &permission.Responses{Max: 3, Expires: time.Second},
			},
			Subs: 5, Payload: 1 << 10, Data: -1,
			Expires:         end,
			ConnectionTypes: []string{"STANDARD", "WEBSOCKET"},
			Sources:         []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
			Tags:            []string{"rate:5"},
			Token:           token, Claims: u.Claims,
		}
		if !reflect.DeepEqual(u, want) {
			t.Errorf("got  %+v\nwant %+v", u, want)
		}
		for addr, want := range map[string]bool{"10.9.9.9": true, "::ffff:10.9.9.9": true, "11.0.0.1": false, "::1": true, "::2": false} {
			if got := u.Allows(netip.MustParseAddr(addr)); got != want {
				t.Errorf("Allows(%s) = %v", addr, got)
			}
		}
	}
	if n := w.resolver.asked; n != 1 {
		t.Errorf("the resolver was asked %d times, want 1", n)
	}
}

// TestUserLimits shows that what a token doesn't say is 0, and that any negative
// number is no limit.
func TestUserLimits(t *testing.T) {
	w := newWorld(t, nil)
	u, err := w.trust.User(t.Context(), w.user(w.acc, func(c *jwt.UserClaims) { c.Subs, c.NatsLimits.Payload = 0, -7 }))
	if err != nil || u.Subs != 0 || u.Payload != -1 || u.Data != -1 {
		t.Fatalf("got %+v, %v", u, err)
	}
}

func TestRevocation(t *testing.T) {
	w := newWorld(t, nil)
	c := jwt.NewUserClaims(userKey().pub)
	at := w.now.Unix() - 100
	before, same, after := sign(w.acc, c, at-1), sign(w.acc, c, at), sign(w.acc, c, at+1)
	for _, who := range []string{c.Subject, jwt.All} {
		w.account(func(a *jwt.AccountClaims) { a.Revocations = jwt.RevocationList{who: at} })
		for _, token := range []string{before, same} {
			if _, err := w.trust.User(t.Context(), token); !errors.Is(err, ErrRevoked) {
				t.Errorf("revoked %s: got %v, want ErrRevoked", who, err)
			}
		}
		if _, err := w.trust.User(t.Context(), after); err != nil {
			t.Errorf("issued again after the revocation of %s: %v", who, err)
		}
	}
	w.account(func(a *jwt.AccountClaims) { a.Revocations = jwt.RevocationList{userKey().pub: at + 100} })
	if _, err := w.trust.User(t.Context(), before); err != nil {
		t.Errorf("another user is revoked: %v", err)
	}
}

func TestDefaultPermissions(t *testing.T) {
	w := newWorld(t, nil)
	w.account(func(a *jwt.AccountClaims) { a.DefaultPermissions.Pub.Deny.Add("secret") })
	u, err := w.trust.User(t.Context(), w.user(w.acc, nil))
	if err != nil || u.Permissions.Publish == nil || u.Permissions.Publish.Deny[0] != "secret" {
		t.Errorf("without permissions of their own: %+v, %v", u, err)
	}
	u, err = w.trust.User(t.Context(), w.user(w.acc, func(c *jwt.UserClaims) { c.Sub.Deny.Add("x") }))
	if err != nil || u.Permissions.Publish != nil {
		t.Errorf("with permissions of their own: %+v, %v", u, err)
	}
}

func TestHours(t *testing.T) {
	tokyo := must(time.LoadLocation("Asia/Tokyo"))
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, tokyo) }
	office := []jwt.TimeRange{{Start: "09:00:00", End: "12:00:00"}, {Start: "13:00:00", End: "17:30:00"}}
	night := []jwt.TimeRange{{Start: "22:00:00", End: "06:00:00"}}
	for _, tt := range []struct {
		ranges []jwt.TimeRange
		now    time.Time
		end    time.Time // zero is ErrHours
	}{
		{office, at(5, 8, 59), time.Time{}},
		{office, at(5, 9, 0), at(5, 12, 0)},
		{office, at(5, 12, 0), time.Time{}},
		{office, at(5, 17, 0), at(5, 17, 30)},
		{night, at(5, 21, 59), time.Time{}},
		{night, at(5, 23, 0), at(6, 6, 0)},
		{night, at(5, 5, 59), at(5, 6, 0)},
		{night, at(5, 6, 0), time.Time{}},
	} {
		end, err := hours(tt.ranges, "Asia/Tokyo", tt.now.UTC())
		if tt.end.IsZero() != errors.Is(err, ErrHours) || !end.Equal(tt.end) {
			t.Errorf("%v at %v: got %v, %v; want %v", tt.ranges, tt.now, end, err, tt.end)
		}
	}
	w := newWorld(t, nil)
	w.now = at(5, 10, 0)
	for exp, want := range map[int64]time.Time{0: at(5, 12, 0), at(5, 11, 0).Unix(): at(5, 11, 0), at(5, 16, 0).Unix(): at(5, 12, 0)} {
		u, err := w.trust.User(t.Context(), w.user(w.acc, func(c *jwt.UserClaims) {
			c.Expires, c.Times, c.Locale = exp, office, "Asia/Tokyo"
		}))
		if err != nil || !u.Expires.Equal(want) {
			t.Errorf("token ends at %d: got %v, %v; want %v", exp, u, err, want)
		}
	}
	if _, err := hours(office, "Mars/Base", w.now); !errors.Is(err, ErrMalformed) {
		t.Errorf("unknown time zone: %v", err)
	}
}

func TestVerify(t *testing.T) {
	k, other := userKey(), userKey()
	const nonce = "PXoWU7zWAMt75FY"
	sig, wrong := must(k.Sign([]byte(nonce))), must(other.Sign([]byte(nonce)))
	u := &User{NKey: k.pub}
	raw, std := base64.RawURLEncoding, base64.StdEncoding
	for _, tt := range []struct {
		name, nonce, sig string
		ok               bool
	}{
		{"url", nonce, raw.EncodeToString(sig), true},
		{"std", nonce, std.EncodeToString(sig), true},
		{"another's", nonce, raw.EncodeToString(wrong), false},
		{"replayed", "another nonce", raw.EncodeToString(sig), false},
		{"none", nonce, "", false},
		{"short", nonce, raw.EncodeToString(sig[:63]), false},
		{"garbage", nonce, "%%%", false},
		{"empty nonce", "", raw.EncodeToString(must(k.Sign(nil))), false},
	} {
		err := u.Verify(tt.nonce, tt.sig)
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
	if err := (&User{NKey: k.pub, Bearer: true}).Verify("", ""); err != nil {
		t.Errorf("bearer: %v", err)
	}
}

func TestUserSpec(t *testing.T) {
	issuer := accountKey()
	c := jwt.NewUserClaims(userKey().pub)
	c.Name, c.Expires = "callout", time.Now().Add(time.Minute).Unix()
	c.Pub.Allow.Add("a")
	token := must(c.Encode(issuer))
	got, err := DecodeUser(token)
	if err != nil {
		t.Fatal(err)
	}
	u, err := UserSpec(got, "APP", token, time.Now())
	if err != nil || u.Account != "APP" || u.Issuer != issuer.pub || u.Permissions.Publish.Allow[0] != "a" {
		t.Errorf("got %+v, %v", u, err)
	}
	if _, err := UserSpec(got, "APP", token, time.Now().Add(time.Hour)); !errors.Is(err, ErrExpired) {
		t.Errorf("an hour later: %v", err)
	}
}

// TestRenew has an account change while its user is connected.
func TestRenew(t *testing.T) {
	w := newWorld(t, nil)
	u, err := w.trust.User(t.Context(), w.user(w.signing, func(c *jwt.UserClaims) { c.IssuerAccount = w.acc.pub }))
	if err != nil {
		t.Fatal(err)
	}
	renew := func(change func(*jwt.AccountClaims)) (*User, error) {
		t.Helper()
		w.account(change)
		acc, err := w.trust.Account(t.Context(), w.acc.pub)
		if err != nil {
			t.Fatal(err)
		}
		return w.trust.Renew(u, acc)
	}
	if got, err := renew(nil); err != nil || !reflect.DeepEqual(got, u) {
		t.Errorf("nothing changed: %+v, %v", got, err)
	}
	got, err := renew(func(a *jwt.AccountClaims) { a.DefaultPermissions.Sub.Deny.Add("new") })
	if err != nil || got.Permissions.Subscribe == nil {
		t.Errorf("new default permissions: %+v, %v", got, err)
	}
	if _, err := renew(func(a *jwt.AccountClaims) { a.SigningKeys.Remove(w.signing.pub) }); !errors.Is(err, ErrUntrusted) {
		t.Errorf("signing key taken back: %v", err)
	}
	if _, err := renew(func(a *jwt.AccountClaims) { a.Revoke(u.NKey) }); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	sys, err := w.trust.Account(t.Context(), w.sys.pub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.trust.Renew(u, sys); !errors.Is(err, ErrUntrusted) {
		t.Errorf("another account: %v", err)
	}
}
