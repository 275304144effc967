package sublist

import "strings"

// descend returns the node of subject below n, making what is missing.
func (n *node[T]) descend(subject string) *node[T] {
	for rest, more := subject, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if n.next == nil {
			n.next = &level[T]{}
		}
		l := n.next
		var child *node[T]
		switch token {
		case "*":
			child = l.pwc
		case ">":
			child = l.fwc
		default:
			child = l.lits[token]
		}
		if child == nil {
			child = &node[T]{parent: n, token: token}
			switch token {
			case "*":
				l.pwc = child
			case ">":
				l.fwc = child
			default:
				if l.lits == nil {
					l.lits = make(map[string]*node[T], 1)
				}
				l.lits[token] = child
			}
		}
		n = child
	}
	return n
}

// prune removes n and its ancestors up to root as far as they are empty.
func (n *node[T]) prune(root *node[T]) {
	for n != root && n.plain == nil && n.queues == nil && n.next == nil {
		p := n.parent
		l := p.next
		switch n.token {
		case "*":
			l.pwc = nil
		case ">":
			l.fwc = nil
		default:
			delete(l.lits, n.token)
			if len(l.lits) == 0 {
				l.lits = nil
			}
		}
		if l.lits == nil && l.pwc == nil && l.fwc == nil {
			p.next = nil
		}
		n = p
	}
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
