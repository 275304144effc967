package auth

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"net/netip"
	"time"

	"ganglion/core/account"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// Request is somebody who wants to join. An Authenticator does not keep or
// change it.
type Request struct {
	Connect *wire.ConnectOptions
	Nonce   string               // as INFO had it; "" without
	TLS     *tls.ConnectionState // nil without
	HTTP    *http.Request        // the upgrade request of WebSocket and WebTransport; else nil
	// MapTLS is verify_and_map: the client certificate names the user.
	MapTLS   bool
	Listener string // name; "" has no differences
	Type     string // connection type: TypeStandard and so on
	Kind     string // for auth callout: "Client", "Leafnode"; "" is "Client"
	CID      uint64
	Remote   netip.Addr
	Host     string // for auth callout: the remote address as text; "" is Remote
}

// Identity is who somebody turned out to be. It is immutable.
type Identity struct {
	// User is for monitoring and events: the name, the nkey, or "[REDACTED]" for
	// a token. Where nobody needs to authenticate, it is whatever the client says.
	User        string
	Account     *account.Account
	Permissions *permission.Permissions // nil allows everything

	NKey      string // public user nkey; "" without
	JWT       string // user JWT, in operator mode and from auth callout; never logged
	Bearer    bool   // the JWT alone lets its holder in: monitoring does not show it
	IssuerKey string // who signed the JWT
	NameTag   string // the JWT's name for people
	Tags      []string

	MaxSubs    int // subscriptions; -1 is no limit
	MaxPayload int // bytes; -1 is no limit

	// Expires is when the user's right ends; zero is never. The account's own
	// end, Account.Spec().Expires, is looked at on joining only.
	Expires time.Time
	// ConnectionTypes are those the user is limited to; empty is all.
	ConnectionTypes []string
	// Anonymous says that no credentials were needed: through no_auth_user, or
	// because nobody has to authenticate.
	Anonymous bool

	proof proof
}

// proof is what Renew needs to know of how an Identity came about.
type proof struct {
	how     how
	user    *user  // byPassword, byCertificate, byNKey
	secret  string // byToken and the single user: what the configuration has
	callout string // byCallout: fingerprint of how it is configured
	// calloutAccount is the account that has it, in operator mode.
	calloutAccount string
	listener       string
	typ            string
	remote         netip.Addr
}

type how uint8

const (
	byNothing     how = iota // nobody has to authenticate
	byExtra                  // zero proofs of Extra's identities become this
	byNoAuthUser             // brought nothing
	byPassword               // of one of the users
	byCertificate            // names one of the users
	byNKey                   // of one of the users
	byToken                  // the token
	bySingle                 // the single user
	byJWT                    // operator mode
	byCallout
)

// NewNonce returns a fresh nonce for INFO: 11 random bytes as 15 characters.
func NewNonce() string {
	var b [11]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
