package hook

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
)

// Binding is a hook at the messages whose subjects match a pattern.
type Binding struct {
	Pattern string
	// Reserved says that a pattern that begins with a wildcard means subjects that
	// begin with "$", "_INBOX." and "_R_." as well.
	Reserved bool

	// ID is the same for bindings of one hook to several patterns: a message that
	// several of them match meets it once. 0 is none.
	ID uint64

	Publish Publish // nil for none
	Deliver Deliver // nil for none

	// LeafIn sees what comes over links to other servers, LeafOut what is about to
	// go over them, once for all of them; nil for none.
	LeafIn  Publish
	LeafOut Deliver
}

// Table finds the hooks for a subject among many. It does not change and is safe
// for concurrent use.
type Table struct {
	bindings []*Binding
	root     node

	mu     sync.RWMutex
	chains map[string]*Chain // by the numbers of their bindings
}

// node is what is bound behind some tokens.
type node struct {
	next map[string]*node
	any  *node   // behind a token of any name
	here []int32 // numbers of bindings that end here
	rest []int32 // that end here by ">"
}

// maxChains bounds how many chains a Table remembers; what is usual is a handful.
const maxChains = 4096

// NewTable returns a Table, nil without bindings. Chains run in the order given.
func NewTable(bindings []Binding) *Table {
	if len(bindings) == 0 {
		return nil
	}
	t := &Table{chains: map[string]*Chain{}}
	for i := range bindings {
		b := bindings[i]
		t.bindings = append(t.bindings, &b)
		n := &t.root
		tokens := strings.Split(b.Pattern, ".")
		for j, token := range tokens {
			switch {
			case token == ">" && j == len(tokens)-1:
				n.rest = append(n.rest, int32(i))
				n = nil
			case token == "*":
				if n.any == nil {
					n.any = &node{}
				}
				n = n.any
			default:
				if n.next == nil {
					n.next = map[string]*node{}
				}
				if n.next[token] == nil {
					n.next[token] = &node{}
				}
				n = n.next[token]
			}
		}
		if n != nil {
			n.here = append(n.here, int32(i))
		}
	}
	return t
}

// Chain returns the hooks for messages on subj, nil for none. It does not
// allocate for a combination of hooks that came before, and does not keep subj.
func (t *Table) Chain(subj []byte) *Chain {
	if t == nil {
		return nil
	}
	var room [16]int32
	found := t.root.collect(subj, room[:0])
	if len(found) == 0 {
		return nil
	}
	if reserved(subj) {
		found = slices.DeleteFunc(found, func(i int32) bool { b := t.bindings[i]; return !b.Reserved && b.wild() })
		if len(found) == 0 {
			return nil
		}
	}
	slices.Sort(found)
	var bytes [64]byte
	key := bytes[:0]
	for _, i := range found {
		key = binary.LittleEndian.AppendUint32(key, uint32(i))
	}
	t.mu.RLock()
	c := t.chains[string(key)]
	t.mu.RUnlock()
	if c != nil {
		return c
	}
	list := make([]*Binding, len(found))
	for k, i := range found {
		list[k] = t.bindings[i]
	}
	c = newChain(list)
	t.mu.Lock()
	defer t.mu.Unlock()
	if was := t.chains[string(key)]; was != nil {
		return was
	}
	if len(t.chains) < maxChains {
		t.chains[string(key)] = c
	}
	return c
}

// collect appends the numbers of the bindings behind n that match the tokens in
// subj.
func (n *node) collect(subj []byte, found []int32) []int32 {
	for {
		found = append(found, n.rest...)
		token, more := subj, []byte(nil)
		dot := bytes.IndexByte(subj, '.')
		if dot >= 0 {
			token, more = subj[:dot], subj[dot+1:]
		}
		next := n.next[string(token)]
		if n.any != nil {
			if dot < 0 {
				found = append(found, n.any.here...)
			} else {
				found = n.any.collect(more, found)
			}
		}
		if next == nil {
			return found
		}
		if dot < 0 {
			return append(found, next.here...)
		}
		n, subj = next, more
	}
}

// reserved reports whether subj is of a kind that wildcards don't mean: the
// system's own, and replies.
func reserved(subj []byte) bool {
	return len(subj) > 0 && (subj[0] == '$' || bytes.HasPrefix(subj, []byte("_INBOX.")) || bytes.HasPrefix(subj, []byte("_R_.")))
}
