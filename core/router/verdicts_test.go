package router

import (
	"fmt"
	"testing"
	"unsafe"

	"ganglion/core/permission"
)

// TestVerdicts: what is remembered is what the sets say, also when subjects and
// sets push each other out.
func TestVerdicts(t *testing.T) {
	if n := unsafe.Sizeof(verdict{}); n != 64 {
		t.Errorf("a verdict takes %d bytes, want a cache line", n)
	}
	var sets []*permission.Set
	for i := range 5 {
		p, err := permission.Compile(permission.Spec{Publish: &permission.Rules{Allow: []string{fmt.Sprintf("a.*%s", ".x"), fmt.Sprintf("a.%d.>", i)}, Deny: []string{fmt.Sprintf("*.%d.y", i)}}})
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, p.Publish())
	}
	b := New(0, &Counters{})
	for round := range 3 {
		for i := range 20_000 {
			subj := fmt.Appendf(nil, "a.%d.%c", i%2000, "xyz"[i%3])
			if i%7 == 0 {
				subj = fmt.Appendf(subj, ".%040d", i%11) // too long to be remembered
			}
			set := sets[(i+round)%len(sets)]
			if got, want := b.verdicts.allows(b.verdictOf(subj), set, subj), set.Allows(subj); got != want {
				t.Fatalf("%s: remembered %v, want %v", subj, got, want)
			}
		}
	}
}
