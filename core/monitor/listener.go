package monitor

import "time"

// Listener is one listener in /varz, a key of our own.
type Listener struct {
	Name        string `json:"name"`
	Kind        string `json:"kind"`
	Address     string `json:"address"`
	TLS         bool   `json:"tls,omitempty"`
	Connections int    `json:"connections"`
	Accepted    uint64 `json:"accepted"`
	// Refused counts the connections that were closed at once, by reason.
	Refused map[string]uint64 `json:"refused,omitempty"`
	Delayed uint64            `json:"delayed,omitempty"` // by the accept rate
	Paused  bool              `json:"paused,omitempty"`
	Closed  bool              `json:"closed,omitempty"`
	// Certificates are those that it serves.
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Certificate is what a listener serves and until when.
type Certificate struct {
	Kind        string    `json:"kind"` // file, acme or internal
	Names       []string  `json:"names"`
	Issuer      string    `json:"issuer,omitempty"`
	NotBefore   time.Time `json:"not_before,omitzero"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256, in hex
	LastError   string    `json:"last_error,omitempty"`
	NextTry     time.Time `json:"next_try,omitzero"`
}

// WebSocket is the block of the WebSocket listener in /varz.
type WebSocket struct {
	Host           string    `json:"host,omitempty"`
	Port           int       `json:"port,omitempty"`
	NoTLS          bool      `json:"no_tls,omitempty"`
	SameOrigin     bool      `json:"same_origin,omitempty"`
	AllowedOrigins []string  `json:"allowed_origins,omitempty"`
	Compression    bool      `json:"compression,omitempty"`
	CertNotAfter   time.Time `json:"tls_cert_not_after,omitzero"`
}
