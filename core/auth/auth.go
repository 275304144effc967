// Package auth decides who may join: it compares what a client says in CONNECT
// with what the configuration knows. A token or a single user for now; accounts'
// users, nkeys, JWT and callout build on the same Authenticator.
package auth

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"ganglion/core/wire"
)

// ErrDenied is returned for credentials that are missing or wrong. The peer is
// told wire.TextAuthorization.
var ErrDenied = errors.New("auth: authorization violation")

// DefaultTimeout is how long a client may take to authenticate.
const DefaultTimeout = 2 * time.Second

// Options is who may join. The zero value lets everybody in.
type Options struct {
	// Token is what clients send as auth_token; plain or bcrypt.
	Token string
	// User and Password are the single user; the password plain or bcrypt.
	User, Password string
	// Timeout is how long a client may take to send its CONNECT; 0 is
	// DefaultTimeout.
	Timeout time.Duration
}

// Identity is who somebody turned out to be.
type Identity struct {
	User    string // "" without users
	Account string // "" is the global account
}

// Authenticator checks clients. It is immutable and safe for concurrent use.
type Authenticator struct{ opts Options }

// New returns an Authenticator for o.
func New(o Options) (*Authenticator, error) {
	if o.Token != "" && o.User != "" {
		return nil, errors.New("auth: authorization has both a token and a user; keep one of them")
	}
	if o.User == "" && o.Password != "" {
		return nil, errors.New("auth: authorization has a password but no user; add user")
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("auth: authorization timeout %v is negative", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Authenticator{opts: o}, nil
}

// Required reports whether clients must authenticate.
func (a *Authenticator) Required() bool { return a.opts.Token != "" || a.opts.User != "" }

// Timeout returns how long a client may take.
func (a *Authenticator) Timeout() time.Duration { return a.opts.Timeout }

// Authenticate checks the credentials in c. It returns ErrDenied when they
// don't hold. A bcrypt secret costs tens of milliseconds of CPU by its nature.
func (a *Authenticator) Authenticate(c *wire.ConnectOptions) (Identity, error) {
	switch o := &a.opts; {
	case o.Token != "":
		if !same(o.Token, c.AuthToken) {
			return Identity{}, ErrDenied
		}
	case o.User != "":
		if subtle.ConstantTimeCompare([]byte(o.User), []byte(c.User)) != 1 || !same(o.Password, c.Pass) {
			return Identity{}, ErrDenied
		}
		return Identity{User: c.User}, nil
	}
	return Identity{}, nil
}

// IsBcrypt reports whether a configured secret is a bcrypt hash.
func IsBcrypt(secret string) bool { return strings.HasPrefix(secret, "$2") }

func same(secret, given string) bool {
	if IsBcrypt(secret) {
		return bcrypt.CompareHashAndPassword([]byte(secret), []byte(given)) == nil
	}
	return subtle.ConstantTimeCompare([]byte(secret), []byte(given)) == 1
}

// NewServerID returns the server's identity: the public part of a fresh server
// nkey, and the public curve key that goes with it.
func NewServerID() (id, xkey string, err error) {
	kp, err := nkeys.CreateServer()
	if err != nil {
		return "", "", fmt.Errorf("auth: server key: %w", err)
	}
	if id, err = kp.PublicKey(); err != nil {
		return "", "", fmt.Errorf("auth: server key: %w", err)
	}
	xk, err := nkeys.CreateCurveKeys()
	if err != nil {
		return "", "", fmt.Errorf("auth: curve key: %w", err)
	}
	if xkey, err = xk.PublicKey(); err != nil {
		return "", "", fmt.Errorf("auth: curve key: %w", err)
	}
	return id, xkey, nil
}
