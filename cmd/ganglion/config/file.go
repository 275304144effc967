package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/conf"
)

// token is what the grammar's parser wraps each value in.
type token interface {
	Value() any
	Line() int
	Position() int
	SourceFile() string
	IsUsedVariable() bool
}

// Error is a configuration error with its place.
type Error struct {
	File      string
	Line, Col int
	Err       error
}

// Error returns file:line:column and what is wrong there.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Col, e.Err)
}

// Unwrap returns the error without its place.
func (e *Error) Unwrap() error { return e.Err }

// errorAt returns an Error at t.
func errorAt(t token, format string, args ...any) error {
	file := t.SourceFile()
	return &Error{File: file, Line: t.Line(), Col: t.Position(), Err: fmt.Errorf(format, args...)}
}

// Load reads the file into c. Keys that it does not set stay as they are.
func (c *Config) Load(file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("config: cannot read configuration: %w", err)
	}
	m, err := conf.ParseFileWithChecks(file)
	if err != nil {
		return fmt.Errorf("config: %s: %w", filepath.Clean(file), err)
	}
	c.File = file
	// Digesting takes longer than reading, so it waits until somebody asks; the
	// daemon does soon.
	c.Broker.ConfigDigest = sync.OnceValue(func() string {
		_, digest, err := conf.ParseFileWithChecksDigest(file)
		if err != nil {
			return "" // it has changed since
		}
		return digest
	})
	return c.read(m)
}

// read takes over a parsed file.
func (c *Config) read(m map[string]any) error { return block{path: "", keys: topKeys}.read(c, m) }

// key is what a block does with one of its keys.
type key func(c *Config, name string, t token, v any) error

// block is a map in the file with the keys that may stand in it.
type block struct {
	path string
	keys map[string]key
}

func (b block) read(c *Config, m map[string]any) error {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.SortFunc(names, func(x, y string) int { return place(m[x]) - place(m[y]) })
	for _, name := range names {
		t, ok := m[name].(token)
		if !ok {
			continue
		}
		full := b.path + name
		k, known := b.keys[strings.ToLower(name)]
		switch {
		case known && k != nil:
			if err := k(c, full, t, t.Value()); err != nil {
				return err
			}
		case known:
			return errorAt(t, "%q is a key of nats-server that Ganglion does not support yet; remove it", full)
		case t.IsUsedVariable():
		default:
			return errorAt(t, "unknown field %q%s", full, suggestion(name, b.keys))
		}
	}
	return nil
}

func place(v any) int {
	if t, ok := v.(token); ok {
		return t.Line()
	}
	return 0
}

// suggestion names the known key that differs least from name, if one is close.
func suggestion(name string, keys map[string]key) string {
	name = strings.ToLower(name)
	best, least := "", 3
	for k, f := range keys {
		if f == nil {
			continue
		}
		if d := distance(name, k); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	if best == "" || least >= len(name) {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance is the number of single-letter edits between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := prev
			if a[i] != b[j] {
				d = min(prev, row[j], row[j+1]) + 1
				if prev+1 < d {
					d = prev + 1
				}
			}
			prev, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
