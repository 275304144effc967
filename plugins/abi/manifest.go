package abi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Manifest is what a plugin says of itself, as JSON. Fields that a host doesn't
// know are passed over.
type Manifest struct {
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Description string    `json:"description,omitempty"`
	Bindings    []Binding `json:"bindings"`
	// Emit are patterns of subjects that it wants to emit to.
	Emit []string `json:"emit,omitempty"`
	// KV is how many bytes of keys and values it wants to keep.
	KV int64 `json:"kv,omitempty"`
	// Clock says that it wants to know the time.
	Clock bool `json:"clock,omitempty"`
	// Memory is how many bytes of memory it wants at most; 0 is the host's default.
	Memory int64 `json:"memory,omitempty"`
}

// Binding is a boundary at which a plugin wants to be.
type Binding struct {
	Boundary string   `json:"boundary"`
	Subjects []string `json:"subjects,omitempty"` // patterns; of publish, deliver, leaf-out, leaf-in and subscribe
	// PublishTo are patterns of what a subject may be replaced by; without any,
	// Subjects.
	PublishTo []string `json:"publish_to,omitempty"`
	// Order is where in a chain it wants to be: lower ones first, 0 to 1000.
	Order int `json:"order,omitempty"`
}

// MaxManifest is how many bytes a manifest may have.
const MaxManifest = 64 << 10

// ParseManifest reads a manifest and checks what needs no host: names, boundaries,
// bounds. Subjects are the host's to check.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("manifest has %d bytes; at most %d may be", len(b), MaxManifest)
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("manifest is no JSON: %w", err)
	}
	if d.More() {
		return nil, errors.New("manifest: there is more behind the JSON object")
	}
	if !validName(m.Name) {
		return nil, fmt.Errorf("manifest: name %.80q; use 1 to 64 letters, digits, '-', '_' and '.'", m.Name)
	}
	if len(m.Version) > 64 || len(m.Description) > 1024 {
		return nil, errors.New("manifest: version or description is too long")
	}
	if len(m.Bindings) > 64 {
		return nil, fmt.Errorf("manifest has %d bindings; at most 64 may be", len(m.Bindings))
	}
	for _, x := range m.Bindings {
		b := ParseBoundary(x.Boundary)
		switch {
		case b == 0:
			return nil, fmt.Errorf("manifest: boundary %.40q; use publish, deliver, leaf-out, leaf-in, connect or subscribe", x.Boundary)
		case len(x.Subjects) == 0 && b != Connect:
			return nil, fmt.Errorf("manifest: the binding to %s has no subjects", x.Boundary)
		case x.Order < 0 || x.Order > 1000:
			return nil, fmt.Errorf("manifest: order %d; use 0 to 1000", x.Order)
		case len(x.Subjects) > 256 || len(x.PublishTo) > 256:
			return nil, errors.New("manifest: a binding has more than 256 subjects")
		}
	}
	if m.KV < 0 || m.Memory < 0 || len(m.Emit) > 256 {
		return nil, errors.New("manifest: kv, memory or emit is out of range")
	}
	return m, nil
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > 64 || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// Facts are what a plugin may know of a connection.
type Facts struct {
	CID      uint64 `json:"cid,omitempty"`
	Account  string `json:"account"`
	User     string `json:"user,omitempty"`
	Name     string `json:"name,omitempty"`
	Listener string `json:"listener,omitempty"`
	Remote   string `json:"remote,omitempty"`
	// Of CONNECT, at the boundary connect; never credentials.
	Lang     string `json:"lang,omitempty"`
	Version  string `json:"version,omitempty"`
	Protocol int    `json:"protocol,omitempty"`
}
