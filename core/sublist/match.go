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
}

// Reset empties r and keeps its memory.
func (r *Result[T]) Reset() {
	clear(r.Plain)
	r.Plain = r.Plain[:0]
	for i := range r.Groups {
		g := &r.Groups[i]
		clear(g.Members)
		g.Members, g.Name = g.Members[:0], ""
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
	s.root.next.match(subject, r)
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

func (l *level[T]) match(subject []byte, r *Result[T]) {
	for l != nil {
		if l.fwc != nil {
			l.fwc.collect(r)
		}
		i := bytes.IndexByte(subject, '.')
		if i < 0 {
			if l.pwc != nil {
				l.pwc.collect(r)
			}
			if n := l.lits[string(subject)]; n != nil {
				n.collect(r)
			}
			return
		}
		n := l.lits[string(subject[:i])]
		subject = subject[i+1:]
		if l.pwc != nil {
			if n == nil {
				l = l.pwc.next
				continue
			}
			l.pwc.next.match(subject, r)
		}
		if n == nil {
			return
		}
		l = n.next
	}
}

func (n *node[T]) collect(r *Result[T]) {
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

// Interested reports whether anybody at all is interested in subject.
func (s *Sublist[T]) Interested(reader int, subject []byte) bool {
	var r Result[T]
	s.Match(reader, subject, &r)
	return !r.Empty()
}

// Each calls f for every entry until it returns false; f must not call the
// list. The order is not defined.
func (s *Sublist[T]) Each(reader int, f func(*Entry[T]) bool) {
	l := &s.slots[reader%Slots]
	l.Lock()
	defer l.Unlock()
	s.root.each(f)
}

func (n *node[T]) each(f func(*Entry[T]) bool) bool {
	for _, e := range n.plain {
		if !f(e) {
			return false
		}
	}
	for _, g := range n.queues {
		for _, e := range g.members {
			if !f(e) {
				return false
			}
		}
	}
	if n.next == nil {
		return true
	}
	for _, c := range []*node[T]{n.next.pwc, n.next.fwc} {
		if c != nil && !c.each(f) {
			return false
		}
	}
	for _, c := range n.next.lits {
		if !c.each(f) {
			return false
		}
	}
	return true
}
