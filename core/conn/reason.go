package conn

// CloseReason says why a connection ended; its text is what monitoring shows.
type CloseReason uint8

// The reasons, with nats-server's texts. Their numbers are on the wire
// (listeners/quic): new ones are appended.
const (
	NotClosed CloseReason = iota
	ClientClosed
	AuthTimeout
	AuthViolation
	AuthExpired
	TLSHandshakeError
	SlowPending
	SlowDeadline
	WriteError
	ReadError
	ParseError
	Stale
	ProtocolViolation
	BadClientProtocol
	WrongPort
	MaxConns
	MaxAccountConns
	MaxPayload
	MaxControlLine
	MaxSubs
	Shutdown
	MissingAccount
	Revoked
	HeaderViolation
	NoRespNeedsHeaders
	Kicked
	RateLimit // ours
	laneDone  // of a lane whose subscription ended
	DuplicateRemote
	reasons
)

var reasonText = [reasons]string{
	NotClosed:          "",
	ClientClosed:       "Client Closed",
	AuthTimeout:        "Authentication Timeout",
	AuthViolation:      "Authentication Failure",
	AuthExpired:        "Authentication Expired",
	TLSHandshakeError:  "TLS Handshake Failure",
	SlowPending:        "Slow Consumer (Pending Bytes)",
	SlowDeadline:       "Slow Consumer (Write Deadline)",
	WriteError:         "Write Error",
	ReadError:          "Read Error",
	ParseError:         "Parse Error",
	Stale:              "Stale Connection",
	ProtocolViolation:  "Protocol Violation",
	BadClientProtocol:  "Bad Client Protocol Version",
	WrongPort:          "Incorrect Port",
	MaxConns:           "Maximum Connections Exceeded",
	MaxAccountConns:    "Maximum Account Connections Exceeded",
	MaxPayload:         "Maximum Message Payload Exceeded",
	MaxControlLine:     "Maximum Control Line Exceeded",
	MaxSubs:            "Maximum Subscriptions Exceeded",
	Shutdown:           "Server Shutdown",
	MissingAccount:     "Missing Account",
	Revoked:            "Credentials Revoked",
	HeaderViolation:    "Message Header Violation",
	NoRespNeedsHeaders: "No Responders Requires Headers",
	Kicked:             "Kicked",
	RateLimit:          "Rate Limit Exceeded",
	laneDone:           "Lane Done",
	DuplicateRemote:    "Duplicate Remote LeafNode Connection",
}

// String returns nats-server's text for r.
func (r CloseReason) String() string {
	if r < reasons {
		return reasonText[r]
	}
	return "unknown"
}

// slow reports whether what is queued must be thrown away: the peer does not
// take it.
func (r CloseReason) slow() bool {
	switch r {
	case SlowPending, SlowDeadline, WriteError, ReadError, ClientClosed:
		return true
	}
	return false
}
