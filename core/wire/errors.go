package wire

import "errors"

// The texts of -ERR as nats-server sends them, without the quotes. Clients
// compare them and treat texts that they don't know as final, so no other text
// is ever sent.
const (
	TextUnknownOp       = "Unknown Protocol Operation"
	TextControlLine     = "maximum control line exceeded"
	TextMaxPayload      = "Maximum Payload Violation"
	TextInvalidSubject  = "Invalid Subject"
	TextInvalidPubSubj  = "Invalid Publish Subject"
	TextMaxSubs         = "maximum subscriptions exceeded"
	TextMaxConns        = "maximum connections exceeded"
	TextMaxAccountConns = "maximum account active connections exceeded"
	TextAuthorization   = "Authorization Violation"
	TextAuthTimeout     = "Authentication Timeout"
	TextAuthExpired     = "User Authentication Expired"
	TextAuthRevoked     = "User Authentication Revoked"
	TextAccountExpired  = "Account Authentication Expired"
	TextStale           = "Stale Connection"
	TextClientProtocol  = "invalid client protocol"
	TextNeedsHeaders    = "no responders requires headers support"
	TextTLSRequired     = "Secure Connection - TLS Required"
)

// Errors of a Parser. After one of them the stream has lost its frame and must
// be closed.
var (
	// ErrUnknownOp: a verb that is none, or a payload without its CRLF. The
	// peer is told TextUnknownOp.
	ErrUnknownOp = errors.New("wire: unknown protocol operation")
	// ErrControlLine: more than MaxControlLine bytes of arguments. The peer is
	// told TextControlLine.
	ErrControlLine = errors.New("wire: maximum control line exceeded")
	// ErrMaxPayload: a declared size above MaxPayload. The peer is told
	// TextMaxPayload.
	ErrMaxPayload = errors.New("wire: maximum payload exceeded")
	// ErrArguments: wrong number or form of arguments. The peer is told
	// nothing; the connection just closes.
	ErrArguments = errors.New("wire: bad arguments")
)
