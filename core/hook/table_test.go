package hook_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ganglion/core/hook"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// TestTable compares with asking each pattern in turn.
func TestTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	tokens := func(names ...string) string {
		list := make([]string, 1+rnd.IntN(4))
		for i := range list {
			list[i] = names[rnd.IntN(len(names))]
		}
		return strings.Join(list, ".")
	}
	met := 0
	for range 300 {
		var ran []int
		var bindings []hook.Binding
		for i := range rnd.IntN(20) {
			p := tokens("a", "b", "$SYS", "_INBOX", "*", "*")
			if rnd.IntN(3) == 0 {
				p += ".>"
			}
			if rnd.IntN(10) == 0 {
				p = ">"
			}
			bindings = append(bindings, hook.Binding{Pattern: p, Reserved: rnd.IntN(2) == 0,
				Publish: hook.PublishFunc(func(*hook.Origin, *wire.Msg) (hook.Verdict, error) { ran = append(ran, i); return hook.Pass, nil })})
		}
		table := hook.NewTable(bindings)
		for range 50 {
			subj := tokens("a", "b", "$SYS", "_INBOX", "_R_", "c")
			var want []int
			for i, b := range bindings {
				wild := b.Pattern[0] == '*' || b.Pattern[0] == '>'
				reserved := subj[0] == '$' || strings.HasPrefix(subj, "_INBOX.") || strings.HasPrefix(subj, "_R_.")
				if subject.Match(b.Pattern, subj) && (b.Reserved || !wild || !reserved) {
					want = append(want, i)
				}
			}
			ran = nil
			c := table.Chain([]byte(subj))
			if (c == nil) != (want == nil) {
				t.Fatalf("%s: chain %v, want %v", subj, c, want)
			}
			if c != nil {
				met++
				c.Publish(&hook.Origin{}, &wire.Msg{Subject: []byte(subj)})
			}
			if fmt.Sprint(ran) != fmt.Sprint(want) {
				t.Fatalf("%s runs %v, want %v", subj, ran, want)
			}
		}
	}
	if met < 1000 {
		t.Errorf("%d chains ran", met)
	}
}

// A link whose pattern does not match what an earlier one made of the subject is
// left out.
func TestChainMoved(t *testing.T) {
	var ran []string
	link := func(pattern, to string) hook.Binding {
		return hook.Binding{Pattern: pattern, Publish: hook.PublishFunc(func(_ *hook.Origin, m *wire.Msg) (hook.Verdict, error) {
			ran = append(ran, pattern)
			if to != "" {
				m.Subject = []byte(to)
			}
			return hook.Pass, nil
		})}
	}
	table := hook.NewTable([]hook.Binding{link("a.*", ""), link("a.>", "b.c"), link("a.b", ""), link("*.*", "")})
	table.Chain([]byte("a.b")).Publish(&hook.Origin{}, &wire.Msg{Subject: []byte("a.b")})
	if got := fmt.Sprint(ran); got != "[a.* a.> *.*]" {
		t.Errorf("ran %s", got)
	}
}

func TestChainAllocates(t *testing.T) {
	var bindings []hook.Binding
	for i := range 1000 {
		bindings = append(bindings, hook.Binding{Pattern: fmt.Sprintf("other.%d.>", i), Publish: hook.PublishFunc(nil)})
	}
	bindings = append(bindings, hook.Binding{Pattern: "mine.>", Publish: hook.PublishFunc(nil)})
	table := hook.NewTable(bindings)
	mine, none := []byte("mine.a.b"), []byte("some.a.b")
	if table.Chain(mine) == nil || table.Chain(none) != nil {
		t.Fatal("wrong chains")
	}
	if n := testing.AllocsPerRun(100, func() { table.Chain(mine); table.Chain(none) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
