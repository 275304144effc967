package account

import (
	"fmt"
	"strconv"
	"strings"

	"ganglion/core/subject"
)

// bridge translates between the subjects of an exporting account (far) and those
// that an importer knows them by (near). It is immutable.
type bridge struct {
	far, near   string // patterns
	farT, nearT []token
	plain       bool // both patterns are the same, so nothing is translated
}

// token is one token of a pattern: a literal, or the n-th wildcard of far.
type token struct {
	lit  string
	wild int  // from 1; 0 is a literal
	rest bool // ">"
}

// newBridge makes a bridge for an import of the pattern far under the name to,
// which may say $1 ... or {{wildcard(1)}} ... for far's wildcards, or repeat them
// in order. "" is the same name.
func newBridge(far, to string) (*bridge, error) {
	if to == "" {
		to = far
	}
	if !subject.Valid(far) {
		return nil, fmt.Errorf("subject %q is not valid", far)
	}
	b := &bridge{far: far}
	wilds := 0
	for _, s := range strings.Split(far, ".") {
		switch s {
		case "*":
			wilds++
			b.farT = append(b.farT, token{wild: wilds})
		case ">":
			b.farT = append(b.farT, token{rest: true})
		default:
			b.farT = append(b.farT, token{lit: s})
		}
	}
	if wilds > maxWilds {
		return nil, fmt.Errorf("subject %q has %d wildcards; %d is the most", far, wilds, maxWilds)
	}
	open := far == ">" || strings.HasSuffix(far, ".>")
	used := make([]bool, wilds+1)
	next := 0
	var near []string
	for _, s := range strings.Split(to, ".") {
		t := token{lit: s}
		switch {
		case s == ">":
			t = token{rest: true}
		case s == "*":
			next++
			t = token{wild: next}
		case wildcardName(s) > 0:
			t = token{wild: wildcardName(s)}
		}
		if t.wild > wilds {
			return nil, fmt.Errorf("%q refers to wildcard %d of %q, which has %d", to, t.wild, far, wilds)
		}
		if t.wild > 0 {
			if used[t.wild] {
				return nil, fmt.Errorf("%q uses wildcard %d of %q twice", to, t.wild, far)
			}
			used[t.wild] = true
			s = "*"
		}
		b.nearT = append(b.nearT, t)
		near = append(near, s)
	}
	b.near = strings.Join(near, ".")
	if !subject.Valid(b.near) {
		return nil, fmt.Errorf("subject %q is not valid", to)
	}
	if last := b.nearT[len(b.nearT)-1]; last.rest != open {
		return nil, fmt.Errorf("%q and %q must both end in \">\", or neither", far, to)
	}
	for i := 1; i <= wilds; i++ {
		if !used[i] {
			return nil, fmt.Errorf("%q leaves out wildcard %d of %q; use $%d", to, i, far, i)
		}
	}
	b.plain = b.far == b.near && inOrder(b.nearT)
	return b, nil
}

func inOrder(ts []token) bool {
	n := 0
	for _, t := range ts {
		if t.wild > 0 {
			if n++; t.wild != n {
				return false
			}
		}
	}
	return true
}

// wildcardName returns n for "$n" and "{{wildcard(n)}}", else 0.
func wildcardName(s string) int {
	digits, ok := strings.CutPrefix(s, "$")
	if !ok {
		in, open := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(s), " ", ""), "{{wildcard(")
		out, closed := strings.CutSuffix(in, ")}}")
		if !open || !closed {
			return 0
		}
		digits = out
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// maxWilds is how many wildcards an imported subject may have.
const maxWilds = 32

// translate appends what subj, which matches from, is called by to.
func translate(dst, subj []byte, from, to []token) []byte {
	var spans [maxWilds + 1][]byte
	var rest []byte
	at := 0
	for i := range from {
		if from[i].rest {
			rest = subj[at:]
			break
		}
		end := at
		for end < len(subj) && subj[end] != '.' {
			end++
		}
		if w := from[i].wild; w > 0 && w <= maxWilds {
			spans[w] = subj[at:end]
		}
		at = min(end+1, len(subj))
	}
	for i := range to {
		if i > 0 {
			dst = append(dst, '.')
		}
		switch t := &to[i]; {
		case t.rest:
			dst = append(dst, rest...)
		case t.wild > 0 && t.wild <= maxWilds:
			dst = append(dst, spans[t.wild]...)
		default:
			dst = append(dst, t.lit...)
		}
	}
	return dst
}

// toNear appends what the importer calls subj, which far matches.
func (b *bridge) toNear(dst, subj []byte) []byte {
	if b.plain {
		return append(dst, subj...)
	}
	return translate(dst, subj, b.farT, b.nearT)
}

// toFar appends what the exporter calls subj, which near matches.
func (b *bridge) toFar(dst, subj []byte) []byte {
	if b.plain {
		return append(dst, subj...)
	}
	return translate(dst, subj, b.nearT, b.farT)
}

// farOf returns the pattern in the exporting account of what a subscription to
// pattern in the importing one is to see; "" when it is to see nothing.
func (b *bridge) farOf(pattern string) string {
	both := intersect(pattern, b.near)
	if both == "" {
		return ""
	}
	return string(b.toFar(nil, []byte(both)))
}

// intersect returns the pattern that matches what a and b both match; "" when
// there is nothing.
func intersect(a, b string) string {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	out := make([]string, 0, max(len(as), len(bs)))
	for i := 0; ; i++ {
		switch {
		case i == len(as) && i == len(bs):
			return strings.Join(out, ".")
		case i == len(as) || i == len(bs):
			return ""
		case as[i] == ">":
			return strings.Join(append(out, bs[i:]...), ".")
		case bs[i] == ">":
			return strings.Join(append(out, as[i:]...), ".")
		case as[i] == "*":
			out = append(out, bs[i])
		case bs[i] == "*" || as[i] == bs[i]:
			out = append(out, as[i])
		default:
			return ""
		}
	}
}
