package permission

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ganglion/core/subject"
)

// What a zero field of [Responses] stands for.
const (
	DefaultMaxResponses = 1
	DefaultExpires      = 2 * time.Minute
)

// Rules are the patterns of one direction. A nil Allow allows everything that
// Deny does not forbid; an empty non-nil Allow allows nothing.
//
// Entries of a Spec's Subscribe may be "subject queue", which then concern queue
// subscriptions only; both words may have wildcards.
type Rules struct {
	Allow []string
	Deny  []string
}

// Responses lets the receiver of a message with a reply subject publish to that
// subject, whatever the rules of publishing say, Max times within Expires.
type Responses struct {
	// Max is how often; 0 is DefaultMaxResponses, negative is no limit.
	Max int
	// Expires is how long after the message was delivered; 0 is
	// DefaultExpires, negative is for ever.
	Expires time.Duration
}

// Spec is what a user may do, as a configuration says it. What is nil is not
// restricted, with one exception: where Responses are given and publishing has
// no Allow, nothing but responses may be published.
type Spec struct {
	Publish   *Rules
	Subscribe *Rules
	Responses *Responses // nil: no right to respond
}

// Permissions are a compiled [Spec]. They do not change, so any number of
// sessions share them. A nil *Permissions allows everything.
type Permissions struct {
	spec      Spec
	publish   *Set
	subscribe *subscriptions
	responses *Responses
}

// Compile compiles s, of which it keeps a copy. The error names the list, the
// pattern in it and what to write instead. When s restricts nothing (all of it
// is nil) the result is a nil *Permissions.
func Compile(s Spec) (*Permissions, error) {
	if s == (Spec{}) {
		return nil, nil
	}
	p := &Permissions{spec: clone(s)}
	if r := p.spec.Responses; r != nil {
		p.responses = r.withDefaults()
	}
	if err := p.compilePublish(); err != nil {
		return nil, err
	}
	if r := p.spec.Subscribe; r != nil {
		var err error
		if p.subscribe, err = newSubscriptions(r); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Permissions) compilePublish() error {
	var r Rules
	switch {
	case p.spec.Publish != nil:
		r = *p.spec.Publish
	case p.responses == nil:
		return nil
	}
	for _, l := range []struct {
		name     string
		patterns []string
	}{{"publish.allow", r.Allow}, {"publish.deny", r.Deny}} {
		for _, pattern := range l.patterns {
			if !subject.Valid(pattern) {
				return invalid(l.name, pattern, pattern, "subject")
			}
		}
	}
	if r.Allow == nil && p.responses != nil {
		r.Allow = []string{}
	}
	p.publish = newSet(r)
	return nil
}

// invalid is the error for an entry of a list, of which the part that is called
// what is wrong.
func invalid(list, entry, part, what string) error {
	where := ""
	if entry != part {
		where = fmt.Sprintf(" in %q", entry)
	}
	return fmt.Errorf("permissions %s: %q%s is not a valid %s: write tokens joined by single dots, without blanks, \">\" only as the last", list, part, where, what)
}

func (r Responses) withDefaults() *Responses {
	if r.Max == 0 {
		r.Max = DefaultMaxResponses
	}
	if r.Expires == 0 {
		r.Expires = DefaultExpires
	}
	return &r
}

func clone(s Spec) Spec {
	rules := func(r *Rules) *Rules {
		if r == nil {
			return nil
		}
		return &Rules{Allow: slices.Clone(r.Allow), Deny: slices.Clone(r.Deny)}
	}
	s.Publish, s.Subscribe = rules(s.Publish), rules(s.Subscribe)
	if s.Responses != nil {
		r := *s.Responses
		s.Responses = &r
	}
	return s
}

// Publish returns what may be published to besides responses; nil when that is
// not restricted.
func (p *Permissions) Publish() *Set {
	if p == nil {
		return nil
	}
	return p.publish
}

// Responses returns the right to respond with its defaults filled in; nil when
// there is none. The caller does not change it.
func (p *Permissions) Responses() *Responses {
	if p == nil {
		return nil
	}
	return p.responses
}

// Subscribe reports whether a subscription to subject may be made; queue is its
// queue group, "" for a plain one. A non-nil deny says that the subscription is
// wider than what may be received: of its messages only those go out whose
// subject deny.Allows.
func (p *Permissions) Subscribe(subject, queue string) (ok bool, deny *Set) {
	if p == nil || p.subscribe == nil {
		return true, nil
	}
	if !p.subscribe.allows(subject, queue) {
		return false, nil
	}
	return true, p.subscribe.filter(subject, queue)
}

// Spec returns what p was compiled from, the zero Spec for a nil p. The caller
// does not change it.
func (p *Permissions) Spec() Spec {
	if p == nil {
		return Spec{}
	}
	return p.spec
}

// entry is one line of a subscribe list.
type entry struct {
	subject string
	queue   string // "": without one
}

func parseEntries(list string, lines []string) ([]entry, error) {
	blank := func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }
	var entries []entry
	for _, line := range lines {
		e := entry{subject: line}
		// Blanks at the ends are not cut off: they are no separator.
		if words := strings.FieldsFunc(line, blank); len(words) == 2 &&
			strings.HasPrefix(line, words[0]) && strings.HasSuffix(line, words[1]) {
			e = entry{subject: words[0], queue: words[1]}
			if !subject.Valid(e.queue) {
				return nil, invalid(list, line, e.queue, "queue")
			}
		}
		if !subject.Valid(e.subject) {
			return nil, invalid(list, line, e.subject, "subject")
		}
		entries = append(entries, e)
	}
	return entries, nil
}
