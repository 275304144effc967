package subject_test

import (
	"slices"
	"strings"
	"testing"

	"ganglion/core/subject"
)

func TestValid(t *testing.T) {
	for _, tc := range []struct {
		name, subj       string
		valid, lit, wild bool
	}{
		{"one token", "a", true, true, false},
		{"three tokens", "a.b.c", true, true, false},
		{"utf-8", "größe.ok", true, true, false},
		{"bytes that are no text", "a\x00\xff.b", true, true, false},
		{"vertical tab is no blank", "a\vb", true, true, false},
		{"star", "*", true, false, true},
		{"star in the middle", "a.*.c", true, false, true},
		{"star last", "a.*", true, false, true},
		{"rest", ">", true, false, true},
		{"rest last", "a.>", true, false, true},
		{"star inside a token", "a*b", true, true, false},
		{"star begins a token", "*a.b", true, true, false},
		{"star ends a token", "a*.b", true, true, false},
		{"two stars", "a.**", true, true, false},
		{"rest inside a token", "a>", true, true, false},
		{"rest ends a token in the middle", "a>.b", true, true, false},
		{"rest begins a token", "a.>b", true, true, false},
		{"star, rest", "*.>", true, false, true},
		{"rest not last", ">.a", false, false, false},
		{"rest in the middle", "a.>.b", false, false, false},
		{"star before a rest not last", "*.>.b", false, false, true},
		{"empty", "", false, false, false},
		{"dot", ".", false, false, false},
		{"leading dot", ".a", false, false, false},
		{"trailing dot", "a.", false, false, false},
		{"two dots", "a..b", false, false, false},
		{"space", "a b", false, false, false},
		{"tab", "a\tb", false, false, false},
		{"cr", "a\r", false, false, false},
		{"lf", "a\n", false, false, false},
		{"form feed is no blank", "a\fb", true, true, false},
		{"blank after a wildcard", "* .a", false, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := subject.Valid(tc.subj); got != tc.valid {
				t.Errorf("Valid(%q) = %v", tc.subj, got)
			}
			if got := subject.ValidLiteral(tc.subj); got != tc.lit {
				t.Errorf("ValidLiteral(%q) = %v", tc.subj, got)
			}
			if got := subject.ValidPublish([]byte(tc.subj)); got != tc.lit {
				t.Errorf("ValidPublish(%q) = %v", tc.subj, got)
			}
			if got := subject.HasWildcard(tc.subj); got != tc.wild {
				t.Errorf("HasWildcard(%q) = %v", tc.subj, got)
			}
			empty := slices.Contains(strings.Split(tc.subj, "."), "")
			if got := subject.HasEmptyToken([]byte(tc.subj)); got != empty {
				t.Errorf("HasEmptyToken(%q) = %v", tc.subj, got)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	buf := make([]string, 0, 4)
	for _, s := range []string{"", "a", "a.b", ".", "a..b", "a.b.c.d.e.f"} {
		want := strings.Split(s, ".")
		if got := subject.Tokens(s, buf); !slices.Equal(got, want) {
			t.Errorf("Tokens(%q) = %q", s, got)
		}
		if got := subject.NumTokens(s); got != len(want) {
			t.Errorf("NumTokens(%q) = %d", s, got)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		name, pattern, subj string
		want                bool
	}{
		{"same", "a.b", "a.b", true},
		{"other", "a.b", "a.c", false},
		{"prefix", "a.b", "a", false},
		{"longer", "a", "a.b", false},
		{"token prefix", "a.b", "a.bb", false},
		{"star", "a.*", "a.b", true},
		{"star is one token", "a.*", "a.b.c", false},
		{"star is no empty token", "a.*", "a.", false},
		{"star needs a token", "a.*", "a", false},
		{"star first", "*.b", "a.b", true},
		{"rest is one", "a.>", "a.b", true},
		{"rest is many", "a.>", "a.b.c.d", true},
		{"rest is not none", "a.>", "a", false},
		{"rest of nothing", "a.>", "a.", false},
		{"everything", ">", "a.b", true},
		{"everything but empty tokens", ">", "a..b", false},
		{"everything but a trailing dot", ">", "foo.", false},
		{"nothing", ">", "", false},
		{"dollar is ordinary", ">", "$SYS.x", true},
		{"literal star inside", "a*b", "a*b", true},
		{"literal star inside is no wildcard", "a*b", "axb", false},
		{"literal rest inside", "a>", "a>", true},
		{"a star published", "a.*", "a.*", true},
		{"a star published matches only itself", "a.b", "a.*", false},
		{"a rest published", "a.>", "a.>", true},
		{"a rest published is one token", "a.*", "a.>", true},
		{"a rest published matches only itself", "a.b.c", "a.>", false},
		{"a rest in the middle published", "a.>", "a.>.c", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := subject.Match(tc.pattern, tc.subj); got != tc.want {
				t.Errorf("Match(%q, %q) = %v", tc.pattern, tc.subj, got)
			}
		})
	}
}

func TestOverlapAndCovers(t *testing.T) {
	for _, tc := range []struct {
		name, a, b                  string
		overlap, aCoversB, bCoversA bool
	}{
		{"same", "a.b", "a.b", true, true, true},
		{"other", "a.b", "a.c", false, false, false},
		{"lengths", "a.b", "a", false, false, false},
		{"star", "a.*", "a.b", true, true, false},
		{"stars", "a.*", "a.*", true, true, true},
		{"crossed stars", "*.b", "a.*", true, false, false},
		{"stars that differ", "*.b", "*.c", false, false, false},
		{"star and length", "*", "a.b", false, false, false},
		{"rest", "a.>", "a.b.c", true, true, false},
		{"rest and star", "a.>", "a.*", true, true, false},
		{"rest and shorter", "a.>", "a", false, false, false},
		{"rests", "a.>", "a.b.>", true, true, false},
		{"same rests", "a.>", "a.>", true, true, true},
		{"rests that differ", "a.>", "b.>", false, false, false},
		{"everything", ">", "*.x.>", true, true, false},
		{"crossed rest", "a.*.c", "a.b.>", true, false, false},
		{"crossed rests", "*.b.>", "a.>", true, false, false},
		{"literal star", "a.x*", "a.xy", false, false, false},
		{"rest and star at the end", ">", "*", true, true, false},
		{"star, rest and rest", "*.>", ">", true, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := subject.Overlap(tc.a, tc.b); got != tc.overlap {
				t.Errorf("Overlap(%q, %q) = %v", tc.a, tc.b, got)
			}
			if got := subject.Overlap(tc.b, tc.a); got != tc.overlap {
				t.Errorf("Overlap(%q, %q) = %v", tc.b, tc.a, got)
			}
			if got := subject.Covers(tc.a, tc.b); got != tc.aCoversB {
				t.Errorf("Covers(%q, %q) = %v", tc.a, tc.b, got)
			}
			if got := subject.Covers(tc.b, tc.a); got != tc.bCoversA {
				t.Errorf("Covers(%q, %q) = %v", tc.b, tc.a, got)
			}
		})
	}
}
