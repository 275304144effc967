package subject_test

import (
	"testing"

	"ganglion/core/subject"
)

// noAllocs fails when f allocates.
func noAllocs(t *testing.T, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// long is longer than what the compiler copies to the stack for a conversion.
const long = "a.token-that-is-longer-than-thirty-two-bytes-by-far.c"

func TestAllocMatch(t *testing.T) {
	pattern := "a." + long[2:len(long)-2] + ".*"
	noAllocs(t, func() {
		if !subject.Match(pattern, long) || !subject.Overlap(pattern, "a.>") || !subject.Covers("a.*.>", pattern) {
			t.Fail()
		}
	})
}

func TestAllocValidPublish(t *testing.T) {
	b := []byte(long)
	noAllocs(t, func() {
		if !subject.ValidPublish(b) || subject.HasEmptyToken(b) {
			t.Fail()
		}
	})
}

func TestAllocTokens(t *testing.T) {
	buf := make([]string, 0, 8)
	noAllocs(t, func() {
		if len(subject.Tokens(long, buf)) != 3 {
			t.Fail()
		}
	})
}

func TestAllocTransformAppend(t *testing.T) {
	subj, dst := []byte(long), make([]byte, 0, 256)
	for _, dest := range []string{
		"b.$1.$2", "b.{{partition(10,1,2)}}", "b.{{partition(10)}}", "{{split(1,-)}}", "{{splitFromLeft(1,3)}}",
		"{{sliceFromRight(1,3)}}", "{{left(1,3)}}", "{{right(1,3)}}", "{{random(10)}}",
	} {
		tr, err := subject.NewTransform("a.*.*", dest)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(dest, func(t *testing.T) {
			noAllocs(t, func() {
				if !tr.Match(subj) || len(tr.Append(dst[:0], subj)) == 0 {
					t.Fail()
				}
			})
		})
	}
}

func TestAllocMappingAppend(t *testing.T) {
	subj, dst := []byte(long), make([]byte, 0, 256)
	m, err := subject.NewMapping("a.>", subject.Dest{Subject: "b.>", Weight: 50}, subject.Dest{Subject: "c.>", Weight: 20, Cluster: "X"})
	if err != nil {
		t.Fatal(err)
	}
	roll := uint32(0)
	noAllocs(t, func() {
		if roll++; !m.Match(subj) || len(m.For("X").Append(dst[:0], subj, roll)) == 0 {
			t.Fail()
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for b.Loop() {
		subject.Match("a.*.>", "a.bcdef.ghijk.l")
	}
}

func BenchmarkTransformAppend(b *testing.B) {
	tr, err := subject.NewTransform("a.*.*", "b.{{partition(10,1)}}.$2.$1")
	if err != nil {
		b.Fatal(err)
	}
	subj, dst := []byte("a.bcdef.ghijk"), make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = tr.Append(dst[:0], subj)
	}
}
