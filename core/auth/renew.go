package auth

import (
	"context"
	"slices"
)

// Renew returns what an Identity, which this or an earlier Authenticator gave
// out, is now: with today's account, permissions and limits. It returns an error
// that wraps ErrDenied when it holds no longer: the user is gone or has another
// secret, the JWT expired or was revoked, the callout is configured otherwise.
// It costs a JWT's signatures at most, and no password.
func (a *Authenticator) Renew(ctx context.Context, old *Identity) (*Identity, error) {
	p := old.proof
	d := a.door(p.listener)
	if a.opts.ProxyRequired && p.how != byExtra {
		return nil, denied("proxy_required is set and proxies are not supported")
	}
	switch p.how {
	case byExtra:
		return a.renewExtra(old)
	case byJWT:
		return a.renewJWT(ctx, old)
	case byCallout:
		return a.renewCallout(ctx, old)
	}
	if a.opts.Operator != nil {
		return nil, denied("in operator mode users need a JWT")
	}
	switch {
	case p.how == byNothing && !a.closed(p.listener):
		return a.nobody(p)
	case p.how == byNothing || p.how == byNoAuthUser:
		if !a.closed(p.listener) {
			p.how = byNothing
			return a.nobody(p)
		}
		if d.NoAuthUser == "" || !a.callout.ownName(d.NoAuthUser) {
			return nil, denied("everybody must authenticate now")
		}
		p.how = byNoAuthUser
		return a.noAuthUser(d, p)
	case p.how == byToken && d.Token != "" && equal(d.Token, p.secret) && a.callout == nil,
		p.how == bySingle && d.User == old.User && equal(d.Password, p.secret) && a.callout.ownName(d.User):
		return a.admitSingle(d, p, p.secret)
	case p.user == nil:
		return nil, denied("the token or user is not configured any more")
	}
	return a.renewUser(p)
}

// renewUser renews one of the configuration's users.
func (a *Authenticator) renewUser(p proof) (*Identity, error) {
	key := p.user.key()
	now := a.names[key]
	if p.user.NKey != "" {
		now = a.nkeys[key]
	}
	switch {
	case now == nil:
		return nil, denied("user %q is not configured any more", key)
	case p.how != byNKey && !equal(now.Password, p.user.Password):
		return nil, denied("user %q has another password now", key)
	case !a.callout.ownName(key):
		return nil, denied("user %q is the auth callout's to decide on now", key)
	}
	return a.admit(now, p)
}

func (a *Authenticator) renewExtra(old *Identity) (*Identity, error) {
	if a.opts.Extra == nil {
		return nil, denied("the embedder's authenticator is gone")
	}
	return a.again(old)
}

// again is an identity as before, in today's account of the same name.
func (a *Authenticator) again(old *Identity) (*Identity, error) {
	if !old.Expires.IsZero() && !a.now().Before(old.Expires) {
		return nil, denied("%w: %.100q at %v", ErrExpired, old.User, old.Expires.UTC())
	}
	acc, err := a.account(old.Account.Name())
	if err != nil {
		return nil, err
	}
	id := *old
	id.Account = acc
	return &id, nil
}

// renewJWT verifies a JWT anew, up to the operator. That its bearer has the key
// was shown before.
func (a *Authenticator) renewJWT(ctx context.Context, old *Identity) (*Identity, error) {
	if a.opts.Operator == nil {
		return nil, denied("operator mode is off")
	}
	u, err := a.opts.Operator.User(ctx, old.JWT)
	if err != nil {
		return nil, deniedJWT(err)
	}
	id, acc, err := a.admitJWT(ctx, u, old.proof)
	if err != nil {
		return nil, err
	}
	if ext := &acc.Claims.Authorization; old.proof.how == byJWT && ext.IsEnabled() && !slices.Contains(ext.AuthUsers, u.NKey) {
		return nil, denied("user %s is the auth callout's to decide on now", u.NKey)
	}
	return id, nil
}

// renewCallout lets what a callout decided stand for as long as it is configured
// in the same way.
func (a *Authenticator) renewCallout(ctx context.Context, old *Identity) (*Identity, error) {
	if a.opts.Operator == nil {
		if a.callout == nil || a.callout.fingerprint() != old.proof.callout {
			return nil, denied("%w: it is configured otherwise now", ErrCallout)
		}
		return a.again(old)
	}
	acc, err := a.opts.Operator.Account(ctx, old.proof.calloutAccount)
	if err != nil {
		return nil, deniedJWT(err)
	}
	c, err := a.calloutOf(acc)
	if err != nil || c.fingerprint() != old.proof.callout {
		return nil, denied("%w: account %s configures it otherwise now", ErrCallout, old.proof.calloutAccount)
	}
	return a.renewJWT(ctx, old)
}
