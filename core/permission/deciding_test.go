package permission_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"ganglion/core/permission"
)

// TestDeciding: subjects with the same deciding beginning are allowed alike.
func TestDeciding(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	names := []string{"a", "b", "a-longer-name", "*", ""}
	tokens := func(n int, names []string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = names[rnd.IntN(len(names))]
		}
		return strings.Join(list, ".")
	}
	shortened := 0
	for range 2000 {
		pattern := func() []string {
			var list []string
			for range rnd.IntN(4) {
				list = append(list, tokens(1+rnd.IntN(4), names[:4])+[]string{"", ".>"}[rnd.IntN(2)])
			}
			return list
		}
		set := compile(t, permission.Spec{Publish: &permission.Rules{Allow: pattern(), Deny: pattern()}}).Publish()
		answers := map[string]bool{}
		for range 100 {
			subj := []byte(tokens(1+rnd.IntN(6), names))
			for _, depth := range []int{set.Depth(), set.Depth() + rnd.IntN(3)} {
				begin := permission.Deciding(subj, depth)
				if begin == nil && (len(subj) == 0 || subj[len(subj)-1] == '.') {
					continue
				}
				if begin == nil || !bytes.HasPrefix(subj, begin) {
					t.Fatalf("%q does not begin with %q", subj, begin)
				}
				if len(begin) < len(subj) {
					shortened++
				}
				got := set.Allows(subj)
				if was, ok := answers[string(begin)]; ok && was != got {
					t.Fatalf("%q decides with depth %d, but not on %q", begin, depth, subj)
				}
				answers[string(begin)] = got
			}
		}
	}
	if shortened < 1000 {
		t.Errorf("%d subjects were shortened", shortened)
	}
}
