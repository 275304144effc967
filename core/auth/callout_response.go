package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/operator"
)

// maxAnswer bounds the bytes of an answer, encrypted or not.
const maxAnswer = 128 << 10

// response returns who an answer says the client is. key is the user nkey of the
// request.
func (c *callout) response(ctx context.Context, a *Authenticator, p proof, key string, data []byte) (*Identity, error) {
	fail := func(err error) (*Identity, error) { return nil, denied("%w: %w", ErrCallout, err) }
	token, err := c.open(a, data)
	if err != nil {
		return fail(err)
	}
	claims, err := c.verify(a, token, key)
	if err != nil {
		return fail(err)
	}
	if claims.Error != "" {
		return fail(fmt.Errorf("refused: %.200q", claims.Error))
	}
	p.callout = c.fingerprint()
	var id *Identity
	if c.account != nil {
		p.calloutAccount = c.Account
		id, err = c.operatorUser(ctx, a, p, claims.Jwt, key)
	} else {
		id, err = c.configUser(a, p, claims.Jwt, key)
	}
	if err != nil {
		return fail(err)
	}
	return id, nil
}

// open decrypts an answer if it has to be encrypted.
func (c *callout) open(a *Authenticator, data []byte) (string, error) {
	switch {
	case len(data) == 0:
		return "", errors.New("the answer is empty")
	case len(data) > maxAnswer:
		return "", fmt.Errorf("the answer has %d bytes, which is over %d", len(data), maxAnswer)
	case c.XKey == "":
		return string(data), nil
	}
	clear, err := a.opts.Keys.Curve.Open(data, c.XKey)
	if err != nil {
		return "", errors.New("the answer is not encrypted by the configured xkey")
	}
	return string(clear), nil
}

// verify checks that an answer is the issuer's, to this server, about key.
func (c *callout) verify(a *Authenticator, token, key string) (*jwt.AuthorizationResponseClaims, error) {
	claims, err := operator.DecodeResponse(token)
	if err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	switch now := a.now().Unix(); {
	case !c.mayAnswer(claims):
		return nil, fmt.Errorf("the answer is signed by %.60q, and the issuer is %s", claims.Issuer, c.Issuer)
	case claims.Audience != a.opts.Keys.ID:
		return nil, fmt.Errorf("the answer is meant for server %.60q", claims.Audience)
	case claims.Subject != key:
		return nil, fmt.Errorf("the answer is about user %.60q, and the question was about %s", claims.Subject, key)
	case claims.Expires > 0 && now >= claims.Expires:
		return nil, errors.New("the answer is expired")
	case claims.NotBefore > 0 && now < claims.NotBefore:
		return nil, errors.New("the answer is not valid yet")
	case (claims.Error == "") == (claims.Jwt == ""):
		return nil, errors.New("the answer must have either a user JWT or an error")
	}
	return claims, nil
}

// mayAnswer reports whether the issuer signed, or in operator mode one of its
// signing keys.
func (c *callout) mayAnswer(claims *jwt.AuthorizationResponseClaims) bool {
	if claims.IssuerAccount != "" && claims.IssuerAccount != c.Issuer {
		return false
	}
	return claims.Issuer == c.Issuer || c.account != nil && c.account.Claims.SigningKeys.Contains(claims.Issuer)
}

// configUser is the user of a JWT that the issuer signed and whose audience is an
// account.
func (c *callout) configUser(a *Authenticator, p proof, token, key string) (*Identity, error) {
	claims, err := operator.DecodeUser(token)
	if err != nil {
		return nil, err
	}
	switch {
	case claims.Issuer != c.Issuer:
		return nil, fmt.Errorf("the user JWT is signed by %.60q, and the issuer is %s", claims.Issuer, c.Issuer)
	case claims.Subject != key:
		return nil, fmt.Errorf("the user JWT is about %.60q, and the question was about %s", claims.Subject, key)
	case claims.Audience == "":
		return nil, errors.New("the user JWT's audience must be an account")
	}
	if err := c.allowed(claims.Audience); err != nil {
		return nil, err
	}
	u, err := operator.UserSpec(claims, claims.Audience, token, a.now())
	if err != nil {
		return nil, deniedJWT(err)
	}
	id, err := a.admitUser(u, u.Account, p)
	if err != nil {
		return nil, err
	}
	if u.Name != "" {
		id.User = u.Name
	}
	return id, nil
}

// operatorUser is the user of a JWT of an account that may be put users into.
func (c *callout) operatorUser(ctx context.Context, a *Authenticator, p proof, token, key string) (*Identity, error) {
	u, err := a.opts.Operator.User(ctx, token)
	if err != nil {
		return nil, deniedJWT(err)
	}
	if u.NKey != key {
		return nil, fmt.Errorf("the user JWT is about %.60q, and the question was about %s", u.NKey, key)
	}
	if u.Account != c.Account {
		if len(c.AllowedAccounts) == 0 {
			return nil, fmt.Errorf("the user is in account %s, and allowed_accounts is empty", u.Account)
		}
		if err := c.allowed(u.Account); err != nil {
			return nil, err
		}
	}
	id, _, err := a.admitJWT(ctx, u, p)
	return id, err
}

// allowed reports an error unless users may be put into an account.
func (c *callout) allowed(name string) error {
	if len(c.AllowedAccounts) == 0 || slices.Contains(c.AllowedAccounts, anyAccount) || slices.Contains(c.AllowedAccounts, name) {
		return nil
	}
	return fmt.Errorf("account %.100q is not among allowed_accounts", name)
}
