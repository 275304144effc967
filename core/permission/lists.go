package permission

import (
	"bytes"
	"slices"
	"strings"
)

var dot = []byte(".")

// pattern is the tokens of a pattern.
type pattern []string

// lists are patterns that were not compiled.
type lists struct {
	open  bool // there is no allow list
	allow []pattern
	deny  []pattern
}

func newLists(r Rules) *lists {
	l := &lists{open: r.Allow == nil}
	for _, p := range r.Allow {
		l.allow = append(l.allow, strings.Split(p, "."))
	}
	for _, p := range r.Deny {
		l.deny = append(l.deny, strings.Split(p, "."))
	}
	return l
}

// allows is Set.Allows for a subject without empty tokens.
func (l *lists) allows(subject []byte) bool {
	matches := func(p pattern) bool { return p.matches(subject) }
	return (l.open || slices.ContainsFunc(l.allow, matches)) && !slices.ContainsFunc(l.deny, matches)
}

func (p pattern) matches(subject []byte) bool {
	for i, token := range p {
		if token == ">" && i == len(p)-1 {
			return true
		}
		first, rest, more := bytes.Cut(subject, dot)
		if token != "*" && token != string(first) || more != (i < len(p)-1) {
			return false
		}
		subject = rest
	}
	return true
}
