package subject

import (
	"fmt"
	"strings"
)

// A Transform rewrites the subjects that a source pattern matches. It is
// immutable and may be used by any number of goroutines. The package
// documentation lists what a destination may say.
type Transform struct {
	dest  string
	src   string
	parts []part
}

// NewTransform compiles a transform of the subjects that src matches into dest.
func NewTransform(src, dest string) (*Transform, error) {
	if !Valid(src) {
		return nil, fmt.Errorf("mapping source %q is not a valid subject; %s", src, grammarHint)
	}
	c := compiler{src: src, dest: dest}
	for i, tok := range strings.Split(src, ".") {
		switch tok {
		case "*":
			c.wild = append(c.wild, i)
		case ">":
			c.rest = i
		}
	}
	parts, err := c.compile()
	if err != nil {
		return nil, err
	}
	return &Transform{dest: dest, src: src, parts: parts}, nil
}

const grammarHint = `write tokens without blanks, joined by single dots, with ">" only as the last`

// Match reports whether t applies to subj.
func (t *Transform) Match(subj []byte) bool { return match(t.src, subj) }

// Append appends to dst what t makes of subj, which t must match, and returns
// the extended slice. It keeps neither and allocates only to grow dst (or when
// subj has more than 32 tokens).
func (t *Transform) Append(dst, subj []byte) []byte {
	var buf [32]span
	toks := buf[:0]
	for i := 0; ; {
		end := tokenEnd(subj, i)
		toks = append(toks, span{i, end})
		if end == len(subj) {
			break
		}
		i = end + 1
	}
	for i := range t.parts {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = t.parts[i].append(dst, subj, toks)
	}
	return dst
}

// span is where a token stands in its subject.
type span struct{ start, end int }

// compiler reads one destination.
type compiler struct {
	src, dest string
	wild      []int // which tokens of src are "*"
	rest      int   // which is ">"; 0 and not a source of ">" alone: none
}

// open reports whether the source ends in ">".
func (c *compiler) open() bool { return c.src == ">" || c.rest > 0 }

func (c *compiler) compile() ([]part, error) {
	var parts []part
	toks := strings.Split(c.dest, ".")
	for i, tok := range toks {
		last := i == len(toks)-1
		p, err := c.token(tok, last)
		if err != nil {
			return nil, err
		}
		if n := len(parts); p.op == opText && n > 0 && parts[n-1].op == opText {
			parts[n-1].text += "." + p.text
			continue
		}
		parts = append(parts, p)
	}
	if c.open() && parts[len(parts)-1].op != opRest {
		return nil, c.errorf(`the source ends in ">" and the destination does not; end both in ">" or neither`)
	}
	return parts, nil
}

func (c *compiler) token(tok string, last bool) (part, error) {
	switch {
	case tok == "":
		return part{}, c.errorf("it has an empty token; %s", grammarHint)
	case tok == "*":
		return part{}, c.errorf(`"*" cannot stand in a destination; write $1 for what the first "*" of the source matched`)
	case tok == ">" && !last:
		return part{}, c.errorf(`">" is not its last token; move it to the end`)
	case tok == ">" && !c.open():
		return part{}, c.errorf(`it ends in ">" and the source does not; end both in ">" or neither`)
	case tok == ">":
		return part{op: opRest, tok: c.rest}, nil
	case tok[0] == '$':
		if n, ok := wildcardNumber(tok[1:]); ok {
			at, err := c.wildcard(tok, n)
			return part{op: opToken, tok: at}, err
		}
	case len(tok) > 4 && strings.HasPrefix(tok, "{{") && strings.HasSuffix(tok, "}}"):
		return c.function(tok)
	}
	if strings.ContainsAny(tok, " \t\r\n") {
		return part{}, c.errorf("%q contains a blank; %s", tok, grammarHint)
	}
	return part{op: opText, text: tok}, nil
}

// wildcard returns which token of the source is its n-th "*".
func (c *compiler) wildcard(tok string, n int) (int, error) {
	switch {
	case len(c.wild) == 0 && (n > 0 || !c.open()):
		return 0, c.errorf(`%s names a wildcard and the source has no "*"; add one or write the token out`, tok)
	case n > len(c.wild):
		return 0, c.errorf(`%s names wildcard %d and the source has %d; use 1 to %d`, tok, n, len(c.wild), len(c.wild))
	case n < 1:
		return 0, nil // as nats-server: the subject's first token
	}
	return c.wild[n-1], nil
}

func (c *compiler) errorf(format string, args ...any) error {
	return fmt.Errorf("mapping destination %q of %q: %s", c.dest, c.src, fmt.Sprintf(format, args...))
}
