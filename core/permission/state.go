package permission

// A state is what is left of the patterns after some tokens of a subject.
type state struct {
	// end is the answer when the subject ends here; in a final state the
	// answer whatever follows.
	end   bool
	final bool

	// other is where tokens lead that no edge names.
	other *state

	// edges are in any order when shift is 0. Otherwise they are a hash
	// table of 1<<(64-shift) entries with linear probing, of which at least
	// half have no state.
	edges []edge
	shift uint8
}

// edge leads from a token to a state.
type edge struct {
	word  uint64 // the token's first eight bytes
	token string
	to    *state
}

var (
	accept = &state{end: true, final: true}
	refuse = &state{final: true}
)

// maxLinear is how many edges are compared one after the other; that many cost
// about as much as the hash.
const maxLinear = 4

// next returns the state after a token; w is its word.
func (s *state) next(w uint64, token []byte) *state {
	if s.shift == 0 {
		for i := range s.edges {
			if e := &s.edges[i]; e.word == w && e.is(token) {
				return e.to
			}
		}
		return s.other
	}
	for i := hash(w, token) >> s.shift; ; i++ {
		e := &s.edges[i&uint64(len(s.edges)-1)]
		if e.to == nil {
			return s.other
		}
		if e.word == w && e.is(token) {
			return e.to
		}
	}
}

// is reports whether e is for a token that has the same word.
func (e *edge) is(token []byte) bool {
	return len(e.token) == len(token) && (len(token) <= 8 || e.token[8:] == string(token[8:]))
}

// hash spreads its entropy to the upper bits. Of long tokens it takes all bytes,
// for names often differ in their last ones only.
func hash(w uint64, token []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := (w ^ uint64(len(token))) * odd
	for i := 8; i < len(token); i += 8 {
		h = (h ^ h>>29 ^ word(token[i:])) * odd
	}
	return (h ^ h>>32) * odd
}

// setEdges gives s its edges in the form that next expects.
func (s *state) setEdges(edges []edge) {
	s.edges = edges
	if len(edges) <= maxLinear {
		return
	}
	size := 8
	s.shift = 61
	for size < 2*len(edges) {
		size *= 2
		s.shift--
	}
	s.edges = make([]edge, size)
	for _, e := range edges {
		i := hash(e.word, []byte(e.token)) >> s.shift
		for s.edges[i].to != nil {
			i = (i + 1) % uint64(size)
		}
		s.edges[i] = e
	}
}
