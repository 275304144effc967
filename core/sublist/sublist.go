package sublist

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Slots is the number of reader locks; a reader's slot is taken modulo Slots.
const Slots = 8

// generations is the number of counters that first tokens are hashed into.
const generations = 256

// slot is a lock on a cache line of its own.
type slot struct {
	sync.Mutex
	matches uint64 // guarded by the lock
	_       [48]byte
}

// Entry is one subscription in a Sublist. Its exported fields must not change
// while it is in the list.
type Entry[T any] struct {
	Value   T
	Subject string
	Queue   string // "" for a plain subscription

	node  *node[T]
	group *group[T]
	index int // in node.plain or group.members; -1 for node.one
}

// Sublist is a set of subscriptions. Create it with New; it is safe for
// concurrent use.
type Sublist[T any] struct {
	slots [Slots]slot
	gens  [generations]atomic.Uint64

	// Guarded by all slots for writing, by any for reading.
	root    node[T]
	kids    table[T]
	nodes   uint64 // made so far: ids
	count   int
	inserts uint64
	removes uint64
}

// New returns an empty Sublist.
func New[T any]() *Sublist[T] {
	s := &Sublist[T]{}
	s.kids.seed = maphash.MakeSeed()
	return s
}

// Stats are the counters of a Sublist.
type Stats struct {
	Count            int
	Inserts, Removes uint64
	Matches          uint64
}

// Stats returns the counters.
func (s *Sublist[T]) Stats() Stats {
	s.lock()
	defer s.unlock()
	st := Stats{Count: s.count, Inserts: s.inserts, Removes: s.removes}
	for i := range s.slots {
		st.Matches += s.slots[i].matches
	}
	return st
}

func (s *Sublist[T]) lock() {
	for i := range s.slots {
		s.slots[i].Lock()
	}
}

func (s *Sublist[T]) unlock() {
	for i := range s.slots {
		s.slots[i].Unlock()
	}
}

// Generation returns the counter that moves whenever a change may concern
// subject. Load it before Match; what Match returned holds while it is unmoved.
func (s *Sublist[T]) Generation(subject []byte) *atomic.Uint64 {
	return &s.gens[hashFirst(subject)]
}

// Invalidate moves every generation, for changes beside the list that results
// depend on.
func (s *Sublist[T]) Invalidate() {
	for i := range s.gens {
		s.gens[i].Add(1)
	}
}

func (s *Sublist[T]) changed(subject string) {
	if c := subject[0]; (c == '*' || c == '>') && (len(subject) == 1 || subject[1] == '.') {
		s.Invalidate()
		return
	}
	s.gens[hashFirst(subject)].Add(1)
}

// hashFirst hashes the first token (FNV-1a) into the range of gens.
func hashFirst[S []byte | string](subject S) uint32 {
	h := uint32(2166136261)
	for i := 0; i < len(subject) && subject[i] != '.'; i++ {
		h = (h ^ uint32(subject[i])) * 16777619
	}
	return (h ^ h>>8 ^ h>>16) % generations
}

// Insert adds e, whose Subject must be valid for a subscription (no empty
// token, > only last). e must not be in a list already.
func (s *Sublist[T]) Insert(e *Entry[T]) {
	s.lock()
	s.descend(e.Subject).add(e)
	s.count++
	s.inserts++
	s.changed(e.Subject)
	s.unlock()
}

// Remove takes e out. It returns false if it was not in.
func (s *Sublist[T]) Remove(e *Entry[T]) bool {
	s.lock()
	ok := s.remove(e)
	s.unlock()
	return ok
}

// RemoveAll takes all of es out under one lock, which is what a closing
// connection with many subscriptions wants. It returns those that were in, in es's
// memory.
func (s *Sublist[T]) RemoveAll(es []*Entry[T]) (out []*Entry[T]) {
	s.lock()
	out = es[:0]
	for i, e := range es {
		if s.remove(e) {
			out = append(out, e)
		}
		if i%256 == 255 { // readers may pass
			s.unlock()
			s.lock()
		}
	}
	s.unlock()
	return out
}

func (s *Sublist[T]) remove(e *Entry[T]) bool {
	n := e.node
	if n == nil {
		return false
	}
	n.drop(e)
	s.prune(n)
	s.count--
	s.removes++
	s.changed(e.Subject)
	return true
}

// All returns the values of all entries, in no order.
func (s *Sublist[T]) All() []T {
	s.lock()
	defer s.unlock()
	all := make([]T, 0, s.count)
	all = s.root.appendAll(all)
	s.kids.all(func(n *node[T]) bool { all = n.appendAll(all); return true })
	return all
}

// appendAll appends the values of n's entries and of those below n that are not
// in the table of literal children.
func (n *node[T]) appendAll(all []T) []T {
	if n.one != nil {
		all = append(all, n.one.Value)
	}
	for _, e := range n.plain {
		all = append(all, e.Value)
	}
	for _, g := range n.queues {
		for _, e := range g.members {
			all = append(all, e.Value)
		}
	}
	for _, c := range []*node[T]{n.pwc, n.fwc} {
		if c != nil {
			all = c.appendAll(all)
		}
	}
	return all
}
