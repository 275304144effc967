package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"ganglion/core/account"
	"ganglion/core/permission"
	"ganglion/core/subject"
	"ganglion/core/wire"
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

// TestVerdictsPlace: what was remembered for a message of an account with filters
// is not taken for the next one's, of an account without.
func TestVerdictsPlace(t *testing.T) {
	p, err := permission.Compile(permission.Spec{Publish: &permission.Rules{Allow: []string{"yes.>"}}, Subscribe: &permission.Rules{Deny: []string{"yes.no"}}})
	if err != nil {
		t.Fatal(err)
	}
	may := p.Publish()
	_, deny := p.Subscribe(">", "")
	filtered, open := account.New("FILTERED"), account.New("OPEN")
	s := account.NewSubscription(&counting{}, ">", "", "1")
	s.Filter(deny)
	filtered.Subscribe(s)
	open.Subscribe(account.NewSubscription(&counting{}, ">", "", "1"))
	b := New(0, &Counters{})
	var from counting
	for i := range 100 {
		if out := b.Publish(&from, filtered, may, &wire.Msg{Subject: fmt.Appendf(nil, "yes.%d", i)}); out.Denied {
			t.Fatalf("yes.%d is denied", i)
		}
		if out := b.Publish(&from, open, may, &wire.Msg{Subject: fmt.Appendf(nil, "no.%d", i)}); !out.Denied {
			t.Fatalf("no.%d is not denied", i)
		}
	}
}

// TestVerdictsOutcome: whoever goes round and round over subjects, with others now
// and then, is told what the sets say, and receivers get what their filters let
// through.
func TestVerdictsOutcome(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	p, err := permission.Compile(permission.Spec{
		Publish:   &permission.Rules{Allow: []string{"plant.site1.>", "plant.site2.*.temp", "plant.site3.x"}, Deny: []string{"plant.*.secret.>"}},
		Subscribe: &permission.Rules{Deny: []string{"plant.site1.hidden.>", "*.site2.seven.temp"}}})
	if err != nil {
		t.Fatal(err)
	}
	may := p.Publish()
	_, deny := p.Subscribe("plant.>", "")
	acc := account.New("A")
	s := account.NewSubscription(&counting{}, "plant.>", "", "1")
	s.Filter(deny)
	acc.Subscribe(s)
	b := New(0, &Counters{})
	var from counting
	var round []string
	for range 50 {
		round = append(round, fmt.Sprintf("plant.site%d.%s.%s", 1+rnd.IntN(4), []string{"hidden", "secret", "seven", "x"}[rnd.IntN(4)], []string{"temp", "rpm", "a.b.c"}[rnd.IntN(3)]))
	}
	odd := []string{"plant.site1.x..y", "plant.site3.x", "plant.site1.hidden", "plant.site1.", "plant", "plant.site2.seven.temp.", "other.site1.x.y"}
	n := 0
	for i := range 20_000 {
		subj := round[i%len(round)]
		if rnd.IntN(9) == 0 {
			subj = odd[rnd.IntN(len(odd))]
		}
		out := b.Publish(&from, acc, may, &wire.Msg{Subject: []byte(subj)})
		allowed := may.Allows([]byte(subj))
		if out.Denied == allowed {
			t.Fatalf("%d: %s: denied %v, allowed %v", i, subj, out.Denied, allowed)
		}
		want := 0
		if allowed && subject.Valid(subj) && subject.Match("plant.>", subj) && deny.Allows([]byte(subj)) {
			want = 1
		}
		if out.Receivers != want {
			t.Fatalf("%d: %s: %d receivers, want %d", i, subj, out.Receivers, want)
		}
		n += want
		if i%100 == 0 {
			b.Flush()
		}
	}
	if n == 0 || n == 20_000 {
		t.Errorf("%d delivered", n)
	}
}
