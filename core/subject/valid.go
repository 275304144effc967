package subject

// text is what the grammar is written over, so that strings and the bytes of a
// read buffer share it without conversion.
type text interface{ ~string | ~[]byte }

// Valid reports whether s may be subscribed to: tokens without blanks, none
// empty, ">" only as the last.
func Valid(s string) bool { return valid(s, true) }

// ValidLiteral reports whether s is valid and has no wildcards.
func ValidLiteral(s string) bool { return valid(s, false) }

// ValidPublish reports whether b is a valid subject without wildcards: what a
// pedantic connection may publish to. It does not allocate.
func ValidPublish(b []byte) bool { return valid(b, false) }

func valid[T text](s T, wildcards bool) bool {
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if blank(s[i]) {
				return false
			}
			continue
		}
		switch i - start {
		case 0:
			return false
		case 1:
			c := s[start]
			if c == '*' && !wildcards || c == '>' && (!wildcards || i < len(s)) {
				return false
			}
		}
		start = i + 1
	}
	return true
}

func blank(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n'
}

// HasEmptyToken reports whether b begins or ends with a dot, has two in a row or
// is empty. Such a subject matches nothing.
func HasEmptyToken(b []byte) bool { return hasEmptyToken(b) }

func hasEmptyToken[T text](s T) bool {
	prev := byte('.')
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && prev == '.' {
			return true
		}
		prev = s[i]
	}
	return prev == '.'
}

// HasWildcard reports whether a token of s is "*" or its last is ">".
func HasWildcard(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '*' && c != '>' || i > 0 && s[i-1] != '.' {
			continue
		}
		if i+1 == len(s) || s[i] == '*' && s[i+1] == '.' {
			return true
		}
	}
	return false
}

// Tokens appends the tokens of s to buf[:0] and returns it. They share memory
// with s; an empty s is one empty token.
func Tokens(s string, buf []string) []string {
	buf = buf[:0]
	for i := 0; ; {
		end := tokenEnd(s, i)
		buf = append(buf, s[i:end])
		if end == len(s) {
			return buf
		}
		i = end + 1
	}
}

// NumTokens returns the number of tokens of s, empty ones included.
func NumTokens(s string) int {
	n := 1
	for i := 0; i < len(s); i++ {
		if s[i] == '.' {
			n++
		}
	}
	return n
}

// tokenEnd returns the end of the token that begins at i.
func tokenEnd[T text](s T, i int) int {
	for i < len(s) && s[i] != '.' {
		i++
	}
	return i
}
