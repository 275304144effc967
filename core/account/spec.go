package account

import (
	"time"

	"ganglion/core/subject"
)

// Unlimited is a limit that is none.
const Unlimited = -1

// Kind says what an export or import shares.
type Kind uint8

const (
	// Stream shares messages: what is published in the exporting account is seen
	// by subscribers of the importing one.
	Stream Kind = iota
	// Service shares requests: what is published in the importing account is
	// answered by the exporting one.
	Service
)

// String returns "stream" or "service".
func (k Kind) String() string {
	if k == Service {
		return "service"
	}
	return "stream"
}

// Response says how many answers a service gives to a request.
type Response uint8

const (
	Singleton Response = iota // one message
	Streamed                  // any number, the last of them empty if there is a last
	Chunked                   // any number, the last of them empty
)

// String returns the name that configurations use.
func (r Response) String() string { return [...]string{"Singleton", "Stream", "Chunked"}[r] }

// DefaultThreshold is how long a service may take to answer, after which its
// reply subject is forgotten.
const DefaultThreshold = 2 * time.Minute

// Spec is what a configuration or a JWT says of an account.
type Spec struct {
	// Name identifies the account: its name in the configuration, its public
	// nkey in operator mode.
	Name string
	// NameTag is the name for people in operator mode.
	NameTag  string
	Exports  []Export
	Imports  []Import
	Mappings []*subject.Mapping
	Limits   Limits
	Trace    Trace

	// Facts for monitoring.
	Issuer  string    // who signed its JWT
	JWT     string    // as it was signed
	Updated time.Time // when it was issued or loaded
	Expires time.Time // zero is never
}

// Limits bound what an account may use. A negative value is no limit; use
// NoLimits for the value that sets none.
type Limits struct {
	Conns   int // clients and leafs connected
	Leafs   int // leafs connected
	Subs    int // subscriptions of one connection
	Payload int // bytes of one message
}

// NoLimits are limits that are none.
var NoLimits = Limits{Unlimited, Unlimited, Unlimited, Unlimited}

// Trace is where copies of message traces go that clients ask for with a
// traceparent header.
type Trace struct {
	Dest     string // subject; "" is nowhere
	Sampling int    // percent of the messages that ask; 0 is all
}

// Export lets other accounts share in subjects of this one.
type Export struct {
	Kind    Kind
	Subject string // may have wildcards
	// Accounts are those that may import; nil is everybody.
	Accounts []string
	// Token has importers show an activation token that names them.
	Token bool
	// TokenPosition, if not 0, is the token of Subject, counted from 1, that must
	// be the importer's name.
	TokenPosition int
	// Revoked are activations that don't hold any more: those of the account
	// issued at or before the time (unix seconds); "*" is everybody.
	Revoked map[string]int64

	Response   Response      // of a service
	Threshold  time.Duration // for a service to answer; 0 is DefaultThreshold
	Latency    *Latency      // nil for none
	AllowTrace bool          // traces of a service's messages go on in this account
	Share      bool          // unused; importers say what they share

	// Facts for monitoring.
	Description string
}

// Latency has the time that a service takes published.
type Latency struct {
	Subject string // in the exporting account
	// Sampling is the percentage of requests that are measured; 0 is those whose
	// headers ask for it.
	Sampling int
}

// Import shares in subjects of another account.
type Import struct {
	Kind    Kind
	Account string // the exporting account's name
	Subject string // there
	// To is what the subject is here, "" for the same; $1 ... are Subject's
	// wildcards. A prefix is a To too: "prefix." in front of Subject, with its
	// wildcards kept as they are.
	To         string
	Share      bool // tell the service who asks
	AllowTrace bool // traces of a stream's messages go on in this account

	// Activated is when the activation token was issued, once it is checked;
	// zero without one.
	Activated time.Time
	// Expires is when the activation ends; zero is never.
	Expires time.Time
}
