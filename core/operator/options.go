package operator

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/account"
	"ganglion/core/permission"
)

// MaxToken is the size in bytes above which a token is refused unread.
const MaxToken = 64 << 10

// Options is whom to trust.
type Options struct {
	// Operators are operator JWTs as text.
	Operators []string
	// TrustedKeys are public operator nkeys, for use instead of Operators.
	TrustedKeys []string
	// SystemAccount is the system account's public nkey; "" takes the one that
	// an operator JWT names.
	SystemAccount string
	// Resolver is where account JWTs come from. It is required.
	Resolver Resolver
	// Pinned are the only accounts that may be used, beside the system account;
	// nil is all.
	Pinned []string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger is told of imports that are left out; nil is slog.Default.
	Logger *slog.Logger
}

// Resolver finds account JWTs. It must be safe for concurrent use.
type Resolver interface {
	// Fetch returns the token of the account with the given public nkey, or an
	// error that wraps ErrNotFound. The token is not trusted: callers verify it.
	Fetch(ctx context.Context, account string) (string, error)
}

// Store is a Resolver that accounts can be pushed to, and that servers compare
// and exchange their accounts through.
type Store interface {
	Resolver
	// Store keeps a token that the caller has verified. One issued before the
	// one it has is refused with ErrStale.
	Store(account, token string) error
	// Delete forgets an account. It returns ErrDeleteDisabled or ErrNotFound.
	Delete(account string) error
	// List returns the public nkeys of all accounts, sorted.
	List() ([]string, error)
	// Pack returns "account|token" lines of up to max accounts, 0 for all, in
	// the order of List, beginning after the account after.
	Pack(after string, max int) ([]string, error)
	// Merge takes such lines. verify is called for each token that would be
	// new; those that it refuses, and those older than what is there, are left
	// out. It returns the accounts that changed, and what was wrong with others.
	Merge(lines []string, verify func(account, token string) error) (changed []string, err error)
	// Hash is the same in stores of the same tokens, and changes with each.
	Hash() [32]byte
}

// Account is a verified account. It is immutable.
type Account struct {
	// Spec is what the broker makes an account of. It doesn't hold what didn't
	// verify: imports whose activation is missing its signature, say.
	Spec account.Spec
	// Default are the permissions of users that have none of their own.
	Default permission.Spec
	// Unresolved are accounts that could not be asked for their signing keys, so
	// that imports from them are left out. Dependents tries again.
	Unresolved []string
	Claims     *jwt.AccountClaims
	Token      string
}
