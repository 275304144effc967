package client

import (
	"log/slog"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/hook"
	"ganglion/core/limit"
	"ganglion/core/wire"
)

// Settings are what sessions go by. A Manager's Settings are replaced as a whole
// on reload; sessions see the new ones with their next op. Zero limits mean no
// limit except where a default is named.
type Settings struct {
	Info    wire.Info // template of INFO
	Auth    *auth.Authenticator
	Account *account.Account // of those who name no other
	System  *account.Account // the system account

	Pool *auth.Pool // where credentials are checked that take long
	// ServerInfo is what messages of the server itself begin with; nil for none.
	ServerInfo func() any
	Failures   *auth.Failures // slows down addresses whose logins keep failing

	MaxPayload     int // bytes; 0 is wire.DefaultMaxPayload
	MaxControlLine int // bytes; 0 is wire.DefaultMaxControlLine
	MaxConns       int
	MaxSubs        int // per connection
	MaxSubTokens   int

	RateLimits *limit.Limits // nil is none; users' JWTs may have limits nonetheless

	PingInterval time.Duration
	PingMax      int

	NoHeaders bool // refuse headers
	NoStall   bool // don't slow producers of slow consumers
	Trace     bool // log every op
	MaxTraced int  // bytes of payload logged by Trace; 0 is all

	Connect   []hook.Connect
	Subscribe []hook.Subscribe

	Log *slog.Logger
}

// Events are told about sessions. All methods are called from the goroutine that
// reads the session's connection and must not block.
type Events interface {
	Connected(c *Client)
	Disconnected(c *Client)
	// Refused is called when a client's credentials don't hold.
	Refused(c *Client)
}
