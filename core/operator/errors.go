package operator

import "errors"

// What may be wrong with a token. Errors of this package wrap one of them, with
// the public key or name that it is about.
var (
	// ErrNotFound is returned for an account that the resolver doesn't have.
	ErrNotFound = errors.New("operator: account not found")
	// ErrMalformed is returned for what is no token, too large, of another kind
	// than expected, or contradicts itself.
	ErrMalformed = errors.New("operator: malformed token")
	// ErrUntrusted is returned for a token whose issuer may not sign it.
	ErrUntrusted = errors.New("operator: issuer is not trusted")
	// ErrSignature is returned for a signature that doesn't hold.
	ErrSignature = errors.New("operator: signature does not hold")
	// ErrExpired is returned for a token whose time is over.
	ErrExpired = errors.New("operator: token expired")
	// ErrNotYetValid is returned for a token whose time has not come.
	ErrNotYetValid = errors.New("operator: token not yet valid")
	// ErrRevoked is returned for a user whom the account revoked.
	ErrRevoked = errors.New("operator: token revoked")
	// ErrPinned is returned for an account that resolver_pinned_accounts leaves
	// out.
	ErrPinned = errors.New("operator: account is not pinned")
	// ErrScope is returned for a user whose scoped signing key does not allow
	// what the token says, or whose template cannot be filled in.
	ErrScope = errors.New("operator: token does not fit its signing key's scope")
	// ErrBearer is returned for a bearer token of an account that wants none.
	ErrBearer = errors.New("operator: bearer tokens are disallowed")
	// ErrHours is returned outside the hours of the day a user may connect in.
	ErrHours = errors.New("operator: outside the allowed hours")
	// ErrStale is returned for an account token that is older than the one in use.
	ErrStale = errors.New("operator: token is older than the one in use")
	// ErrDeleteDisabled is returned by a Store that keeps what it has.
	ErrDeleteDisabled = errors.New("operator: deleting accounts is not allowed")
)
