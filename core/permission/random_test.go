package permission_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"ganglion/core/permission"
)

// Short patterns of few names meet in every way; a fuzzer seldom writes them.
func TestRandom(t *testing.T) {
	const sets = 3000
	rnd := rand.New(rand.NewPCG(1, 2))
	tokens := func(names ...string) string {
		list := make([]string, 1+rnd.IntN(4))
		for i := range list {
			list[i] = names[rnd.IntN(len(names))]
		}
		return strings.Join(list, ".")
	}
	patterns := func(queues bool) []string {
		list := make([]string, rnd.IntN(5))
		for i := range list {
			list[i] = tokens("a", "b", "a-longer-name", "*", "*")
			if rnd.IntN(3) == 0 {
				list[i] += ".>"
			}
			if queues && rnd.IntN(3) == 0 {
				list[i] += " " + tokens("q", "r", "*")
			}
		}
		return list
	}
	seen := map[string]int{}
	count := func(what string, yes bool) {
		if !yes {
			what = "not " + what
		}
		seen[what]++
	}
	for range sets {
		pub, sub := permission.Rules{Deny: patterns(false)}, permission.Rules{Deny: patterns(true)}
		if rnd.IntN(3) > 0 {
			pub.Allow, sub.Allow = patterns(false), patterns(true)
		}
		p := compile(t, permission.Spec{Publish: &pub, Subscribe: &sub})
		for range 20 {
			subj := tokens("a", "b", "a-longer-name", "a-longer-nome", "*", ">")
			got := p.Publish().Allows([]byte(subj))
			if want := modelAllows(pub, subj); got != want {
				t.Fatalf("%q: Allows(%q) is %v, want %v", pub, subj, got, want)
			}
			count("published", got)

			subj, queue := tokens("a", "b", "a-longer-name", "*"), ""
			if rnd.IntN(3) == 0 {
				subj += ".>"
			}
			if rnd.IntN(2) == 0 {
				queue = tokens("q", "r", "*")
			}
			ok, filter := p.Subscribe(subj, queue)
			if want := modelSubscribe(sub, subj, queue); ok != want {
				t.Fatalf("%q: Subscribe(%q, %q) is %v, want %v", sub, subj, queue, ok, want)
			}
			count("subscribed", ok)
			for range 10 {
				msg := tokens("a", "b", "a-longer-name", "c")
				if !ok || !modelMatches(subj, msg) {
					continue
				}
				got := filter.Allows([]byte(msg))
				if want := modelDelivers(sub, queue, msg); got != want {
					t.Fatalf("%q: SUB %q %q: %q goes out: %v, want %v", sub, subj, queue, msg, got, want)
				}
				count("delivered", got)
			}
		}
	}
	for _, what := range []string{"published", "not published", "subscribed", "not subscribed", "delivered", "not delivered"} {
		if seen[what] < 500 {
			t.Errorf("%s only %d times", what, seen[what])
		}
	}
	t.Log(seen)
}
