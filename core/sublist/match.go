package sublist

import "bytes"

// Result is who is interested in one subject. It owns its memory, so that a
// reader reuses it from match to match.
type Result[T any] struct {
	Plain  []T
	Groups []Group[T]
}

// Group is one queue group of a Result: of its members one gets the message.
// Subscriptions of one group name on several matching subjects are one Group.
type Group[T any] struct {
	Name    string
	Members []T
	// Far is for who uses the result: how many members at the end come last.
	Far int
}

// Reset empties r and keeps its memory.
func (r *Result[T]) Reset() {
	clear(r.Plain)
	r.Plain = r.Plain[:0]
	for i := range r.Groups {
		g := &r.Groups[i]
		clear(g.Members)
		g.Members, g.Name, g.Far = g.Members[:0], "", 0
	}
	r.Groups = r.Groups[:0]
}

// Empty reports whether nobody is interested.
func (r *Result[T]) Empty() bool { return len(r.Plain) == 0 && len(r.Groups) == 0 }

// Match fills r with everybody interested in the literal subject; wildcard
// characters in it stand for themselves. A subject with an empty token matches
// nothing. reader is the caller's slot.
func (s *Sublist[T]) Match(reader int, subject []byte, r *Result[T]) {
	r.Reset()
	if !wellFormed(subject) {
		return
	}
	l := &s.slots[reader%Slots]
	l.Lock()
	l.matches++
	s.match(&s.root, subject, r)
	l.Unlock()
}

// wellFormed reports whether subject has no empty token.
func wellFormed(subject []byte) bool {
	prev := byte('.')
	for _, c := range subject {
		if c == '.' && prev == '.' {
			return false
		}
		prev = c
	}
	return prev != '.'
}

// match collects what lies below n.
func (s *Sublist[T]) match(n *node[T], subject []byte, r *Result[T]) {
	for {
		if n.fwc != nil {
			n.fwc.collect(r)
		}
		i := bytes.IndexByte(subject, '.')
		if i < 0 {
			if n.pwc != nil {
				n.pwc.collect(r)
			}
			if lit := s.kids.get(n, subject); lit != nil {
				lit.collect(r)
			}
			return
		}
		lit := s.kids.get(n, subject[:i])
		subject = subject[i+1:]
		switch {
		case n.pwc == nil && lit == nil:
			return
		case n.pwc == nil:
			n = lit
		case lit == nil:
			n = n.pwc
		default:
			s.match(n.pwc, subject, r)
			n = lit
		}
	}
}

func (n *node[T]) collect(r *Result[T]) {
	if n.one != nil {
		r.Plain = append(r.Plain, n.one.Value)
	}
	for _, e := range n.plain {
		r.Plain = append(r.Plain, e.Value)
	}
	for _, g := range n.queues {
		into := r.group(g.name)
		for _, e := range g.members {
			into.Members = append(into.Members, e.Value)
		}
	}
}

// group finds or adds the group name, reusing the memory of an earlier match.
func (r *Result[T]) group(name string) *Group[T] {
	for i := range r.Groups {
		if r.Groups[i].Name == name {
			return &r.Groups[i]
		}
	}
	if len(r.Groups) < cap(r.Groups) {
		r.Groups = r.Groups[:len(r.Groups)+1]
	} else {
		r.Groups = append(r.Groups, Group[T]{})
	}
	g := &r.Groups[len(r.Groups)-1]
	g.Name = name
	return g
}
