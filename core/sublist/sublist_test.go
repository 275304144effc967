package sublist

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// naive matches token by token.
func naive(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	if slices.Contains(s, "") {
		return false
	}
	for i, t := range p {
		if t == ">" {
			return len(s) > i
		}
		if i >= len(s) || t != "*" && t != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}

func names(r *Result[string]) []string {
	var out []string
	out = append(out, r.Plain...)
	for _, g := range r.Groups {
		for _, m := range g.Members {
			out = append(out, g.Name+"/"+m)
		}
	}
	slices.Sort(out)
	return out
}

func TestMatch(t *testing.T) {
	s := New[string]()
	for i, p := range []string{"a", "a.b", "a.*", "*.b", "a.>", ">", "*", "a.b.c", "a.*.c", "a*b", "a.>x"} {
		s.Insert(&Entry[string]{Value: fmt.Sprint(p, i), Subject: p})
	}
	for _, c := range []struct {
		subject string
		want    []string
	}{
		{"a", []string{"*6", ">5", "a0"}},
		{"a.b", []string{"*.b3", ">5", "a.*2", "a.>4", "a.b1"}},
		{"a.b.c", []string{">5", "a.*.c8", "a.>4", "a.b.c7"}},
		{"a.*", []string{">5", "a.*2", "a.>4"}}, // a published * is literal
		{"a.>", []string{">5", "a.*2", "a.>4"}},
		{"a*b", []string{"*6", ">5", "a*b9"}},
		{"a..b", nil}, {"", nil}, {".", nil}, {"a.", nil}, {".a", nil},
	} {
		var r Result[string]
		s.Match(0, []byte(c.subject), &r)
		if got := names(&r); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.subject, got, c.want)
		}
	}
}

func TestGroupsOfOneNameAreOne(t *testing.T) {
	s := New[string]()
	s.Insert(&Entry[string]{Value: "1", Subject: "a.*", Queue: "q"})
	s.Insert(&Entry[string]{Value: "2", Subject: "a.b", Queue: "q"})
	s.Insert(&Entry[string]{Value: "3", Subject: "a.b", Queue: "p"})
	var r Result[string]
	s.Match(0, []byte("a.b"), &r)
	if len(r.Groups) != 2 || len(r.Plain) != 0 {
		t.Fatalf("%+v", r)
	}
	if got := names(&r); !slices.Equal(got, []string{"p/3", "q/1", "q/2"}) {
		t.Fatalf("%q", got)
	}
}

func TestRemovePrunes(t *testing.T) {
	s := New[int]()
	var es []*Entry[int]
	for i := range 1000 {
		e := &Entry[int]{Value: i, Subject: fmt.Sprintf("a.%d.*.%d", i%7, i), Queue: []string{"", "q"}[i%2]}
		es = append(es, e)
		s.Insert(e)
	}
	for _, e := range es[:500] {
		if !s.Remove(e) {
			t.Fatal("not found")
		}
		if s.Remove(e) {
			t.Fatal("removed twice")
		}
	}
	s.RemoveAll(es[500:])
	left := 0
	s.kids.all(func(*node[int]) bool { left++; return true })
	if left != 0 || s.root.kids != 0 || s.root.pwc != nil || s.root.fwc != nil || s.Stats().Count != 0 {
		t.Fatalf("left: %d nodes, %+v", left, s.Stats())
	}
}

func TestGenerationMovesOnlyForItsTree(t *testing.T) {
	s := New[int]()
	gen := s.Generation([]byte("orders.new"))
	for _, c := range []struct {
		subject string
		moves   bool
	}{{"orders.*", true}, {"orders", true}, {"*.new", true}, {">", true}, {"prices.*", false}, {"*x.new", false}} {
		before := gen.Load()
		e := &Entry[int]{Subject: c.subject}
		s.Insert(e)
		if moved := gen.Load() != before; moved != c.moves {
			t.Errorf("insert %q: moved %v", c.subject, moved)
		}
		before = gen.Load()
		s.Remove(e)
		if moved := gen.Load() != before; moved != c.moves {
			t.Errorf("remove %q: moved %v", c.subject, moved)
		}
	}
}

// FuzzSublist plays a program of inserts, removes and matches on a Sublist and
// on a plain list, while another goroutine changes subjects elsewhere.
func FuzzSublist(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07"), "a.b.c a.* > b.> a..b * a.>")
	f.Add([]byte{0, 1, 0, 2, 0, 3, 9, 9, 1, 1}, "x.y x.* *.y > x")
	f.Fuzz(func(t *testing.T, prog []byte, words string) {
		subjects := strings.Fields(words)
		if len(subjects) == 0 || len(words) > 200 || len(prog) > 200 {
			return
		}
		s := New[int]()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				e := &Entry[int]{Value: -1, Subject: fmt.Sprintf("zz_other.%d.*", i%5)}
				s.Insert(e)
				s.Remove(e)
			}
		}()
		defer wg.Wait()
		defer close(stop)
		var list []*Entry[int]
		for i := 0; i+1 < len(prog); i += 2 {
			subj := subjects[int(prog[i+1])%len(subjects)]
			switch prog[i] % 3 {
			case 0:
				if !validSub(subj) {
					continue
				}
				e := &Entry[int]{Value: i, Subject: subj, Queue: []string{"", "", "q", "p"}[prog[i]/3%4]}
				s.Insert(e)
				list = append(list, e)
			case 1:
				if len(list) > 0 {
					k := int(prog[i+1]) % len(list)
					s.Remove(list[k])
					list = slices.Delete(list, k, k+1)
				}
			default:
				var r Result[int]
				s.Match(i, []byte(subj), &r)
				var got, want []int
				got = append(got, r.Plain...)
				for _, g := range r.Groups {
					got = append(got, g.Members...)
				}
				for _, e := range list {
					if naive(e.Subject, subj) {
						want = append(want, e.Value)
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("%q: got %v, want %v", subj, got, want)
				}
			}
		}
	})
}

func validSub(s string) bool {
	ts := strings.Split(s, ".")
	for i, t := range ts {
		if t == "" || t == ">" && i < len(ts)-1 {
			return false
		}
	}
	return true
}

func TestAllocMatch(t *testing.T) {
	s := New[int]()
	for i := range 1000 {
		s.Insert(&Entry[int]{Value: i, Subject: fmt.Sprintf("a.%d.*", i), Queue: []string{"", "q"}[i%2]})
	}
	s.Insert(&Entry[int]{Subject: ">"})
	var r Result[int]
	subject := []byte("a.77.x")
	s.Match(0, subject, &r)
	if n := testing.AllocsPerRun(100, func() { s.Match(0, subject, &r) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkMatch(b *testing.B) {
	s := New[int]()
	for i := range 100_000 {
		s.Insert(&Entry[int]{Value: i, Subject: fmt.Sprintf("w.%d.*.%d", i%1000, i)})
	}
	subjects := make([][]byte, 1<<16)
	for i := range subjects {
		k := rand.IntN(100_000)
		subjects[i] = fmt.Appendf(nil, "w.%d.x%d.%d", k%1000, i, k)
	}
	var r Result[int]
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		s.Match(0, subjects[i%len(subjects)], &r)
	}
}
