package limit

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	t0 := time.Unix(1, 0)
	b := NewBucket(10, 2)
	for i, step := range []struct {
		at   time.Duration
		n    int
		want bool
	}{
		{0, 1, true}, {0, 1, true}, {0, 1, false},
		{50 * time.Millisecond, 1, false},
		{100 * time.Millisecond, 1, true},
		{time.Hour, 2, true}, // never more than the burst
		{time.Hour, 1, false},
		{time.Minute, 1, false}, // a clock that goes back gives nothing
	} {
		if got := b.Take(t0.Add(step.at), step.n); got != step.want {
			t.Fatalf("step %d: Take(%d) at %v = %v", i, step.n, step.at, got)
		}
	}
	if w := b.Wait(t0.Add(time.Hour), 1); w != 100*time.Millisecond {
		t.Fatalf("Wait = %v", w)
	}
}

func TestBucketOff(t *testing.T) {
	var b Bucket
	if !b.Take(time.Now(), 1000) || b.Wait(time.Now(), 1000) != 0 {
		t.Fatal("the zero Bucket must let everything pass")
	}
}
