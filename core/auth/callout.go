package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/operator"
)

// Auth callout, ADR-26: the server asks a service about each client.
//
//	SUB $SYS.REQ.USER.AUTH                    the service, in the callout's account
//	server -> service   request JWT           signed by the server
//	service -> server   response JWT          signed by the issuer; holds
//	                      user JWT            who the client is, or error
//
// With an xkey both are encrypted, and the server's public curve key goes along
// in the header Nats-Server-Xkey.

const (
	calloutSubject  = "$SYS.REQ.USER.AUTH"
	calloutAudience = "nats-authorization-request"
	xkeyHeader      = "Nats-Server-Xkey"
	// anyAccount in AllowedAccounts is all.
	anyAccount = "*"
)

// callout is a Callout that was checked. A nil one leaves everybody to the
// configuration.
type callout struct {
	Callout
	// operator mode only: the callout's account, and who may sign answers.
	account *operator.Account
}

// newCallout checks a configuration's auth_callout.
func (a *Authenticator) newCallout(c Callout) (*callout, error) {
	if c.Account == "" {
		c.Account = account.Global
	}
	switch {
	case !nkeys.IsValidPublicAccountKey(c.Issuer):
		return nil, fmt.Errorf("issuer %.60q is no public account nkey; those begin with A", c.Issuer)
	case len(c.AuthUsers) == 0:
		return nil, errors.New("auth_users is empty; name the user that the service connects as")
	}
	for _, name := range c.AuthUsers {
		if a.names[name] == nil && a.nkeys[name] == nil && a.main.User != name {
			a.log.Warn("auth: auth_callout names an auth user that is not configured", "user", name)
		}
	}
	return &callout{Callout: c}, c.check(a)
}

// calloutOf returns the callout that an account asks for, in operator mode.
func (a *Authenticator) calloutOf(acc *operator.Account) (*callout, error) {
	ext := &acc.Claims.Authorization
	if !ext.IsEnabled() {
		return nil, errors.New("the account has none")
	}
	c := &callout{account: acc, Callout: Callout{
		Issuer: acc.Spec.Name, Account: acc.Spec.Name, AuthUsers: ext.AuthUsers,
		XKey: ext.XKey, AllowedAccounts: ext.AllowedAccounts,
	}}
	if a.opts.Callout != nil {
		c.Requester = a.opts.Callout.Requester
	}
	return c, c.check(a)
}

// check is what both forms have in common.
func (c *Callout) check(a *Authenticator) error {
	switch {
	case c.XKey != "" && !nkeys.IsValidPublicCurveKey(c.XKey):
		return fmt.Errorf("xkey %.60q is no public curve key; those begin with X", c.XKey)
	case c.Requester == nil:
		return errors.New("nothing can send requests")
	case a.opts.Keys == nil:
		return errors.New("the server has no keys")
	}
	return nil
}

// own reports whether r claims to be a user that is not asked about.
func (c *callout) own(a *Authenticator, r *Request, cred credentials) bool {
	d := a.door(r.Listener)
	switch {
	case a.mapped(r):
		u, err := a.certified(r)
		return err == nil && c.ownName(u.key())
	case a.anonymous(cred, d):
		return c.ownName(d.NoAuthUser)
	case cred.nkey != "":
		return c.ownName(cred.nkey)
	}
	return cred.user != "" && c.ownName(cred.user)
}

// ownName reports whether the user is left to the configuration.
func (c *callout) ownName(name string) bool { return c == nil || slices.Contains(c.AuthUsers, name) }

// fingerprint is the same for callouts that decide alike.
func (c *callout) fingerprint() string {
	return strings.Join([]string{c.Issuer, c.Account, c.XKey, strings.Join(c.AllowedAccounts, ",")}, " ")
}

// ask has the service say who r is.
func (c *callout) ask(ctx context.Context, a *Authenticator, r *Request, cred credentials) (*Identity, error) {
	timeout := a.door(r.Listener).Timeout
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	acc := a.accounts.Get(c.Account)
	if acc == nil {
		return nil, denied("%w: %w: %.100q", ErrCallout, ErrNoAccount, c.Account)
	}
	key, err := newUserKey()
	if err != nil {
		return nil, denied("%w: %w", ErrCallout, err)
	}
	data, err := c.request(a, r, cred, key, timeout)
	if err != nil {
		return nil, denied("%w: making the request: %w", ErrCallout, err)
	}
	var header []byte
	if c.XKey != "" {
		if data, err = a.opts.Keys.Curve.Seal(data, c.XKey); err != nil {
			return nil, denied("%w: encrypting the request: %w", ErrCallout, err)
		}
		header = []byte("NATS/1.0\r\n" + xkeyHeader + ": " + a.opts.Keys.XKey + "\r\n\r\n")
	}
	_, reply, err := c.Requester.Request(ctx, acc, calloutSubject, header, data)
	if err != nil {
		return nil, denied("%w: no answer: %w", ErrCallout, err)
	}
	id, err := c.response(ctx, a, proofOf(r, byCallout), key, reply)
	if err != nil {
		return nil, err
	}
	a.log.Debug("auth: callout let a client in", "cid", r.CID, "account", id.Account.Name(), "user", id.User)
	return id, nil
}

// newUserKey returns a public user nkey that ties an answer to its request.
func newUserKey() (string, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("user nkey: %w", err)
	}
	defer pair.Wipe()
	return pair.PublicKey()
}
