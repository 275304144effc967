package subject

// Match reports whether pattern matches the literal subject subj. Wildcard
// characters in subj stand for themselves; a subj with an empty token matches
// nothing.
func Match(pattern, subj string) bool { return match(pattern, subj) }

// MatchBytes is Match for a subject in bytes.
func MatchBytes(pattern string, subj []byte) bool { return match(pattern, subj) }

func match[T text](pattern string, subj T) bool {
	p, s := 0, 0
	for {
		pe := tokenEnd(pattern, p)
		if pattern[p:pe] == ">" && pe == len(pattern) {
			return !hasEmptyToken(subj[s:])
		}
		se := tokenEnd(subj, s)
		switch {
		case s == se:
			return false
		case pattern[p:pe] == "*":
		case pattern[p:pe] != string(subj[s:se]):
			return false
		}
		if pe == len(pattern) || se == len(subj) {
			return pe == len(pattern) && se == len(subj)
		}
		p, s = pe+1, se+1
	}
}

// Overlap reports whether some subject is matched by both patterns, which must
// be valid.
func Overlap(a, b string) bool {
	i, j := 0, 0
	for {
		ie, je := tokenEnd(a, i), tokenEnd(b, j)
		s, t := a[i:ie], b[j:je]
		if s == ">" && ie == len(a) || t == ">" && je == len(b) {
			return true
		}
		if s != t && s != "*" && t != "*" {
			return false
		}
		if ie == len(a) || je == len(b) {
			return ie == len(a) && je == len(b)
		}
		i, j = ie+1, je+1
	}
}

// Covers reports whether pattern matches every subject that sub matches. Both
// must be valid.
func Covers(pattern, sub string) bool {
	i, j := 0, 0
	for {
		ie, je := tokenEnd(pattern, i), tokenEnd(sub, j)
		p, s := pattern[i:ie], sub[j:je]
		switch {
		case p == ">" && ie == len(pattern):
			return true
		case s == ">" && je == len(sub):
			return false
		case p != "*" && p != s:
			return false
		}
		if ie == len(pattern) || je == len(sub) {
			return ie == len(pattern) && je == len(sub)
		}
		i, j = ie+1, je+1
	}
}
