package subject_test

import (
	"slices"
	"strings"
	"testing"

	"ganglion/core/subject"
)

// naive is Match written over split tokens.
func naive(pattern, subj string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subj, ".")
	if slices.Contains(s, "") {
		return false
	}
	for i, tok := range p {
		if tok == ">" && i == len(p)-1 {
			return len(s) > i
		}
		if i >= len(s) || tok != "*" && tok != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

func naiveValid(s string) bool {
	toks := strings.Split(s, ".")
	for i, tok := range toks {
		if tok == "" || strings.ContainsAny(tok, " \t\r\n") || tok == ">" && i < len(toks)-1 {
			return false
		}
	}
	return true
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"a.*", "a.b"}, {"a.>", "a.b.c"}, {">", "a..b"}, {"*.>", "a."}, {"a*b.>x", "a*b.>x"}, {"a.>.b", "a.>.b"}, {"", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if subject.Valid(a) != naiveValid(a) {
			t.Errorf("Valid(%q) = %v", a, !naiveValid(a))
		}
		got := subject.Match(a, b)
		if got != naive(a, b) {
			t.Errorf("Match(%q, %q) = %v", a, b, got)
		}
		if !subject.Valid(a) || !subject.Valid(b) {
			return
		}
		overlap := subject.Overlap(a, b)
		if overlap != subject.Overlap(b, a) {
			t.Errorf("Overlap(%q, %q) is not symmetric", a, b)
		}
		if subject.Covers(a, b) && (!overlap || !got) {
			t.Errorf("%q covers %q without overlap or match", a, b)
		}
		if got && !overlap {
			t.Errorf("%q matches %q as a literal, and they don't overlap", a, b)
		}
		if subject.ValidLiteral(b) && (overlap != got || subject.Covers(a, b) != got) {
			t.Errorf("%q and literal %q: match %v, overlap %v, covers %v", a, b, got, overlap, subject.Covers(a, b))
		}
		if subject.ValidLiteral(b) == subject.HasWildcard(b) {
			t.Errorf("%q: literal and wildcard at once, or neither", b)
		}
	})
}

func FuzzTransform(f *testing.F) {
	for _, tc := range transforms {
		f.Add(tc.src, tc.dest, tc.subj)
	}
	for _, tc := range badTransforms {
		f.Add(tc.src, tc.dest, "a.b")
	}
	f.Add("a.*", "{{split(1,-)}}", "a.--")
	f.Fuzz(func(t *testing.T, src, dest, subj string) {
		tr, err := subject.NewTransform(src, dest)
		if err != nil {
			return
		}
		in := []byte(subj)
		if !tr.Match(in) {
			tr.Append(nil, in) // not allowed, but no reason to panic
			return
		}
		out := tr.Append([]byte("x"), in)
		if out[0] != 'x' || subject.HasEmptyToken(out[1:]) {
			t.Errorf("%q -> %q made %q of %q", src, dest, out[1:], subj)
		}
		if strings.ContainsAny(string(out), " \t\r\n") && !strings.ContainsAny(subj, " \t\r\n") {
			t.Errorf("%q -> %q put a blank into %q", src, dest, out[1:])
		}
	})
}
