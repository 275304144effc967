package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/permission"
)

// Authenticator checks logins. It is immutable and safe for concurrent use.
type Authenticator struct {
	opts     Options
	accounts *account.Registry
	cache    *PasswordCache
	shared   *permission.Shared
	now      func() time.Time
	log      *slog.Logger
	bcrypt   func(hash, password []byte) error

	names  map[string]*user   // by name
	nkeys  map[string]*user   // by public nkey
	dns    map[string][]*user // those whose names are DNs, by canonical
	main   *door
	doors  map[string]*door
	dummy  string // bcrypt hash that nobody has; "" without bcrypt users
	single *permission.Permissions

	callout *callout // config mode; nil for none

	loading sync.Mutex // serialises what operator mode puts into accounts
}

// door is a listener's view of Options, or that of all without differences.
type door struct {
	Listener
	dummy string // bcrypt hash with the cost that failures have here; "" without any
}

// user is a User of the configuration.
type user struct {
	User
	perms  *permission.Permissions
	public nkeys.KeyPair // of NKey; nil without
}

// New returns an Authenticator for o, or what is wrong with o.
func New(o Options) (*Authenticator, error) { return newAuthenticator(o) }

// Required reports whether clients of a listener must authenticate: auth_required
// in INFO.
func (a *Authenticator) Required(listener string) bool {
	return a.closed(listener) && a.door(listener).NoAuthUser == ""
}

// closed reports whether a listener knows anybody at all.
func (a *Authenticator) closed(listener string) bool {
	d := a.door(listener)
	return d.Token != "" || d.User != "" || len(a.names)+len(a.nkeys) > 0 ||
		a.opts.Operator != nil || a.callout != nil || a.opts.ProxyRequired
}

// NeedsNonce reports whether INFO needs a nonce: with nkey users and in operator
// mode.
func (a *Authenticator) NeedsNonce() bool { return len(a.nkeys) > 0 || a.opts.Operator != nil }

// Timeout returns how long a client of a listener may take.
func (a *Authenticator) Timeout(listener string) time.Duration { return a.door(listener).Timeout }

// Quick reports that r costs next to nothing: it may be authenticated on the
// goroutine that reads.
func (a *Authenticator) Quick(r *Request) bool { return a.Cost(r) == Cost{} }

// Authenticate returns who r is. It may take CPU time and wait, as Cost says; it
// gives up when ctx ends. Errors wrap ErrDenied.
func (a *Authenticator) Authenticate(ctx context.Context, r *Request) (*Identity, error) {
	return a.authenticate(ctx, r)
}
