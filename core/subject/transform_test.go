package subject_test

import (
	"strings"
	"testing"

	"ganglion/core/subject"
)

// transforms are held against a real nats-server by TestTransformAsNATS.
var transforms = []struct {
	name, src, dest string
	subj, want      string // want "" : subj is not matched
}{
	{"literal", "a", "b.c", "a", "b.c"},
	{"literal drops tokens", "a.*", "b", "a.x", "b"},
	{"not matched", "a.*", "b.$1", "a.x.y", ""},
	{"dollar", "a.*", "b.$1", "a.x", "b.x"},
	{"dollar swaps", "a.*.*", "b.$2.$1", "a.x.y", "b.y.x"},
	{"dollar twice", "a.*", "$1.$1", "a.x", "x.x"},
	{"dollar with zeros", "a.*", "b.$01", "a.x", "b.x"},
	{"dollar with sign", "a.*", "b.$+1", "a.x", "b.x"},
	{"dollar zero is the first token", "a.*", "b.$0", "a.x", "b.a"},
	{"dollar below zero is too", "a.*", "b.$-1", "a.x", "b.a"},
	{"dollar zero of a rest", "a.>", "b.$0.>", "a.x", "b.a.x"},
	{"dollar and no number is literal", "a.*", "b.$x", "a.x", "b.$x"},
	{"dollar alone is literal", "a.*", "b.$", "a.x", "b.$"},
	{"dollar inside is literal", "a.*", "b.x$1", "a.x", "b.x$1"},
	{"dollar too large is literal", "a.*", "b.$99999999999999999999", "a.x", "b.$99999999999999999999"},
	{"only the counted token", "a.*.c.*", "x.$2", "a.1.c.2", "x.2"},
	{"rest", "a.>", "b.>", "a.x.y", "b.x.y"},
	{"rest of one", "a.>", "b.c.d.>", "a.x", "b.c.d.x"},
	{"rest and star", "a.*.>", "$1.>", "a.x.y.z", "x.y.z"},
	{"everything", ">", "b.>", "x.y", "b.x.y"},
	{"everything to itself", ">", ">", "x.y", "x.y"},
	{"literal star in source", "a*.b", "c", "ax.b", ""},
	{"literal star matched", "a*.b", "c", "a*.b", "c"},
	{"literal star in destination", "a.*", "b.c*", "a.x", "b.c*"},
	{"published star", "a.*", "b.$1", "a.*", "b.*"},
	{"wildcard", "a.*", "b.{{wildcard(1)}}", "a.x", "b.x"},
	{"blanks in a function", "a.*", "b.{{ wildcard ( 1 ) }}", "a.x", "b.x"},
	{"function with a dot is literal", "a.*", "b.{{split(1,.)}}", "a.x", "b.{{split(1,.)}}"},
	{"function inside a token is literal", "a.*", "b.x{{wildcard(1)}}", "a.x", "b.x{{wildcard(1)}}"},
	{"function before text is literal", "a.*", "b.{{wildcard(1)}}x", "a.x", "b.{{wildcard(1)}}x"},
	{"empty function is literal", "a.*", "b.{{}}", "a.x", "b.{{}}"},
	{"names begin in any case", "a.*", "b.{{SplitFromLeft(1,1)}}", "a.xy", "b.x.y"},
	{"names in lower case", "a.*", "b.{{slicefromleft(1,1)}}", "a.xy", "b.x.y"},
	{"partition one", "a.*.*", "b.{{partition(2147483647,1)}}", "a.x.y", "b.2097959048"},
	{"partition two", "a.*.*", "b.{{partition(2147483647,1,2)}}", "a.x.y", "b.1482915802"},
	{"partition in order", "a.*.*", "b.{{partition(2147483647,2,1)}}", "a.x.y", "b.1398777444"},
	{"partition twice the same", "a.*.*", "b.{{partition(10, 1, 1)}}", "a.x.y", "b.1"},
	{"partition of the whole subject", "a.*.*", "b.{{partition(2147483647)}}", "a.x.y", "b.1985434144"},
	{"partition of a literal hashes nothing", "a.b", "b.{{partition(2147483647)}}", "a.b", "b.18652614"},
	{"partition of a literal's token does neither", "a.b", "b.{{partition(2147483647,1)}}", "a.b", "b.18652614"},
	{"partition of a rest", "a.>", "b.{{partition(2147483647)}}.>", "a.b.c", "b.1367233664.b.c"},
	{"partition of token zero", "a.*", "b.{{partition(2147483647,0)}}", "a.x", "b.1678518573"},
	{"partition by nothing", "a.*", "b.{{partition(0,1)}}", "a.x", "b.0"},
	{"partition below zero", "a.*.*", "b.{{partition(-1)}}", "a.x.y", "b.4132917791"},
	{"partition and rest", "a.*.>", "b.{{partition(3,1)}}.>", "a.zz.c", "b.0.c"},
	{"partition of wire reference", "a.*", "b.{{partition(3,1)}}", "a.b", "b.1"},
	{"split", "a.*", "b.{{split(1,-)}}", "a.x-y-z", "b.x.y.z"},
	{"split without delimiter in it", "a.*", "b.{{split(1,-)}}", "a.x", "b.x"},
	{"split trims", "a.*", "b.{{split(1,-)}}.c", "a.-x-y-", "b.x.y.c"},
	{"split skips", "a.*", "b.{{split(1,-)}}", "a.x---y", "b.x.y"},
	{"split long", "a.*", "b.{{split(1,ab)}}", "a.xabyabz", "b.x.y.z"},
	{"split long cut short", "a.*", "b.{{split(1,ab)}}", "a.xaya", "b.xaya"},
	{"split at nothing", "a.*", "b.{{split(1,)}}", "a.xyz", "b.x.y.z"},
	{"split at nothing, utf-8", "a.*", "b.{{split(1,)}}", "a.öy", "b.ö.y"},
	{"split at a parenthesis", "a.*", "b.{{split(1,))}}", "a.x)y", "b.x.y"},
	{"split at a star", "a.*", "b.{{split(1,*)}}", "a.x*y", "b.x.y"},
	{"splitFromLeft", "a.*", "b.{{splitFromLeft(1,2)}}", "a.abcde", "b.ab.cde"},
	{"splitFromLeft all", "a.*", "b.{{splitFromLeft(1,2)}}", "a.ab", "b.ab"},
	{"splitFromLeft zero", "a.*", "b.{{splitFromLeft(1,0)}}", "a.ab", "b.ab"},
	{"splitFromLeft below zero", "a.*", "b.{{splitFromLeft(1,-1)}}", "a.ab", "b.ab"},
	{"splitFromRight", "a.*", "b.{{splitFromRight(1,2)}}", "a.abcde", "b.abc.de"},
	{"splitFromRight all", "a.*", "b.{{splitFromRight(1,2)}}", "a.ab", "b.ab"},
	{"splitFromRight zero", "a.*", "b.{{splitFromRight(1,0)}}", "a.ab", "b.ab"},
	{"splitFromRight below zero", "a.*", "b.{{splitFromRight(1,-1)}}", "a.ab", "b.ab"},
	{"sliceFromLeft", "a.*", "b.{{sliceFromLeft(1,2)}}", "a.abcde", "b.ab.cd.e"},
	{"sliceFromLeft even", "a.*", "b.{{sliceFromLeft(1,2)}}", "a.abcd", "b.ab.cd"},
	{"sliceFromLeft zero", "a.*", "b.{{sliceFromLeft(1,0)}}", "a.abcd", "b.abcd"},
	{"sliceFromRight", "a.*", "b.{{sliceFromRight(1,2)}}", "a.abcde", "b.a.bc.de"},
	{"sliceFromRight even", "a.*", "b.{{sliceFromRight(1,2)}}", "a.abcd", "b.ab.cd"},
	{"sliceFromRight short", "a.*", "b.{{sliceFromRight(1,2)}}", "a.a", "b.a"},
	{"left", "a.*", "b.{{left(1,2)}}", "a.abcd", "b.ab"},
	{"left short", "a.*", "b.{{left(1,5)}}", "a.abcd", "b.abcd"},
	{"left zero", "a.*", "b.{{left(1,0)}}", "a.abcd", "b.abcd"},
	{"right", "a.*", "b.{{right(1,3)}}", "a.abcd", "b.bcd"},
	{"right below zero", "a.*", "b.{{right(1,-1)}}", "a.abcd", "b.abcd"},
	{"random of one", "a.*", "b.{{random(1)}}", "a.x", "b.0"},
	{"random of none", "a.*", "b.{{random(-1)}}", "a.x", "b.0"},
	{"two functions", "a.*", "{{split(1,-)}}.{{left(1,1)}}", "a.xx-y", "xx.y.x"},
}

func TestTransform(t *testing.T) {
	for _, tc := range transforms {
		t.Run(tc.name, func(t *testing.T) {
			tr, err := subject.NewTransform(tc.src, tc.dest)
			if err != nil {
				t.Fatal(err)
			}
			if got := tr.Match([]byte(tc.subj)); got != (tc.want != "") {
				t.Fatalf("Match(%q) = %v", tc.subj, got)
			}
			if tc.want == "" {
				return
			}
			if got := string(tr.Append([]byte("kept "), []byte(tc.subj))); got != "kept "+tc.want {
				t.Errorf("%q -> %q: %q became %q, want %q", tc.src, tc.dest, tc.subj, got, tc.want)
			}
		})
	}
}

// Where nats-server makes an empty token, and so loses the message, ours stays.
func TestTransformNeverMakesEmptyTokens(t *testing.T) {
	for subj, want := range map[string]string{
		"a.-": "b.-", "a.--": "b.--", "a.--x": "b.x", "a.---x--y": "b.x.y",
	} {
		tr, err := subject.NewTransform("a.*", "b.{{split(1,-)}}")
		if err != nil {
			t.Fatal(err)
		}
		if got := string(tr.Append(nil, []byte(subj))); got != want {
			t.Errorf("%q became %q, want %q", subj, got, want)
		}
	}
}

func TestTransformAnyCase(t *testing.T) {
	if _, err := subject.NewTransform("a.*", "b.{{SPLITFROMLEFT(1,1)}}"); err != nil {
		t.Error(err)
	}
}

func TestTransformManyTokens(t *testing.T) {
	src := strings.Repeat("*.", 39) + "*"
	tr, err := subject.NewTransform(src, "b.$40")
	if err != nil {
		t.Fatal(err)
	}
	subj := strings.Repeat("x.", 39) + "last"
	if got := string(tr.Append(nil, []byte(subj))); got != "b.last" {
		t.Errorf("got %q", got)
	}
}

// badTransforms are refused by nats-server too.
var badTransforms = []struct{ name, src, dest, says string }{
	{"source with empty token", "a..b", "c", "mapping source"},
	{"source with blank", "a b", "c", "mapping source"},
	{"source with rest in the middle", "a.>.b", "c", "mapping source"},
	{"no destination", "a", "", "empty token"},
	{"destination with empty token", "a.*", "c..b", "empty token"},
	{"destination with blank", "a.*", "c b", "contains a blank"},
	{"destination with star", "a.*", "b.*", "write $1"},
	{"destination with rest in the middle", "a.>", "b.>.c", "move it to the end"},
	{"rest only in destination", "a.*", "b.>", "end both"},
	{"rest only in source", "a.>", "b", "end both"},
	{"rest only in source, function last", "a.>", "b.{{partition(3)}}", "end both"},
	{"wildcard too large", "a.*", "b.$2", "use 1 to 1"},
	{"wildcard of a literal", "a.b", "b.$1", `the source has no "*"`},
	{"wildcard zero of a literal", "a.b", "b.$0", `the source has no "*"`},
	{"wildcard of a rest", "a.>", "b.$1.>", `the source has no "*"`},
	{"function's wildcard too large", "a.*", "b.{{left(2,1)}}", "use 1 to 1"},
	{"partition's wildcard too large", "a.*", "b.{{partition(3,1,2)}}", "use 1 to 1"},
	{"unknown function", "a.*", "b.{{foo(1)}}", "no function that there is"},
	{"no call", "a.*", "b.{{wildcard}}", "not a call"},
	{"nothing in it", "a.*", "b.{{ }}", "not a call"},
	{"wildcard without arguments", "a.*", "b.{{wildcard()}}", "{{wildcard(n)}}"},
	{"wildcard with two", "a.*", "b.{{wildcard(1,2)}}", "{{wildcard(n)}}"},
	{"wildcard of a word", "a.*", "b.{{wildcard(x)}}", "{{wildcard(n)}}"},
	{"wildcard called twice", "a.*", "b.{{wildcard(1)(2)}}", "{{wildcard(n)}}"},
	{"two functions in a token", "a.*", "b.{{wildcard(1)}}-{{wildcard(1)}}", "{{wildcard(n)}}"},
	{"left with one", "a.*", "b.{{left(1)}}", "{{left(n,length)}}"},
	{"left with three", "a.*", "b.{{left(1,2,3)}}", "{{left(n,length)}}"},
	{"left of a word", "a.*", "b.{{left(1,x)}}", "{{left(n,length)}}"},
	{"left too large", "a.*", "b.{{left(1,2147483648)}}", "{{left(n,length)}}"},
	{"split with one", "a.*", "b.{{split(1)}}", "{{split(n,delimiter)}}"},
	{"split with comma", "a.*", "b.{{split(1,,)}}", "{{split(n,delimiter)}}"},
	{"split at a blank", "a.*", "b.{{split(1, - )}}", "delimiter with a blank"},
	{"partition without arguments", "a.*", "b.{{partition()}}", "{{partition(N) or (N,n,...)}}"},
	{"partition with a gap", "a.*", "b.{{partition(3,)}}", "{{partition(N) or (N,n,...)}}"},
	{"partition of a word, literal source", "a.b", "b.{{partition(3,x)}}", "{{partition(N) or (N,n,...)}}"},
	{"partition too large", "a.*", "b.{{partition(2147483648)}}", "{{partition(N) or (N,n,...)}}"},
	{"random without arguments", "a.*", "b.{{random()}}", "{{random(N)}}"},
	{"random with two", "a.*", "b.{{random(1,2)}}", "{{random(N)}}"},
}

func TestTransformErrors(t *testing.T) {
	for _, tc := range badTransforms {
		t.Run(tc.name, func(t *testing.T) {
			_, err := subject.NewTransform(tc.src, tc.dest)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q -> %q: error %v, want %q in it", tc.src, tc.dest, err, tc.says)
			}
		})
	}
}

func TestRandomStaysBelow(t *testing.T) {
	tr, err := subject.NewTransform("a", "{{random(3)}}")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 1000 {
		seen[string(tr.Append(nil, []byte("a")))] = true
	}
	if len(seen) != 3 || !seen["0"] || !seen["1"] || !seen["2"] {
		t.Errorf("random(3) gave %v", seen)
	}
}
