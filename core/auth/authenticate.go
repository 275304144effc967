package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"ganglion/core/account"
)

// redacted stands for a token where names are shown.
const redacted = "[REDACTED]"

// credentials are what somebody brought, with cookies in the place of what is
// missing in CONNECT.
type credentials struct {
	user, pass, token, nkey, sig, jwt string
}

func (c credentials) none() bool {
	return c.user == "" && c.pass == "" && c.token == "" && c.nkey == "" && c.jwt == ""
}

func (a *Authenticator) credentials(r *Request, d *door) credentials {
	o := r.Connect
	if o == nil {
		return credentials{}
	}
	c := credentials{user: o.User, pass: o.Pass, token: o.AuthToken, nkey: o.NKey, sig: o.Sig, jwt: o.JWT}
	if r.HTTP == nil {
		return c
	}
	for _, f := range []struct {
		field  *string
		cookie string
	}{{&c.user, d.UserCookie}, {&c.pass, d.PassCookie}, {&c.token, d.TokenCookie}, {&c.jwt, d.JWTCookie}} {
		if *f.field != "" || f.cookie == "" {
			continue
		}
		if cookie, err := r.HTTP.Cookie(f.cookie); err == nil {
			*f.field = cookie.Value
		}
	}
	o.User = c.user // so that logs and events name who it was
	return c
}

// anonymous reports whether no_auth_user stands in for what wasn't brought.
func (a *Authenticator) anonymous(c credentials, d *door) bool {
	return d.NoAuthUser != "" && c.none()
}

// mapped reports whether the certificate says who r is.
func (a *Authenticator) mapped(r *Request) bool {
	return r.MapTLS && len(a.names)+len(a.nkeys) > 0
}

func (a *Authenticator) authenticate(ctx context.Context, r *Request) (*Identity, error) {
	if a.opts.Extra != nil {
		if id, err := a.extra(ctx, r); id != nil || err != nil {
			return id, err
		}
	}
	if a.opts.ProxyRequired {
		return nil, denied("proxy_required is set and proxies are not supported")
	}
	c := a.credentials(r, a.door(r.Listener))
	switch {
	case a.opts.Operator != nil:
		return a.operatorMode(ctx, r, c)
	case a.callout != nil && !a.callout.own(a, r, c):
		return a.callout.ask(ctx, a, r, c)
	}
	return a.local(r, c)
}

func (a *Authenticator) extra(ctx context.Context, r *Request) (*Identity, error) {
	id, err := a.opts.Extra(ctx, r)
	switch {
	case err != nil && !errors.Is(err, ErrDenied):
		return nil, denied("the embedder's authenticator: %w", err)
	case err != nil || id == nil:
		return nil, err
	case id.Account == nil:
		return nil, denied("the embedder's authenticator gave no account")
	}
	admitted := *id
	admitted.proof = proofOf(r, byExtra)
	return &admitted, nil
}

func proofOf(r *Request, h how) proof {
	return proof{how: h, listener: r.Listener, typ: r.Type, remote: r.Remote}
}

// local authenticates with what the configuration knows.
func (a *Authenticator) local(r *Request, c credentials) (*Identity, error) {
	d := a.door(r.Listener)
	switch {
	case !a.closed(r.Listener):
		return a.open(r)
	case a.mapped(r):
		u, err := a.certified(r)
		if err != nil {
			return nil, err
		}
		// Somebody who is named and has a password must know it all the same.
		if !a.check(true, "user "+u.Name, u.Password, c.pass, d.dummy) {
			return nil, denied("user %.100q: the certificate's user has a password, and it is wrong", u.Name)
		}
		return a.admit(u, proofOf(r, byCertificate))
	case a.anonymous(c, d):
		return a.noAuthUser(d, proofOf(r, byNoAuthUser))
	case c.nkey != "":
		return a.byNKey(r, c)
	}
	return a.bySecret(r, c, d)
}

// open is for when nobody needs to authenticate.
func (a *Authenticator) open(r *Request) (*Identity, error) {
	if r.Connect != nil && r.Connect.Account != "" {
		return nil, denied("CONNECT names an account, which is not supported")
	}
	id, err := a.nobody(proofOf(r, byNothing))
	if err != nil {
		return nil, err
	}
	if r.Connect != nil {
		id.User = r.Connect.User // unproven, as nats-server shows it
	}
	return id, nil
}

// nobody is whoever joins where there are no users.
func (a *Authenticator) nobody(p proof) (*Identity, error) {
	acc, err := a.account(account.Global)
	if err != nil {
		return nil, err
	}
	return &Identity{
		Account: acc, Permissions: a.single, Anonymous: true,
		MaxSubs: account.Unlimited, MaxPayload: account.Unlimited, proof: p,
	}, nil
}

// noAuthUser is whoever brings nothing where that makes a user.
func (a *Authenticator) noAuthUser(d *door, p proof) (*Identity, error) {
	u := a.names[d.NoAuthUser]
	if u == nil {
		u = a.nkeys[d.NoAuthUser]
	}
	id, err := a.admit(u, p)
	if err != nil {
		return nil, err
	}
	id.Anonymous = true
	return id, nil
}

// byNKey checks the signature of the nonce. Unknown keys cost as much as those
// that are known.
func (a *Authenticator) byNKey(r *Request, c credentials) (*Identity, error) {
	if !nkeys.IsValidPublicUserKey(c.nkey) {
		return nil, denied("nkey %.60q is no public user nkey", c.nkey)
	}
	u := a.nkeys[c.nkey]
	var public nkeys.KeyPair
	if u != nil {
		public = u.public
	} else if key, err := nkeys.FromPublicKey(c.nkey); err == nil {
		public = key
	}
	sig, err := decodeSignature(c.sig)
	ok := err == nil && public != nil && r.Nonce != "" && public.Verify([]byte(r.Nonce), sig) == nil
	switch {
	case u == nil:
		return nil, denied("nkey %s is unknown", c.nkey)
	case !ok:
		return nil, denied("nkey %s: the nonce's signature does not hold", c.nkey)
	}
	return a.admit(u, proofOf(r, byNKey))
}

// decodeSignature reads base64url without padding, or base64 with padding.
func decodeSignature(sig string) ([]byte, error) {
	if raw, err := base64.RawURLEncoding.DecodeString(sig); err == nil {
		return raw, nil
	}
	return base64.StdEncoding.DecodeString(sig)
}

// secretOf returns the secret that c has to show, and what it shows. who is ""
// when nobody like that exists; shown is what users are to be told of.
func (a *Authenticator) secretOf(c credentials, d *door) (who, secret, given string, u *user) {
	switch {
	case len(a.names)+len(a.nkeys) > 0:
		if u = a.names[c.user]; u != nil {
			return "user " + u.Name, u.Password, c.pass, u
		}
		return "", "", c.pass, nil
	case d.User != "" && (d.Token == "" || c.user != ""):
		if equal(d.User, c.user) {
			return "user " + d.User, d.Password, c.pass, nil
		}
		return "", "", c.pass, nil
	case d.Token != "":
		return "token", d.Token, c.token, nil
	}
	return "", "", "", nil
}

// bySecret checks a password or a token.
func (a *Authenticator) bySecret(r *Request, c credentials, d *door) (*Identity, error) {
	who, secret, given, u := a.secretOf(c, d)
	ok := a.check(who != "", who, secret, given, d.dummy)
	switch {
	case !ok && c.none():
		return nil, denied("no credentials")
	case !ok && who == "token" && c.token == "":
		return nil, denied("no token")
	case !ok && who == "token":
		return nil, denied("wrong token")
	case !ok && who == "":
		return nil, denied("user %.100q is unknown", c.user)
	case !ok:
		return nil, denied("user %.100q: wrong password", c.user)
	case u != nil:
		return a.admit(u, proofOf(r, byPassword))
	}
	p := proofOf(r, bySingle)
	if who == "token" {
		p.how = byToken
	}
	return a.admitSingle(d, p, secret)
}

// admitSingle is who the single user or a token holder is.
func (a *Authenticator) admitSingle(d *door, p proof, secret string) (*Identity, error) {
	p.secret = secret
	id, err := a.nobody(p)
	if err != nil {
		return nil, err
	}
	id.Anonymous = false
	if id.User = d.User; p.how == byToken {
		id.User = redacted
	}
	return id, nil
}

// admit is who a user is.
func (a *Authenticator) admit(u *user, p proof) (*Identity, error) {
	if u.ProxyRequired {
		return nil, denied("user %q: proxy_required is set and proxies are not supported", u.key())
	}
	if err := allowedType(u.ConnectionTypes, p.typ); err != nil {
		return nil, denied("user %q: %w", u.key(), err)
	}
	acc, err := a.account(u.Account)
	if err != nil {
		return nil, err
	}
	p.user = u
	return &Identity{
		User: u.key(), Account: acc, Permissions: u.perms, NKey: u.NKey,
		MaxSubs: account.Unlimited, MaxPayload: account.Unlimited,
		ConnectionTypes: u.ConnectionTypes, proof: p,
	}, nil
}

// allowedType reports an error unless types, when there are any, have typ.
func allowedType(types []string, typ string) error {
	if typ == "" {
		typ = TypeStandard
	}
	if len(types) > 0 && !slices.Contains(types, strings.ToUpper(typ)) {
		return &typeError{typ, types}
	}
	return nil
}

// typeError says which connection type is missing among those allowed.
type typeError struct {
	typ   string
	types []string
}

func (e *typeError) Error() string {
	return "connection type " + e.typ + " is not among " + strings.Join(e.types, ", ")
}

func (e *typeError) Unwrap() error { return ErrConnectionType }

// account returns an account that users may be in now.
func (a *Authenticator) account(name string) (*account.Account, error) {
	acc := a.accounts.Get(name)
	if acc == nil {
		return nil, denied("%w: %.100q", ErrNoAccount, name)
	}
	if end := acc.Spec().Expires; !end.IsZero() && !a.now().Before(end) {
		return nil, denied("%w: %q", ErrAccountExpired, name)
	}
	return acc, nil
}
