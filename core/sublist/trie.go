package sublist

import "strings"

// node is one token of a pattern. Its literal children are in the Sublist's
// table, under its id. What a match looks at stands first, in one cache line.
type node[T any] struct {
	parent *node[T] // nil at the root
	short  [16]byte // the token, as far as it goes
	length int32    // of the token
	kids   int32    // literal children
	id     uint64
	pwc    *node[T]
	fwc    *node[T]
	// Plain subscriptions: most nodes have one, which is at hand without
	// another hop; index -1.
	one *Entry[T]

	token  string
	plain  []*Entry[T]
	queues []*group[T]
}

func newNode[T any](id uint64, parent *node[T], token string) *node[T] {
	n := &node[T]{id: id, parent: parent, token: token, length: int32(len(token))}
	copy(n.short[:], token)
	return n
}

// is reports whether n's token is token, without a look beyond n for short ones.
func (n *node[T]) is(token []byte) bool {
	if int(n.length) != len(token) {
		return false
	}
	if len(token) <= len(n.short) {
		return string(n.short[:len(token)]) == string(token)
	}
	return n.token == string(token)
}

type group[T any] struct {
	name    string
	members []*Entry[T]
}

// descend returns the node of subject, making what is missing.
func (s *Sublist[T]) descend(subject string) *node[T] {
	n := &s.root
	for rest, more := subject, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		var next *node[T]
		switch token {
		case "*":
			next = n.pwc
		case ">":
			next = n.fwc
		default:
			next = s.kids.get(n, []byte(token))
		}
		if next == nil {
			s.nodes++
			next = newNode(s.nodes, n, token)
			switch token {
			case "*":
				n.pwc = next
			case ">":
				n.fwc = next
			default:
				s.kids.put(n, next)
			}
		}
		n = next
	}
	return n
}

// prune removes n and its ancestors as far as they are empty.
func (s *Sublist[T]) prune(n *node[T]) {
	for n != &s.root && n.one == nil && n.plain == nil && n.queues == nil && n.kids == 0 && n.pwc == nil && n.fwc == nil {
		p := n.parent
		switch n.token {
		case "*":
			p.pwc = nil
		case ">":
			p.fwc = nil
		default:
			s.kids.remove(p, n)
		}
		n = p
	}
}

func (n *node[T]) add(e *Entry[T]) {
	e.node = n
	switch {
	case e.Queue != "":
		g := n.group(e.Queue)
		e.group, e.index = g, len(g.members)
		g.members = append(g.members, e)
	case n.one == nil:
		n.one, e.index = e, -1
	default:
		e.index = len(n.plain)
		n.plain = append(n.plain, e)
	}
}

func (n *node[T]) drop(e *Entry[T]) {
	switch g := e.group; {
	case g != nil:
		if g.members = cut(g.members, e.index); len(g.members) == 0 {
			n.dropGroup(g)
		}
	case e.index >= 0:
		n.plain = cut(n.plain, e.index)
	default:
		n.one = nil
		if last := len(n.plain) - 1; last >= 0 {
			n.one = n.plain[last]
			n.plain = cut(n.plain, last)
			n.one.index = -1
		}
	}
	e.node, e.group = nil, nil
}

// cut removes index i by moving the last entry there, and gives memory back when
// most of it is unused.
func cut[T any](list []*Entry[T], i int) []*Entry[T] {
	last := len(list) - 1
	list[i] = list[last]
	list[i].index = i
	list[last] = nil
	list = list[:last]
	if last == 0 {
		return nil
	}
	if cap(list) > 64 && last < cap(list)/4 {
		list = append(make([]*Entry[T], 0, 2*last), list...)
	}
	return list
}

func (n *node[T]) group(name string) *group[T] {
	for _, g := range n.queues {
		if g.name == name {
			return g
		}
	}
	g := &group[T]{name: name}
	n.queues = append(n.queues, g)
	return g
}

func (n *node[T]) dropGroup(g *group[T]) {
	for i, x := range n.queues {
		if x == g {
			last := len(n.queues) - 1
			n.queues[i] = n.queues[last]
			n.queues[last] = nil
			n.queues = n.queues[:last]
			break
		}
	}
	if len(n.queues) == 0 {
		n.queues = nil
	}
}
