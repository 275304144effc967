package subject_test

import (
	"strings"
	"testing"

	"ganglion/core/subject"
)

// share returns how many of the rolls 0..99 give each destination.
func share(m *subject.Mapping, subj string) map[string]int {
	got := map[string]int{}
	for r := range uint32(100) {
		got[string(m.Append(nil, []byte(subj), r))]++
	}
	return got
}

func TestMapping(t *testing.T) {
	type dests = []subject.Dest
	for _, tc := range []struct {
		name    string
		src     string
		dests   dests
		cluster string
		subj    string
		want    map[string]int
	}{
		{"one", "a.*", dests{{"b.$1", 100, ""}}, "", "a.x", map[string]int{"b.x": 100}},
		{"two", "a", dests{{"b", 30, ""}, {"c", 70, ""}}, "", "a", map[string]int{"b": 30, "c": 70}},
		{"the rest stays", "a", dests{{"b", 30, ""}, {"c", 20, ""}}, "", "a", map[string]int{"b": 30, "c": 20, "a": 50}},
		{"the rest is lost when the source is listed", "a", dests{{"a", 30, ""}, {"c", 20, ""}}, "", "a", map[string]int{"a": 30, "c": 20, "": 50}},
		{"a source in other words is not listed", "a.*", dests{{"a.$1", 30, ""}}, "", "a.x", map[string]int{"a.x": 100}},
		{"weight zero", "a", dests{{"b", 0, ""}}, "", "a", map[string]int{"a": 100}},
		{"cluster unnamed", "a", dests{{"b", 60, "X"}, {"c", 60, ""}}, "", "a", map[string]int{"c": 60, "a": 40}},
		{"cluster of its own", "a", dests{{"b", 60, "X"}, {"c", 60, ""}}, "X", "a", map[string]int{"b": 60, "a": 40}},
		{"another cluster", "a", dests{{"b", 60, "X"}, {"c", 60, ""}}, "Y", "a", map[string]int{"c": 60, "a": 40}},
		{"clusters are case-sensitive", "a", dests{{"b", 60, "X"}}, "x", "a", map[string]int{"a": 100}},
		{"only clusters", "a", dests{{"b", 100, "X"}}, "X", "a", map[string]int{"b": 100}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := subject.NewMapping(tc.src, tc.dests...)
			if err != nil {
				t.Fatal(err)
			}
			m = m.For(tc.cluster)
			if !m.Match([]byte(tc.subj)) || m.Match([]byte("other")) {
				t.Error("matches the wrong subjects")
			}
			got := share(m, tc.subj)
			if len(got) != len(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			for s, n := range tc.want {
				if got[s] != n {
					t.Errorf("%q got %d percent, want %d", s, got[s], n)
				}
			}
		})
	}
}

func TestMappingErrors(t *testing.T) {
	type dests = []subject.Dest
	for _, tc := range []struct {
		name, src string
		dests     dests
		says      string
	}{
		{"no destination", "a", nil, "name one"},
		{"weight above 100", "a", dests{{"b", 101, ""}}, "use a percentage"},
		{"weight below 0", "a", dests{{"b", -1, ""}}, "use a percentage"},
		{"sum above 100", "a", dests{{"b", 50, ""}, {"c", 60, ""}}, "110 percent"},
		{"sum above 100 in a cluster", "a", dests{{"b", 50, "X"}, {"c", 60, "X"}}, "110 percent"},
		{"twice", "a", dests{{"b", 10, ""}, {"b", 20, ""}}, "twice"},
		{"twice for two clusters", "a", dests{{"b", 10, ""}, {"b", 20, "X"}}, "twice"},
		{"bad destination", "a", dests{{"b.$1", 10, ""}}, `no "*"`},
		{"bad source", "a..", dests{{"b", 10, ""}}, "mapping source"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := subject.NewMapping(tc.src, tc.dests...)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want %q in it", err, tc.says)
			}
		})
	}
}
