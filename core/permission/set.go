package permission

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"

	"ganglion/core/subject"
)

// Set is a set of literal subjects: what patterns allow without what others
// deny. It does not change and may be used by any number of goroutines.
type Set struct {
	start *state // nil: lists is to be used
	lists *lists

	// open is the answer for a subject with an empty token, which no
	// pattern matches.
	open bool
	// depth is how many tokens a pattern looks at, at most.
	depth int
}

func newSet(r Rules) *Set {
	s := &Set{open: r.Allow == nil}
	if s.start = compile(r); s.start == nil {
		s.lists = newLists(r)
	}
	for _, p := range slices.Concat(r.Allow, r.Deny) {
		n := strings.Count(p, ".") + 1
		if strings.HasSuffix("."+p, ".>") {
			n-- // it wants that there are more tokens and no matter which
		}
		s.depth = max(s.depth, n)
	}
	return s
}

// Depth returns how many of a subject's tokens s looks at, at most. See Deciding.
func (s *Set) Depth() int { return s.depth }

// Deciding returns the beginning of subject that decides whether it is in a Set
// of at most that Depth: all subjects with the same one are, or none is. It is
// the tokens looked at with the dot behind them, or all of subject; nil for a
// subject that ends in a dot.
func Deciding(subject []byte, depth int) []byte {
	n := len(subject)
	switch {
	case n == 0 || subject[n-1] == '.': // as others begin
		return nil
	case n < 8 || n > 63:
		return subject
	}
	dots := dotMask(subject)
	if dots&(dots<<1|1) != 0 { // with an empty token every byte counts
		return subject
	}
	for ; depth > 1; depth-- {
		dots &= dots - 1
	}
	if dots == 0 {
		return subject
	}
	return subject[:bits.TrailingZeros64(dots)+1]
}

// Allows reports whether subject, in which wildcards are ordinary tokens, is in
// the set. A nil Set has all subjects. It does not allocate and does not keep
// subject.
func (s *Set) Allows(subject []byte) bool {
	if s == nil {
		return true
	}
	n := len(subject)
	if n < 8 || n > 63 || s.start == nil {
		return s.allowsAny(subject)
	}
	dots := dotMask(subject)
	if dots&(dots<<1|1) != 0 || dots>>(n-1) != 0 {
		return s.open
	}
	ends := dots | 1<<n
	at := s.start
	for i := 0; ends != 0 && !at.final; {
		j := bits.TrailingZeros64(ends)
		ends &= ends - 1
		var w uint64
		if i+8 <= n {
			w = binary.LittleEndian.Uint64(subject[i:])
		} else {
			w = binary.LittleEndian.Uint64(subject[n-8:]) >> (8 * (i + 8 - n) & 63)
		}
		if j-i < 8 {
			w &= 1<<(8*(j-i)) - 1
		}
		at = at.next(w, subject[i:j])
		i = j + 1
	}
	return at.end
}

// allowsAny is Allows for subjects of any length.
func (s *Set) allowsAny(subj []byte) bool {
	if subject.HasEmptyToken(subj) {
		return s.open
	}
	if s.start == nil {
		return s.lists.allows(subj)
	}
	at := s.start
	for i := 0; i <= len(subj) && !at.final; {
		token := subj[i:]
		if j := bytes.IndexByte(token, '.'); j >= 0 {
			token = token[:j]
		}
		at = at.next(word(token), token)
		i += len(token) + 1
	}
	return at.end
}

// dotMask returns which bytes of b, of 8 to 64, are dots: the first is bit 0.
func dotMask(b []byte) uint64 {
	const (
		dots = 0x2e2e2e2e2e2e2e2e
		low  = 0x7f7f7f7f7f7f7f7f
	)
	in := func(w uint64) uint64 {
		w ^= dots
		zeros := ^((w&low + low) | w | low) // the top bit of each byte that was a dot
		return zeros >> 7 * 0x0102040810204080 >> 56
	}
	mask := in(binary.LittleEndian.Uint64(b[len(b)-8:])) << (len(b) - 8)
	for i := 0; i+8 < len(b); i += 8 {
		mask |= in(binary.LittleEndian.Uint64(b[i:])) << i
	}
	return mask
}

// word returns the first eight bytes of a token, zeros where it is shorter.
func word(token []byte) uint64 {
	if len(token) >= 8 {
		return binary.LittleEndian.Uint64(token)
	}
	var w uint64
	for i := range token {
		w |= uint64(token[i]) << (8 * i)
	}
	return w
}
