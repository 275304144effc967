package operator

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
)

// decode reads a token of the claims type T. The library verifies that the
// issuer that the token names has signed it, and that keys of its kind may sign
// such tokens; whether that issuer is to be trusted, and the times, are the
// caller's.
func decode[T jwt.Claims](token, kind string) (claims T, err error) {
	if len(token) > MaxToken {
		return claims, fmt.Errorf("%w: the %s token has %d bytes, which is over %d", ErrMalformed, kind, len(token), MaxToken)
	}
	c, err := jwt.Decode(token)
	if err != nil {
		return claims, classify(kind, err)
	}
	claims, ok := c.(T)
	if !ok {
		return claims, fmt.Errorf("%w: a token of type %q is not one of type %q", ErrMalformed, c.ClaimType(), kind)
	}
	return claims, nil
}

// classify wraps what the library says. Its text is replaced where it may hold
// parts of the token.
func classify(kind string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "signature verification"):
		return fmt.Errorf("%w: %s token", ErrSignature, kind)
	case strings.Contains(text, "expected prefixes"):
		return fmt.Errorf("%w: the issuer's key is of a kind that signs no %s token", ErrUntrusted, kind)
	case strings.Contains(text, "3 chunks"):
		return fmt.Errorf("%w: a %s token has three parts joined by dots", ErrMalformed, kind)
	case strings.Contains(text, "algorithm"):
		return fmt.Errorf("%w: the %s token's header doesn't name the algorithm %q", ErrMalformed, kind, jwt.AlgorithmNkey)
	}
	return fmt.Errorf("%w: the %s token can't be decoded", ErrMalformed, kind)
}

// inTime checks a token's own dates.
func inTime(c *jwt.ClaimsData, now time.Time) error {
	switch unix := now.Unix(); {
	case c.Expires > 0 && unix >= c.Expires:
		return fmt.Errorf("%w: %s at %s", ErrExpired, c.Subject, stamp(c.Expires))
	case c.NotBefore > 0 && unix < c.NotBefore:
		return fmt.Errorf("%w: %s from %s", ErrNotYetValid, c.Subject, stamp(c.NotBefore))
	}
	return nil
}

// endOfTime is when the year 9999 ends. Token dates after it, which package time
// would fold back into the past, are never.
const endOfTime = 253402300799

// expiry is the moment of a token's end; zero is never.
func expiry(unix int64) time.Time {
	if unix <= 0 || unix > endOfTime {
		return time.Time{}
	}
	return time.Unix(unix, 0)
}

func stamp(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }

// blocking returns the first of the library's findings that makes claims
// unusable, dates aside.
func blocking(vr *jwt.ValidationResults) string {
	for _, issue := range vr.Issues {
		if issue.Blocking && !issue.TimeCheck {
			return issue.Description
		}
	}
	return ""
}

// DecodeUser reads a user token without asking whether its issuer is trusted;
// that it was signed by that issuer is verified, its times are not looked at.
// Auth callout needs it, where the configuration names the issuer.
func DecodeUser(token string) (*jwt.UserClaims, error) {
	return decode[*jwt.UserClaims](token, jwt.UserClaim)
}

// DecodeResponse reads an authorization response of auth callout, to the same
// extent as DecodeUser.
func DecodeResponse(token string) (*jwt.AuthorizationResponseClaims, error) {
	return decode[*jwt.AuthorizationResponseClaims](token, jwt.AuthorizationResponseClaim)
}

// identify reads an account token that should be about the account name.
func identify(name, token string) (*jwt.AccountClaims, error) {
	c, err := decode[*jwt.AccountClaims](token, jwt.AccountClaim)
	if err != nil {
		return nil, err
	}
	if c.Subject != name {
		return nil, fmt.Errorf("%w: it is about account %.60q", ErrMalformed, c.Subject)
	}
	return c, nil
}
