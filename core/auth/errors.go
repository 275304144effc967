package auth

import (
	"errors"
	"fmt"

	"ganglion/core/operator"
)

// What Authenticate and Renew return wraps ErrDenied, and one of the others
// where that is known. Texts are for the log: they have names, public keys and
// addresses but no secret. Peers are told wire.TextAuthorization, whatever the
// reason.
var (
	// ErrDenied is returned for credentials that are missing or wrong.
	ErrDenied = errors.New("auth: authorization violation")
	// ErrExpired is returned for a user whose time is over.
	ErrExpired = errors.New("user expired")
	// ErrRevoked is returned for a user whom the account revoked.
	ErrRevoked = errors.New("user revoked")
	// ErrAccountExpired is returned for a user of an account whose time is over.
	ErrAccountExpired = errors.New("account expired")
	// ErrNoAccount is returned for a user of an account that can't be found.
	ErrNoAccount = errors.New("account unknown")
	// ErrConnectionType is returned for a user who may not connect in this way.
	ErrConnectionType = errors.New("connection type not allowed")
	// ErrCallout is returned when auth callout refused, or gave no answer that
	// could be used.
	ErrCallout = errors.New("auth callout")
)

// denied is the error of a login that fails for a reason.
func denied(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDenied, fmt.Errorf(format, args...))
}

// deniedJWT translates what operator says of a user's token.
func deniedJWT(err error) error {
	switch {
	case errors.Is(err, operator.ErrRevoked):
		return denied("%w: %w", ErrRevoked, err)
	case errors.Is(err, operator.ErrExpired):
		return denied("%w: %w", ErrExpired, err)
	case errors.Is(err, operator.ErrNotFound), errors.Is(err, operator.ErrPinned):
		return denied("%w: %w", ErrNoAccount, err)
	}
	return denied("%w", err)
}
