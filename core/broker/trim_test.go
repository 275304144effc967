package broker

import "testing"

func TestBurst(t *testing.T) {
	var b burst
	total := uint64(0)
	for i, c := range []struct {
		n    uint64
		over bool
	}{{0, false}, {200, false}, {0, false}, {300, false}, {trimQuiet, true}, {0, false}, {5000, false}, {5000, false}, {trimQuiet + 1, false}, {1, true}, {50, false}} {
		total += c.n
		if got := b.over(total); got != c.over {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
