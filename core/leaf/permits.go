package leaf

import (
	"strings"

	"ganglion/core/permission"
	"ganglion/core/subject"
)

// scope is what may be wanted over a link. Other than with clients, a wish for more
// than is allowed is let in as long as some of it is, and filtered. nil is
// everything.
type scope struct {
	allow, deny []key
	set         *permission.Set // of the subjects of messages
}

// newScope returns the scope of r with more subjects denied, nil for everything.
func newScope(r *permission.Rules, deny []string) (*scope, error) {
	if r == nil && len(deny) == 0 {
		return nil, nil
	}
	s := &scope{}
	var set permission.Rules
	if r != nil {
		for _, e := range r.Allow {
			k := keyOf(e)
			s.allow, set.Allow = append(s.allow, k), append(set.Allow, k.subject)
		}
		deny = append(append([]string(nil), r.Deny...), deny...)
	}
	for _, e := range deny {
		k := keyOf(e)
		s.deny = append(s.deny, k)
		if k.queue == "" {
			set.Deny = append(set.Deny, k.subject)
		}
	}
	p, err := permission.Compile(permission.Spec{Publish: &set})
	if err != nil {
		return nil, err
	}
	s.set = p.Publish()
	return s, nil
}

// keyOf reads "subject" or "subject queue".
func keyOf(entry string) key {
	f := strings.Fields(entry)
	switch len(f) {
	case 0:
		return key{}
	case 1:
		return key{subject: f[0]}
	}
	return key{f[0], f[1]}
}

// lets reports whether some of what k wants is in s.
func (s *scope) lets(k key) bool {
	if s == nil {
		return true
	}
	forQueue := func(e key) bool { return e.queue == "" || k.queue != "" && subject.Match(e.queue, k.queue) }
	for _, e := range s.deny {
		if forQueue(e) && subject.Covers(e.subject, k.subject) {
			return false
		}
	}
	if len(s.allow) == 0 {
		return true
	}
	for _, e := range s.allow {
		if forQueue(e) && subject.Overlap(e.subject, k.subject) {
			return true
		}
	}
	return false
}

// filter returns what leaves the rest of a wish out, nil for nothing.
func (s *scope) filter() *permission.Set {
	if s == nil {
		return nil
	}
	return s.set
}

// subscribeRules returns what p says of subscriptions, nil for nothing.
func subscribeRules(p *permission.Permissions) *permission.Rules {
	if p == nil {
		return nil
	}
	return p.Spec().Subscribe
}
