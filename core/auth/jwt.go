package auth

import (
	"context"
	"slices"

	"ganglion/core/account"
	"ganglion/core/operator"
)

// maxImported bounds the accounts that one login loads, because one account
// imports from the next.
const maxImported = 256

// operatorMode authenticates somebody who brings a JWT, or for whom the default
// sentinel stands in.
func (a *Authenticator) operatorMode(ctx context.Context, r *Request, c credentials) (*Identity, error) {
	token := c.jwt
	if token == "" {
		token = a.opts.DefaultSentinel
	}
	if token == "" {
		return nil, denied("no JWT")
	}
	u, err := a.opts.Operator.User(ctx, token)
	if err != nil {
		return nil, deniedJWT(err)
	}
	if err := u.Verify(r.Nonce, c.sig); err != nil {
		return nil, denied("%w", err)
	}
	id, acc, err := a.admitJWT(ctx, u, proofOf(r, byJWT))
	if err != nil {
		return nil, err
	}
	if ext := &acc.Claims.Authorization; ext.IsEnabled() && !slices.Contains(ext.AuthUsers, u.NKey) {
		call, err := a.calloutOf(acc)
		if err != nil {
			return nil, denied("%w: account %s: %w", ErrCallout, u.Account, err)
		}
		return call.ask(ctx, a, r, c)
	}
	return id, nil
}

// admitJWT is who a user with a verified JWT is, whose account it loads.
func (a *Authenticator) admitJWT(ctx context.Context, u *operator.User, p proof) (*Identity, *operator.Account, error) {
	oacc, err := a.opts.Operator.Account(ctx, u.Account)
	if err != nil {
		return nil, nil, deniedJWT(err)
	}
	a.load(ctx, oacc, make(map[string]bool))
	id, err := a.admitUser(u, u.Account, p)
	return id, oacc, err
}

// admitUser is who a user with a JWT is, in an account that is loaded.
func (a *Authenticator) admitUser(u *operator.User, accountName string, p proof) (*Identity, error) {
	acc, err := a.account(accountName)
	if err != nil {
		return nil, err
	}
	switch {
	case u.ProxyRequired:
		return nil, denied("user %s: proxy_required is set and proxies are not supported", u.NKey)
	case !u.Allows(p.remote):
		return nil, denied("user %s may not connect from %v", u.NKey, p.remote)
	case !u.Expires.IsZero() && !a.now().Before(u.Expires):
		return nil, denied("%w: %s at %v", ErrExpired, u.NKey, u.Expires.UTC())
	}
	if err := allowedType(u.ConnectionTypes, p.typ); err != nil {
		return nil, denied("user %s: %w", u.NKey, err)
	}
	perms, err := a.shared.Compile(u.Permissions)
	if err != nil {
		return nil, denied("user %s: %w", u.NKey, err)
	}
	return &Identity{
		User: u.NKey, Account: acc, Permissions: perms,
		NKey: u.NKey, JWT: u.Token, Bearer: u.Bearer, IssuerKey: u.Issuer, NameTag: u.Name, Tags: u.Tags,
		MaxSubs: int(u.Subs), MaxPayload: int(u.Payload),
		Expires: u.Expires, ConnectionTypes: u.ConnectionTypes, proof: p,
	}, nil
}

// load puts an account into the registry if it isn't there as it is now, behind
// those that it imports from. seen are accounts that were looked at.
func (a *Authenticator) load(ctx context.Context, oacc *operator.Account, seen map[string]bool) {
	name := oacc.Spec.Name
	seen[name] = true
	if a.loaded(oacc) {
		return
	}
	for _, imp := range oacc.Spec.Imports {
		if seen[imp.Account] || len(seen) >= maxImported {
			continue
		}
		other, err := a.opts.Operator.Account(ctx, imp.Account)
		if err != nil {
			seen[imp.Account] = true
			a.log.Warn("auth: an account that is imported from can't be loaded", "account", name, "from", imp.Account, "reason", err)
			continue
		}
		a.load(ctx, other, seen)
	}
	a.loading.Lock()
	defer a.loading.Unlock()
	if a.loaded(oacc) {
		return
	}
	_, errs := a.accounts.Update(oacc.Spec)
	for _, err := range errs {
		a.log.Warn("auth: import left out", "account", name, "reason", err)
	}
}

// loaded reports whether the registry has an account as it is.
func (a *Authenticator) loaded(oacc *operator.Account) bool {
	acc := a.accounts.Get(oacc.Spec.Name)
	return acc != nil && acc.Spec().JWT == oacc.Token && slices.EqualFunc(acc.Spec().Imports, oacc.Spec.Imports,
		func(x, y account.Import) bool { return x == y })
}
