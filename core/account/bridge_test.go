package account

import (
	"testing"

	"ganglion/core/subject"
)

func TestBridge(t *testing.T) {
	for _, c := range []struct{ far, to, farSubj, nearSubj string }{
		{"a", "", "a", "a"},
		{"a", "b.c", "a", "b.c"},
		{"news.>", "imp.news.>", "news.x.y", "imp.news.x.y"},
		{">", "imp.>", "x", "imp.x"},
		{"*.*", "$2.$1", "a.b", "b.a"},
		{"svc.*.get", "w.$1", "svc.foo.get", "w.foo"},
		{"a.*.b.*", "*.x.*", "a.1.b.2", "1.x.2"},
		{"a.*.>", "{{wildcard(1)}}.>", "a.1.2.3", "1.2.3"},
	} {
		b, err := newBridge(c.far, c.to)
		if err != nil {
			t.Errorf("%s %s: %v", c.far, c.to, err)
			continue
		}
		if got := string(b.toNear(nil, []byte(c.farSubj))); got != c.nearSubj {
			t.Errorf("%s as %s: %s is %s here, want %s", c.far, c.to, c.farSubj, got, c.nearSubj)
		}
		if got := string(b.toFar(nil, []byte(c.nearSubj))); got != c.farSubj {
			t.Errorf("%s as %s: %s is %s there, want %s", c.far, c.to, c.nearSubj, got, c.farSubj)
		}
	}
	for _, c := range []struct{ far, to string }{
		{"a..b", ""}, {"a.*", "$2"}, {"a.*", "b"}, {"a.*.*", "$1.$1"}, {"a.>", "b"}, {"a", "b.>"}, {"a", "b..c"}, {"a", "*"},
	} {
		if _, err := newBridge(c.far, c.to); err == nil {
			t.Errorf("%s as %s: no error", c.far, c.to)
		}
	}
}

func TestFarOf(t *testing.T) {
	for _, c := range []struct{ far, to, sub, want string }{
		{"news.>", "imp.news.>", "imp.news.x", "news.x"},
		{"news.>", "imp.news.>", "imp.*.x", "news.x"},
		{"news.>", "imp.news.>", "imp.>", "news.>"},
		{"news.>", "imp.news.>", ">", "news.>"},
		{"news.>", "imp.news.>", "news.x", ""},
		{"news.>", "imp.news.>", "imp.news", ""},
		{"*.*", "$2.$1", "a.*", "*.a"},
		{"*.*", "$2.$1", "a.b.c", ""},
		{"a.*", "b.$1", "b.>", "a.*"},
		{"a.b", "x", "*", "a.b"},
	} {
		b, err := newBridge(c.far, c.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.farOf(c.sub); got != c.want {
			t.Errorf("%s as %s: %s sees %q, want %q", c.far, c.to, c.sub, got, c.want)
		}
	}
}

// FuzzIntersect: what two patterns both match is what their intersection matches.
func FuzzIntersect(f *testing.F) {
	for _, c := range [][3]string{{"a.*", "*.b", "a.b"}, {"a.>", "a.*.c", "a.b.c"}, {">", "*", "x"}, {"a.b", "a.c", "a.b"}, {"a.>", "a", "a"}} {
		f.Add(c[0], c[1], c[2])
	}
	f.Fuzz(func(t *testing.T, a, b, s string) {
		if !subject.Valid(a) || !subject.Valid(b) || !subject.ValidLiteral(s) {
			return
		}
		both := intersect(a, b)
		if both != "" && !subject.Valid(both) {
			t.Fatalf("%q and %q: %q is not valid", a, b, both)
		}
		want := subject.Match(a, s) && subject.Match(b, s)
		if got := both != "" && subject.Match(both, s); got != want {
			t.Fatalf("%q and %q: %q matches %q: %v, want %v", a, b, both, s, got, want)
		}
	})
}

func TestReplyIDs(t *testing.T) {
	for _, id := range []uint64{0, 1, 61, 62, maxID - 1} {
		b := appendID(nil, id)
		if got, ok := parseID(b); !ok || got != id || len(b) != idDigits {
			t.Errorf("%d: %s, %d %v", id, b, got, ok)
		}
	}
	for _, s := range []string{"", "123456789", "12345678-0", "          "} {
		if _, ok := parseID([]byte(s)); ok {
			t.Errorf("%q: ok", s)
		}
	}
}
