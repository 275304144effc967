package permission_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"ganglion/core/permission"
)

func compile(t testing.TB, s permission.Spec) *permission.Permissions {
	t.Helper()
	p, err := permission.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func publishSet(t testing.TB, allow, deny []string) *permission.Set {
	t.Helper()
	return compile(t, permission.Spec{Publish: &permission.Rules{Allow: allow, Deny: deny}}).Publish()
}

func TestCompileNothing(t *testing.T) {
	p := compile(t, permission.Spec{})
	if p != nil {
		t.Fatalf("got %v, want nil", p)
	}
	if p.Publish() != nil || p.Responses() != nil {
		t.Error("a nil *Permissions restricts")
	}
	if ok, deny := p.Subscribe(">", "q"); !ok || deny != nil {
		t.Errorf("Subscribe: %v, %v; want true, nil", ok, deny)
	}
	if !p.Publish().Allows([]byte("a..b")) {
		t.Error("a nil *Set refuses")
	}
	if p.Spec() != (permission.Spec{}) {
		t.Error("Spec of a nil *Permissions is not zero")
	}
}

func TestCompileErrors(t *testing.T) {
	pub := func(allow, deny []string) permission.Spec {
		return permission.Spec{Publish: &permission.Rules{Allow: allow, Deny: deny}}
	}
	sub := func(allow, deny []string) permission.Spec {
		return permission.Spec{Subscribe: &permission.Rules{Allow: allow, Deny: deny}}
	}
	for _, tc := range []struct {
		spec permission.Spec
		want []string
	}{
		{pub([]string{"a", "a..b"}, nil), []string{"publish.allow", `"a..b"`, "subject"}},
		{pub(nil, []string{">.a"}), []string{"publish.deny", `">.a"`}},
		{pub([]string{"a q"}, nil), []string{"publish.allow", `"a q"`}},
		{pub([]string{""}, nil), []string{"publish.allow", `""`}},
		{sub([]string{"a."}, nil), []string{"subscribe.allow", `"a."`}},
		{sub(nil, []string{"a q r"}), []string{"subscribe.deny", `"a q r"`}},
		{sub(nil, []string{" a"}), []string{"subscribe.deny", `" a"`}},
		{sub(nil, []string{"a "}), []string{"subscribe.deny", `"a "`}},
		{sub(nil, []string{" a q"}), []string{"subscribe.deny", `" a q"`}},
		{sub([]string{"a q..r"}, nil), []string{"subscribe.allow", `"q..r"`, `"a q..r"`, "queue"}},
		{sub([]string{"a..b q"}, nil), []string{"subscribe.allow", `"a..b"`, `"a..b q"`, "subject"}},
	} {
		p, err := permission.Compile(tc.spec)
		if err == nil {
			t.Errorf("%v: no error", tc.want)
			continue
		}
		if p != nil {
			t.Errorf("%v: permissions with an error", tc.want)
		}
		for _, want := range append(tc.want, "write") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not name %s", err, want)
			}
		}
	}
}

func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		in, want permission.Responses
	}{
		{permission.Responses{}, permission.Responses{Max: 1, Expires: 2 * time.Minute}},
		{permission.Responses{Max: 5, Expires: time.Second}, permission.Responses{Max: 5, Expires: time.Second}},
		{permission.Responses{Max: -1, Expires: -1}, permission.Responses{Max: -1, Expires: -1}},
	} {
		p := compile(t, permission.Spec{Responses: &tc.in})
		if got := *p.Responses(); got != tc.want {
			t.Errorf("%v: got %v, want %v", tc.in, got, tc.want)
		}
		if got := *p.Spec().Responses; got != tc.in {
			t.Errorf("Spec has %v, was given %v", got, tc.in)
		}
		if p.Publish().Allows([]byte("a")) {
			t.Error("besides responses something may be published")
		}
	}
	p := compile(t, permission.Spec{
		Publish:   &permission.Rules{Allow: []string{"a"}},
		Responses: &permission.Responses{},
	})
	if !p.Publish().Allows([]byte("a")) || p.Publish().Allows([]byte("b")) {
		t.Error("an allow list does not count with responses")
	}
}

// Who compiled may go on changing the lists.
func TestSpecIsACopy(t *testing.T) {
	rules := permission.Rules{Allow: []string{"a"}, Deny: []string{"b"}}
	p := compile(t, permission.Spec{Publish: &rules, Subscribe: &rules})
	rules.Allow[0], rules.Deny[0] = "x", "x"
	want := permission.Rules{Allow: []string{"a"}, Deny: []string{"b"}}
	if s := p.Spec(); !reflect.DeepEqual(*s.Publish, want) || !reflect.DeepEqual(*s.Subscribe, want) {
		t.Errorf("got %v and %v, want %v", *s.Publish, *s.Subscribe, want)
	}
}

func TestNilAndEmptyAllow(t *testing.T) {
	for _, tc := range []struct {
		rules permission.Rules
		want  bool
	}{
		{permission.Rules{}, true},
		{permission.Rules{Allow: []string{}}, false},
		{permission.Rules{Allow: []string{"a"}}, true},
		{permission.Rules{Deny: []string{"a"}}, false},
	} {
		p := compile(t, permission.Spec{Publish: &tc.rules, Subscribe: &tc.rules})
		if got := p.Publish().Allows([]byte("a")); got != tc.want {
			t.Errorf("%+v: publish: %v, want %v", tc.rules, got, tc.want)
		}
		if got, _ := p.Subscribe("a", ""); got != tc.want {
			t.Errorf("%+v: subscribe: %v, want %v", tc.rules, got, tc.want)
		}
	}
}

// Tokens of all lengths and subjects around the lengths at which Allows takes
// another way.
func TestAllowsLengths(t *testing.T) {
	for n := 1; n < 140; n++ {
		long := strings.Repeat("x", n)
		s := publishSet(t, []string{long, long + ".a.>", "*.dot." + long, "p." + long, long + "y", "q.*." + long}, []string{long + ".a.no"})
		for subj, want := range map[string]bool{
			long:                           true,
			long + "y":                     true,
			long + "z":                     false,
			long[1:] + "z":                 false,
			"y" + long[1:]:                 false,
			long + ".a":                    false,
			long + ".a.b":                  true,
			long + ".a.no":                 false,
			long + ".a.no.x":               true,
			long + ".a.":                   false,
			long + ".a..b":                 false,
			"p." + long:                    true,
			"p." + long + ".":              false,
			"." + long:                     false,
			"x.dot." + long:                true,
			".dot." + long:                 false,
			"q." + long + "." + long:       true,
			"q." + long + "." + long + "z": false,
			long + ".":                     false,
		} {
			if got := s.Allows([]byte(subj)); got != want {
				t.Errorf("%d: %q: %v, want %v", n, subj, got, want)
			}
		}
	}
}

// A level with many names, some of which differ only in their last bytes.
func TestAllowsManyNames(t *testing.T) {
	var allow []string
	name := func(i int) string { return fmt.Sprintf("site.a-device-with-a-long-name-%05d-x.up", i) }
	for i := 0; i < 2000; i += 2 {
		allow = append(allow, name(i), fmt.Sprintf("n%d.>", i))
	}
	s := publishSet(t, allow, []string{name(10)})
	for i := range 2000 {
		if got, want := s.Allows([]byte(name(i))), i%2 == 0 && i != 10; got != want {
			t.Errorf("%s: %v, want %v", name(i), got, want)
		}
		if got, want := s.Allows(fmt.Appendf(nil, "n%d.a", i)), i%2 == 0; got != want {
			t.Errorf("n%d.a: %v, want %v", i, got, want)
		}
	}
}

// Patterns of which every subset is a state of its own are refused by the
// automaton and matched one by one.
func TestAllowsTangled(t *testing.T) {
	var allow []string
	const n = 16
	for i := range n {
		tokens := strings.Split(strings.Repeat("* ", n), " ")[:n]
		tokens[i] = "a"
		allow = append(allow, strings.Join(tokens, ".")+fmt.Sprintf(".t%d", i))
	}
	allow = append(allow, "z.>")
	s := publishSet(t, allow, []string{strings.Repeat("*.", n) + "t3.>", strings.Repeat("*.", n) + "t4"})
	all := strings.Repeat("a.", n)
	for subj, want := range map[string]bool{
		all + "t0":                          true,
		all + "t15":                         true,
		all + "t16":                         false,
		all + "t3":                          true,
		all + "t4":                          false,
		all + "t0.x":                        false,
		all:                                 false,
		"z.x":                               true,
		"z.x.y.z":                           true,
		"z":                                 false,
		"b." + all[2:] + "t0":               false,
		"b." + all[2:] + "t1":               true,
		strings.Repeat("b.", n-1) + "a.t15": true,
		strings.Repeat("b.", n) + "t15":     false,
	} {
		if got := s.Allows([]byte(subj)); got != want {
			t.Errorf("%q: %v, want %v", subj, got, want)
		}
	}
}

// A session costs nothing: the same filter comes back each time.
func TestFilterIsShared(t *testing.T) {
	p := compile(t, permission.Spec{Subscribe: &permission.Rules{Deny: []string{"a.no", "a.q q"}}})
	_, one := p.Subscribe("a.*", "")
	_, two := p.Subscribe("a.>", "other")
	if one == nil || one != two {
		t.Error("two subscriptions with the same rules have different filters")
	}
	_, three := p.Subscribe("a.*", "q")
	if three == nil || three == one {
		t.Error("the queue's rule is not in its filter")
	}
}

func TestNoAllocs(t *testing.T) {
	s, subjects := benchmarkSet(t), benchmarkSubjects()
	long := []byte("plant.south." + strings.Repeat("a.b.", 30) + "c")
	if !s.Allows(long) {
		t.Error("a long subject is refused")
	}
	for name, f := range map[string]func(){
		"Allows": func() {
			for _, subj := range subjects["mixed"] {
				s.Allows(subj)
			}
		},
		"Allows long": func() { s.Allows(long) },
	} {
		if n := testing.AllocsPerRun(10, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	p := compile(t, permission.Spec{Subscribe: &permission.Rules{Allow: []string{"a.*", "b.> q"}, Deny: []string{"a.no"}}})
	if n := testing.AllocsPerRun(10, func() { p.Subscribe("a.b", ""); p.Subscribe("b.c", "q") }); n != 0 {
		t.Errorf("Subscribe without a wildcard allocates %v times", n)
	}
}
