package router

import (
	"fmt"
	"testing"
	"unsafe"

	"ganglion/core/account"
	"ganglion/core/permission"
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
