package auth

import (
	"context"
	"log/slog"
	"time"

	"ganglion/core/account"
	"ganglion/core/operator"
	"ganglion/core/permission"
)

// DefaultTimeout is how long a client may take to authenticate.
const DefaultTimeout = 2 * time.Second

// Connection types, as Request.Type and in lists of allowed ones. The last two
// are our own.
const (
	TypeStandard     = "STANDARD"
	TypeWebSocket    = "WEBSOCKET"
	TypeLeaf         = "LEAFNODE"
	TypeLeafWS       = "LEAFNODE_WS"
	TypeMQTT         = "MQTT"
	TypeMQTTWS       = "MQTT_WS"
	TypeInProcess    = "IN_PROCESS"
	TypeQUIC         = "QUIC"
	TypeWebTransport = "WEBTRANSPORT"
)

// Options is who may join. The zero value lets everybody in, to the global
// account.
type Options struct {
	// Token is what clients send as auth_token; plain or bcrypt.
	Token string
	// User and Password are the single user; the password plain or bcrypt.
	User, Password string
	// Permissions are those of the single user, of token holders, of everybody
	// where nobody must authenticate, and of Users without an Account that have
	// none; nil is all.
	Permissions *permission.Spec
	// Timeout is how long a client may take to send its CONNECT; 0 is
	// DefaultTimeout.
	Timeout time.Duration

	// Users are those of authorization.users and of all accounts. They exclude
	// Token and User.
	Users []User
	// NoAuthUser is the name or nkey of the user that those become who bring no
	// credentials.
	NoAuthUser string

	// Operator turns operator mode on: users bring JWTs. It excludes Users,
	// Token and User.
	Operator *operator.Trust
	// DefaultSentinel is the user JWT, in operator mode, of those who bring none.
	// It must be a bearer token, and is meant for auth callout.
	DefaultSentinel string

	// Callout asks a service about all but the callout's own users; nil for
	// none. In operator mode accounts say themselves whether they have a callout;
	// of this only Requester is needed.
	Callout *Callout

	// ProxyRequired is known to nats-server's configurations; proxies are not
	// supported, so everybody is denied with it.
	ProxyRequired bool

	// Listeners are differences by listener name.
	Listeners map[string]Listener

	// Accounts is where identities' accounts are found, and where operator mode
	// puts those it loads. nil is a registry of its own.
	Accounts *account.Registry

	// Extra is asked before everything else. (nil, nil) is "not mine, go on"; an
	// error denies and should wrap ErrDenied. An Identity needs its Account and,
	// where there are no limits, -1 in MaxSubs and MaxPayload. It may wait until
	// ctx ends. Where nothing else is configured, those who are not its own are
	// let in; an Extra that wants to be the only one returns errors for them.
	Extra func(ctx context.Context, r *Request) (*Identity, error)

	// Cache is shared with the Authenticator before a reload; nil is a new one.
	Cache *PasswordCache

	// Shared is shared with the Authenticator before a reload; nil is a new one.
	Shared *permission.Shared
	// Keys are the server's; auth callout needs them.
	Keys *Keys
	// ServerName, Host, Cluster and Tags tell auth callout about the server.
	ServerName, Host, Cluster string
	Tags                      []string

	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Logger is told of imports that don't hold in operator mode, and at debug
	// level of callouts; nil is slog.Default.
	Logger *slog.Logger
}

// User is somebody the configuration knows, by name and password or by nkey.
type User struct {
	Name, Password string // the password plain or bcrypt
	NKey           string // public user nkey, instead of Name and Password
	Account        string // "" is the global account
	// Permissions are the user's own; nil falls back to DefaultPermissions, and
	// nil there is all. Users may share a Spec by pointer, which is then compiled
	// once.
	Permissions        *permission.Spec
	DefaultPermissions *permission.Spec
	// ConnectionTypes are the ways in which the user may connect, in any case;
	// empty is all.
	ConnectionTypes []string
	// ProxyRequired denies the user: proxies are not supported.
	ProxyRequired bool
}

// Listener is what is different for those who come through one listener.
type Listener struct {
	// Token, or User and Password, replace those of Options.
	Token, User, Password string
	// NoAuthUser, if not "", replaces that of Options.
	NoAuthUser string
	// Timeout, if not 0, replaces that of Options.
	Timeout time.Duration
	// Names of cookies of the upgrade request whose values stand in for what is
	// missing in CONNECT; "" is none.
	JWTCookie, UserCookie, PassCookie, TokenCookie string
}

// Callout is authorization's auth_callout.
type Callout struct {
	// Issuer is the public account nkey that signs the service's answers.
	Issuer string
	// Account is where the service is; "" is the global account.
	Account string
	// AuthUsers are the names or nkeys of users that are not asked about: the
	// service itself.
	AuthUsers []string
	// XKey is the service's public curve key: requests and answers are encrypted.
	// "" leaves them plain.
	XKey string
	// AllowedAccounts are the accounts that the service may put users into;
	// empty is all.
	AllowedAccounts []string
	// Requester sends the requests. It is required.
	Requester Requester
}

// Requester sends a request and waits for the answer. core/local can.
type Requester interface {
	// Request publishes data on subject in acc, with a header block if header is
	// not empty (from "NATS/1.0\r\n" to the blank line), and returns the first
	// answer. It returns an error once ctx ends, and at once when nobody listens.
	// The caller keeps what is returned.
	Request(ctx context.Context, acc *account.Account, subject string, header, data []byte) (replyHeader, replyData []byte, err error)
}
