package operator

import (
	"context"
	"fmt"
	"maps"
)

// Memory is a Resolver over a fixed table: resolver MEMORY with
// resolver_preload. It is immutable.
type Memory struct{ tokens map[string]string }

// NewMemory returns a Memory of preload, which has account tokens by public
// nkey. Each must be an account token about its key.
func NewMemory(preload map[string]string) (*Memory, error) {
	for name, token := range preload {
		if _, err := identify(name, token); err != nil {
			return nil, fmt.Errorf("operator: resolver_preload of %.60q: %w", name, err)
		}
	}
	return &Memory{tokens: maps.Clone(preload)}, nil
}

// Fetch returns the token of an account, or ErrNotFound.
func (m *Memory) Fetch(_ context.Context, account string) (string, error) {
	token, ok := m.tokens[account]
	if !ok {
		return "", ErrNotFound
	}
	return token, nil
}
