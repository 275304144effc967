package permission

import (
	"slices"
	"strings"
	"sync"

	"ganglion/core/subject"
)

// maxFilters bounds what one user's choice of queue names can make us keep.
const maxFilters = 64

// subscriptions are the rules for subscribing.
type subscriptions struct {
	closed bool // there is an allow list
	allow  []entry
	deny   []entry

	// mu guards filters: what filter made, by the entries in it.
	mu      sync.Mutex
	filters map[string]*Set
}

func newSubscriptions(r *Rules) (*subscriptions, error) {
	allow, err := parseEntries("subscribe.allow", r.Allow)
	if err != nil {
		return nil, err
	}
	deny, err := parseEntries("subscribe.deny", r.Deny)
	if err != nil {
		return nil, err
	}
	return &subscriptions{closed: r.Allow != nil, allow: allow, deny: deny}, nil
}

// concerns reports whether e is a rule for subscriptions in queue.
func (e entry) concerns(queue string) bool {
	return e.queue == "" || queue != "" && subject.Covers(e.queue, queue)
}

// allows reports whether a subscription may be made at all. Its subject is
// matched as if it were a literal.
func (s *subscriptions) allows(subj, queue string) bool {
	for _, e := range s.deny {
		if e.concerns(queue) && subject.Match(e.subject, subj) {
			return false
		}
	}
	if !s.closed {
		return true
	}
	var plain, others, ours bool
	for _, e := range s.allow {
		switch {
		case !subject.Match(e.subject, subj):
		case e.queue == "":
			plain = true
		case e.concerns(queue):
			ours = true
		default:
			others = true
		}
	}
	if queue != "" && (ours || others) {
		return ours
	}
	return plain
}

// filter returns what to let through of the messages of an allowed subscription;
// nil when that is all of them. It is shared by all subscriptions with the same
// filter, so that they cost no memory.
func (s *subscriptions) filter(subj, queue string) *Set {
	if !subject.HasWildcard(subj) {
		return nil
	}
	var r Rules
	if slices.ContainsFunc(s.deny, func(e entry) bool {
		return e.concerns(queue) && subject.Overlap(e.subject, subj)
	}) {
		r.Deny = subjects(s.deny, queue)
	}
	// Only "*" in an allow entry against ">" in the subscription lets in
	// what is wider than the entry.
	if s.closed && strings.HasSuffix(subj, ">") && !slices.ContainsFunc(s.allow, func(e entry) bool {
		return e.concerns(queue) && subject.Covers(e.subject, subj)
	}) {
		r.Allow = subjects(s.allow, queue)
	}
	if r.Allow == nil && r.Deny == nil {
		return nil
	}
	return s.compiled(r)
}

// subjects returns the subjects of the entries that concern queue.
func subjects(entries []entry, queue string) []string {
	var list []string
	for _, e := range entries {
		if e.concerns(queue) {
			list = append(list, e.subject)
		}
	}
	return list
}

func (s *subscriptions) compiled(r Rules) *Set {
	// No subject has a blank.
	key := strings.Join(r.Allow, " ") + "  " + strings.Join(r.Deny, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.filters[key]; set != nil {
		return set
	}
	set := newSet(r)
	if s.filters == nil {
		s.filters = map[string]*Set{}
	}
	if len(s.filters) < maxFilters {
		s.filters[key] = set
	}
	return set
}
