package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/operator"
)

// applyTimeout is how long one change of an account may take.
const applyTimeout = 10 * time.Second

// Resolver are the Claims of operator mode with a store. All fields but
// MayDelete and Gone are required.
type Resolver struct {
	Store operator.Store
	// Verify returns which account a token is of, once it is found to be signed
	// by a trusted operator and to hold.
	Verify func(token string) (account string, err error)
	// Apply makes a verified and stored token what the account is.
	Apply func(ctx context.Context, token string) error
	// MayDelete reports whether the key is an operator's that may have accounts
	// deleted; nil is nobody.
	MayDelete func(key string) bool
	// Gone is told of accounts that were deleted.
	Gone func(account string)
}

// Update verifies and stores a token and applies it (Claims).
func (r *Resolver) Update(name, token string) (account string, err error) {
	c, err := jwt.DecodeAccountClaims(token)
	switch {
	case err != nil:
		return "", err
	case name != "" && c.Subject != name:
		return c.Subject, errors.New("subject does not match jwt content")
	}
	if _, err := r.Verify(token); err != nil {
		return c.Subject, err
	}
	if err := r.Store.Store(c.Subject, token); err != nil {
		return c.Subject, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyTimeout)
	defer cancel()
	return c.Subject, r.Apply(ctx, token)
}

// Lookup returns an account's token, "" when there is none (Claims).
func (r *Resolver) Lookup(name string) string {
	ctx, cancel := context.WithTimeout(context.Background(), applyTimeout)
	defer cancel()
	token, err := r.Store.Fetch(ctx, name)
	if err != nil {
		return ""
	}
	return token
}

// List returns the names of all accounts (Claims).
func (r *Resolver) List() ([]string, error) { return r.Store.List() }

// Delete forgets the accounts that token lists; those that are not there don't
// matter (Claims). The token is a generic JWT that an operator signed for itself.
func (r *Resolver) Delete(token string) (by string, n int, err error) {
	c, err := jwt.DecodeGeneric(token)
	if err != nil {
		return "", 0, err
	}
	if c.Subject != c.Issuer || r.MayDelete == nil || !r.MayDelete(c.Issuer) {
		return c.Issuer, 0, errors.New("not trusted")
	}
	list, ok := c.Data["accounts"].([]any)
	if !ok {
		return c.Issuer, 0, errors.New("malformed request")
	}
	for _, x := range list {
		name, ok := x.(string)
		if !ok {
			return c.Issuer, n, errors.New("malformed request")
		}
		switch err := r.Store.Delete(name); {
		case err == nil:
			if r.Gone != nil {
				r.Gone(name)
			}
		case !errors.Is(err, operator.ErrNotFound):
			return c.Issuer, n, fmt.Errorf("account %s: %w", name, err)
		}
		n++
	}
	return c.Issuer, n, nil
}

// Pack returns all accounts, unless hash says that the asker has the same
// (Claims).
func (r *Resolver) Pack(hash []byte) ([]string, error) {
	if h := r.Store.Hash(); string(hash) == string(h[:]) {
		return nil, nil
	}
	return r.Store.Pack("", 0)
}
