package cli

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	many := strings.Repeat("x\n", 1001)
	for _, tt := range []struct{ name, from, to, want string }{
		{"nothing", "", "", ""},
		{"text", "a", "b", "- a|+ b"},
		{"came", "", "b", "+ b"},
		{"went", "b", "", "- b"},
		{"one of three lines", "a\nb\nc", "a\nB\nc", "  a|- b|+ B|  c"},
		{"far apart", "1\n2\n3\n4\n5\n6\n7", "one\n2\n3\n4\n5\n6\nseven", "- 1|+ one|  2|  ...|  6|- 7|+ seven"},
		{"near the end", "1\n2\n3\n4", "1\n2\n3\nfour", "  ...|  3|- 4|+ four"},
		{"near the start", "1\n2\n3\n4", "one\n2\n3\n4", "- 1|+ one|  2|  ..."},
		{"in the middle", "a\nb\nc\nd", "a\nd", "  a|- b|- c|  d"},
		{"JSON", `{"a":1,"b":[true],"c":"x"}`, `{"a":2,"b":[true],"c":"x"}`, `  {|-   "a": 1,|+   "a": 2,|    "b": [|  ...`},
		{"JSON to text", `{"a":1}`, "gone", `- {"a":1}|+ gone`},
		{"binary", "\x00\x01", "text", "- 00000000  00 01                                             |..||+ 00000000  74 65 78 74                                       |text|"},
		{"controls", "a\tb\x7f", "c", "- a    b?|+ c"},
		{"long line", strings.Repeat("x", 500), "y", "- " + strings.Repeat("x", 400) + "... (500 bytes)|+ y"},
		{"many lines", many, many[2:], strings.Repeat("- x|", 1001) + "- |" + strings.Repeat("+ x|", 1000) + "+ "},
	} {
		var b strings.Builder
		printDiff(&b, payloadLines(tt.from, tt.to), payloadLines(tt.to, tt.from))
		got := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(b.String(), "  "), "\n"), "\n  ", "|")
		if got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	if got := payloadLines(strings.Repeat("\x00", 5000), ""); len(got) != 257 || got[256] != "and 904 bytes" {
		t.Errorf("%d lines, %q", len(got), got[len(got)-1])
	}
}
