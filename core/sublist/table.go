package sublist

import "hash/maphash"

// table finds the child of a node by its token. One table serves all nodes of a
// Sublist: a map per node would cost several dependent cache misses a level and
// a few hundred bytes for each node with a single child. It is cut into shards
// so that growing moves only a small part of it while readers wait.
type table[T any] struct {
	seed   maphash.Seed
	shards []shard[T] // made with the first child: most accounts of many are quiet
}

const (
	shards    = 256
	shardBits = 8
	minShard  = 8
)

// shard is open addressing with linear probing; a removal shifts later entries
// back, so there are no tombstones.
type shard[T any] struct {
	slots []child[T]
	used  int
}

type child[T any] struct {
	hash uint64
	node *node[T]
}

// mix spreads the token's hash over the parents.
func mix(h, parent uint64) uint64 {
	h ^= parent * 0x9E3779B97F4A7C15
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return h ^ h>>32
}

func (t *table[T]) hashBytes(parent *node[T], token []byte) uint64 {
	return mix(maphash.Bytes(t.seed, token), parent.id)
}

func (t *table[T]) hashString(parent *node[T], token string) uint64 {
	return mix(maphash.String(t.seed, token), parent.id)
}

// get returns parent's literal child token, or nil.
func (t *table[T]) get(parent *node[T], token []byte) *node[T] {
	if parent.kids == 0 {
		return nil
	}
	h := t.hashBytes(parent, token)
	s := &t.shards[h%shards]
	mask := uint64(len(s.slots) - 1)
	if len(s.slots) == 0 {
		return nil
	}
	for i := h >> shardBits & mask; ; i = (i + 1) & mask {
		c := &s.slots[i]
		if c.node == nil {
			return nil
		}
		if c.hash == h && c.node.parent == parent && c.node.is(token) {
			return c.node
		}
	}
}

// put adds a child that is not in the table.
func (t *table[T]) put(parent, n *node[T]) {
	if t.shards == nil {
		t.shards = make([]shard[T], shards)
	}
	h := t.hashString(parent, n.token)
	s := &t.shards[h%shards]
	if 4*(s.used+1) > 3*len(s.slots) {
		s.resize(max(2*len(s.slots), minShard))
	}
	s.place(child[T]{h, n})
	s.used++
	parent.kids++
}

func (s *shard[T]) place(c child[T]) {
	mask := uint64(len(s.slots) - 1)
	i := c.hash >> shardBits & mask
	for s.slots[i].node != nil {
		i = (i + 1) & mask
	}
	s.slots[i] = c
}

func (s *shard[T]) resize(n int) {
	old := s.slots
	s.slots = make([]child[T], n)
	for _, c := range old {
		if c.node != nil {
			s.place(c)
		}
	}
}

// remove takes a child out, which is in the table.
func (t *table[T]) remove(parent, n *node[T]) {
	h := t.hashString(parent, n.token)
	s := &t.shards[h%shards]
	mask := uint64(len(s.slots) - 1)
	i := h >> shardBits & mask
	for s.slots[i].node != n {
		i = (i + 1) & mask
	}
	for j := i; ; {
		j = (j + 1) & mask
		c := s.slots[j]
		if c.node == nil {
			break
		}
		// c may move to the hole at i unless its home lies behind it.
		if home := c.hash >> shardBits & mask; (j-home)&mask >= (j-i)&mask {
			s.slots[i] = c
			i = j
		}
	}
	s.slots[i] = child[T]{}
	s.used--
	parent.kids--
	if s.used == 0 {
		s.slots = nil
	} else if len(s.slots) > minShard && 8*s.used < len(s.slots) {
		s.resize(len(s.slots) / 4)
	}
}

// all calls f for every child of every node until it returns false.
func (t *table[T]) all(f func(*node[T]) bool) bool {
	for i := range t.shards {
		for _, c := range t.shards[i].slots {
			if c.node != nil && !f(c.node) {
				return false
			}
		}
	}
	return true
}
