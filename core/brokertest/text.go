package brokertest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// seg is a piece of a line: literal bytes or one thing between angle brackets.
type seg struct {
	kind segKind
	text string // bytes, or a name; in a capture "" is without one
}

type segKind uint8

const (
	segText  segKind = iota
	segVar           // the value of a name
	segSplit         // ends a write
	segAny           // these three match
	segWord
	segNum
)

// parseText reads escapes and angle brackets.
func parseText(s string) ([]seg, error) {
	var segs []seg
	var lit []byte
	flush := func() {
		if len(lit) > 0 {
			segs = append(segs, seg{segText, string(lit)})
			lit = nil
		}
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			c, n, err := unescape(s[i:])
			if err != nil {
				return nil, err
			}
			lit = append(lit, c)
			i += n - 1
		case '<':
			n := strings.IndexByte(s[i:], '>')
			if n < 0 {
				return nil, fmt.Errorf(`"<" is not closed; write \x3c for the character`)
			}
			in := s[i+1 : i+n]
			i += n
			if j := strings.LastIndexByte(in, '*'); j > 0 {
				times, err := strconv.Atoi(in[j+1:])
				if err != nil {
					return nil, fmt.Errorf("<%s> does not end in a number; write <text*times>", in)
				}
				lit = append(lit, strings.Repeat(in[:j], times)...)
				continue
			}
			flush()
			segs = append(segs, parseBracket(in))
		default:
			lit = append(lit, s[i])
		}
	}
	flush()
	return segs, nil
}

func parseBracket(in string) seg {
	what, name, _ := strings.Cut(in, "=")
	switch what {
	case "|":
		return seg{segSplit, ""}
	case "any":
		return seg{segAny, name}
	case "word":
		return seg{segWord, name}
	case "num":
		return seg{segNum, name}
	}
	return seg{segVar, in}
}

// unescape reads the escape that s begins with and its length.
func unescape(s string) (c byte, n int, err error) {
	if len(s) > 1 {
		switch s[1] {
		case 'r':
			return '\r', 2, nil
		case 'n':
			return '\n', 2, nil
		case 't':
			return '\t', 2, nil
		case '\\':
			return '\\', 2, nil
		case 'x':
			if len(s) >= 4 {
				v, err := strconv.ParseUint(s[2:4], 16, 8)
				if err == nil {
					return byte(v), 4, nil
				}
			}
		}
	}
	return 0, 0, fmt.Errorf(`%q is no escape; use \r \n \t \\ or \xHH`, s[:min(len(s), 4)])
}

// lines returns how many line ends segs contain.
func lines(segs []seg) int {
	n := 0
	for _, s := range segs {
		if s.kind == segText {
			n += strings.Count(s.text, "\n")
		}
	}
	return n
}

// matchSegs reports whether b is what segs, which hold no variables, describe. It
// calls remember for each named piece.
func matchSegs(segs []seg, b []byte, remember func(name, value string)) bool {
	if len(segs) == 0 {
		return len(b) == 0
	}
	s, rest := segs[0], segs[1:]
	if s.kind == segText {
		return bytes.HasPrefix(b, []byte(s.text)) && matchSegs(rest, b[len(s.text):], remember)
	}
	for n := 1; n <= len(b) && s.takes(b[n-1]); n++ {
		if !matchSegs(rest, b[n:], remember) {
			continue
		}
		if s.text != "" {
			remember(s.text, string(b[:n]))
		}
		return true
	}
	return false
}

// takes reports whether c may be part of what s matches.
func (s seg) takes(c byte) bool {
	switch s.kind {
	case segNum:
		return '0' <= c && c <= '9'
	case segWord:
		return c > ' '
	}
	return c != '\r' && c != '\n'
}

// escaped writes b as a script would, shortened where it is very long.
func escaped(b []byte) string {
	const most = 500
	tail := ""
	if len(b) > most {
		tail = fmt.Sprintf("… (%d bytes)", len(b))
		b = b[:most]
	}
	q := strconv.Quote(string(b))
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	return q + tail
}
