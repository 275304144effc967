package operator

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/permission"
)

// User is who a user JWT is about and what they may do.
type User struct {
	Name    string // for people
	NKey    string // the user's public nkey, that nonces are signed with
	Account string // the account's public nkey; or its name, from UserSpec
	Issuer  string // who signed: the account or one of its signing keys

	Permissions permission.Spec

	// Limits of the connection; -1 is none.
	Subs    int64 // subscriptions
	Payload int64 // bytes of a message
	Data    int64 // bytes in all; nats-server doesn't use it

	// Expires is when the connection must end: the token's end or that of the
	// allowed hours, whichever is first. Zero is never.
	Expires time.Time

	ConnectionTypes []string       // upper case, jwt.ConnectionType...; empty is all
	Bearer          bool           // needs no signed nonce
	ProxyRequired   bool           // may connect through a trusted proxy only
	Sources         []netip.Prefix // addresses to connect from; empty is all
	Tags            []string

	Token  string
	Claims *jwt.UserClaims
}

// User verifies a user token from the client up to the operator. Whoever shows
// it must still prove to have its key: (*User).Verify.
func (t *Trust) User(ctx context.Context, token string) (*User, error) {
	c, err := DecodeUser(token)
	if err != nil {
		return nil, err
	}
	if !nkeys.IsValidPublicUserKey(c.Subject) {
		return nil, fmt.Errorf("%w: the user token's subject is no public user nkey", ErrMalformed)
	}
	if err := inTime(&c.ClaimsData, t.now()); err != nil {
		return nil, err
	}
	name := c.Issuer
	if c.IssuerAccount != "" {
		name = c.IssuerAccount
	}
	acc, err := t.Account(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", c.Subject, err)
	}
	return acc.user(c, token, t.now())
}

// Renew verifies a user who is connected again, against their account as acc has
// it now, and returns them with their rights of now. Call it when Load or
// Dependents brought a change: users may be revoked, signing keys taken back.
func (t *Trust) Renew(u *User, acc *Account) (*User, error) {
	now := t.now()
	if u.Account != acc.Claims.Subject {
		return nil, fmt.Errorf("%w: user %s is not of account %s", ErrUntrusted, u.NKey, acc.Claims.Subject)
	}
	if err := inTime(&u.Claims.ClaimsData, now); err != nil {
		return nil, err
	}
	return acc.user(u.Claims, u.Token, now)
}

// user verifies a user token against its account.
func (a *Account) user(c *jwt.UserClaims, token string, now time.Time) (*User, error) {
	var scope *jwt.UserScope
	if c.Issuer != a.Claims.Subject {
		s, ok := a.Claims.SigningKeys.GetScope(c.Issuer)
		if !ok {
			return nil, fmt.Errorf("%w: user %s is signed by %s, which is no signing key of account %s", ErrUntrusted, c.Subject, c.Issuer, a.Claims.Subject)
		}
		if s != nil {
			if scope, ok = s.(*jwt.UserScope); !ok {
				return nil, fmt.Errorf("%w: the scope of signing key %s is of an unknown kind", ErrScope, c.Issuer)
			}
		}
	}
	if a.Claims.Revocations.IsRevoked(c.Subject, time.Unix(c.IssuedAt, 0)) {
		return nil, fmt.Errorf("%w: user %s of account %s", ErrRevoked, c.Subject, a.Claims.Subject)
	}
	may := c.UserPermissionLimits
	if scope != nil {
		var err error
		if may, err = scoped(scope, c, a.Claims); err != nil {
			return nil, err
		}
	}
	if may.BearerToken && a.Claims.Limits.DisallowBearer {
		return nil, fmt.Errorf("%w: account %s, user %s", ErrBearer, a.Claims.Subject, c.Subject)
	}
	u, err := newUser(c, may, token, now)
	if err != nil {
		return nil, err
	}
	u.Account = a.Claims.Subject
	if u.Permissions == (permission.Spec{}) {
		u.Permissions = a.Default
	}
	return u, nil
}

// UserSpec turns claims into a User of the named account without asking who
// signed them: for tokens that an auth callout returns, whose issuer the
// configuration names. Times are checked.
func UserSpec(c *jwt.UserClaims, account, token string, now time.Time) (*User, error) {
	if err := inTime(&c.ClaimsData, now); err != nil {
		return nil, err
	}
	u, err := newUser(c, c.UserPermissionLimits, token, now)
	if err != nil {
		return nil, err
	}
	u.Account = account
	return u, nil
}

// newUser fills in what the claims and may, the rights that count, say.
func newUser(c *jwt.UserClaims, may jwt.UserPermissionLimits, token string, now time.Time) (*User, error) {
	vr := jwt.CreateValidationResults()
	(&jwt.User{UserPermissionLimits: may}).Validate(vr)
	if text := blocking(vr); text != "" {
		return nil, fmt.Errorf("%w: user %s: %.200s", ErrMalformed, c.Subject, text)
	}
	u := &User{
		Name:          c.Name,
		NKey:          c.Subject,
		Issuer:        c.Issuer,
		Permissions:   permissions(may.Permissions),
		Subs:          max(may.Subs, jwt.NoLimit),
		Payload:       max(may.Payload, jwt.NoLimit),
		Data:          max(may.Data, jwt.NoLimit),
		Expires:       expiry(c.Expires),
		Bearer:        may.BearerToken,
		ProxyRequired: may.ProxyRequired,
		Tags:          slices.Clone([]string(c.Tags)),
		Token:         token,
		Claims:        c,
	}
	for _, typ := range may.AllowedConnectionTypes {
		u.ConnectionTypes = append(u.ConnectionTypes, strings.ToUpper(typ))
	}
	for _, src := range may.Src {
		p, err := netip.ParsePrefix(src)
		if err != nil {
			return nil, fmt.Errorf("%w: user %s: its source %.60q is no CIDR", ErrMalformed, c.Subject, src)
		}
		u.Sources = append(u.Sources, p.Masked())
	}
	if len(may.Times) > 0 {
		end, err := hours(may.Times, may.Locale, now)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", c.Subject, err)
		}
		if u.Expires.IsZero() || end.Before(u.Expires) {
			u.Expires = end
		}
	}
	return u, nil
}

// Allows reports whether the user may connect from addr.
func (u *User) Allows(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return len(u.Sources) == 0 || slices.ContainsFunc(u.Sources, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Verify checks that sig is the user's signature of nonce, in base64url without
// padding or in padded standard base64. A bearer token needs none.
func (u *User) Verify(nonce, sig string) error {
	if u.Bearer {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(sig)
	}
	if err != nil || len(raw) != ed25519.SignatureSize {
		return fmt.Errorf("%w: of user %s over the nonce", ErrSignature, u.NKey)
	}
	key, err := nkeys.FromPublicKey(u.NKey)
	if err != nil || nonce == "" || key.Verify([]byte(nonce), raw) != nil {
		return fmt.Errorf("%w: of user %s over the nonce", ErrSignature, u.NKey)
	}
	return nil
}
