package auth

import (
	"fmt"

	"github.com/nats-io/nkeys"
)

// Keys are the keys of a running server. They are made anew with every start.
type Keys struct {
	ID     string        // public server nkey: server_id in INFO
	XKey   string        // public curve key: xkey in INFO
	Server nkeys.KeyPair // signs requests of auth callout
	Curve  nkeys.KeyPair // encrypts them
}

// NewKeys makes the keys of a server.
func NewKeys() (*Keys, error) {
	k := &Keys{}
	var err error
	if k.Server, err = nkeys.CreateServer(); err != nil {
		return nil, fmt.Errorf("auth: server key: %w", err)
	}
	if k.ID, err = k.Server.PublicKey(); err != nil {
		return nil, fmt.Errorf("auth: server key: %w", err)
	}
	if k.Curve, err = nkeys.CreateCurveKeys(); err != nil {
		return nil, fmt.Errorf("auth: curve key: %w", err)
	}
	if k.XKey, err = k.Curve.PublicKey(); err != nil {
		return nil, fmt.Errorf("auth: curve key: %w", err)
	}
	return k, nil
}
