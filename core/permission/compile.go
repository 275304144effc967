package permission

import (
	"encoding/binary"
	"slices"
	"strings"
)

// maxWork bounds the time and memory of compiling: in how many states a token of
// a pattern may be looked at, on average. What is usual needs one or two.
const maxWork = 64

// compiler makes states of sets of patterns.
type compiler struct {
	patterns []pattern
	allows   int // patterns[:allows] allow, the others deny
	states   map[string]*state
	work     int // what may still be done
}

// compile returns the start of the automaton for r; nil when it would get too
// large.
func compile(r Rules) *state {
	c := &compiler{allows: len(r.Allow), states: map[string]*state{}}
	for _, p := range slices.Concat(r.Allow, r.Deny) {
		tokens := strings.Split(p, ".")
		c.patterns = append(c.patterns, tokens)
		c.work += maxWork * len(tokens)
	}
	alive := make([]int, len(c.patterns))
	for i := range alive {
		alive[i] = i
	}
	return c.state(0, alive, r.Allow == nil)
}

// state returns the state after depth tokens that the patterns alive, in
// ascending order, agree with. open says that the subject is allowed unless one
// of them denies it. It takes alive over.
func (c *compiler) state(depth int, alive []int, open bool) *state {
	denies, _ := slices.BinarySearch(alive, c.allows)
	switch {
	case open:
		if alive = alive[denies:]; len(alive) == 0 {
			return accept
		}
	case denies == 0:
		return refuse
	}
	key := stateKey(depth, alive)
	if s, ok := c.states[key]; ok {
		return s
	}
	if c.work -= len(alive); c.work < 0 {
		return nil
	}
	s := &state{end: open}
	c.states[key] = s

	named := map[string][]int{}
	var wild []int
	for _, i := range alive {
		switch p := c.patterns[i]; {
		case depth == len(p):
			s.end = i < c.allows
		case p[depth] == "*" || p[depth] == ">" && depth == len(p)-1:
			wild = append(wild, i)
		default:
			named[p[depth]] = append(named[p[depth]], i)
		}
	}
	if s.other = c.after(depth, wild, open); s.other == nil {
		return nil
	}
	var edges []edge
	for token, patterns := range named {
		patterns = append(patterns, wild...)
		slices.Sort(patterns)
		to := c.after(depth, patterns, open)
		if to == nil {
			return nil
		}
		if to != s.other {
			edges = append(edges, edge{word: word([]byte(token)), token: token, to: to})
		}
	}
	s.setEdges(edges)
	return s
}

// after returns the state behind a token that patterns agree with at depth.
func (c *compiler) after(depth int, patterns []int, open bool) *state {
	var alive []int
	for _, i := range patterns {
		switch p := c.patterns[i]; {
		case p[depth] != ">" || depth < len(p)-1:
			alive = append(alive, i)
		case i >= c.allows:
			return refuse
		default:
			open = true
		}
	}
	return c.state(depth+1, alive, open)
}

// stateKey needs no open: that is so when no pattern alive allows.
func stateKey(depth int, alive []int) string {
	key := binary.AppendUvarint(nil, uint64(depth))
	for _, i := range alive {
		key = binary.AppendUvarint(key, uint64(i))
	}
	return string(key)
}
