package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []float64
		want float64
	}{
		{"none", nil, math.NaN()},
		{"one", []float64{3}, 3},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 3, 2}, 2.5},
		{"outlier", []float64{1, 1, 1000, 1, 1}, 1},
	}
	for _, tt := range tests {
		before := slices.Clone(tt.in)
		got := median(tt.in)
		if got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%s: median %v, want %v", tt.name, got, tt.want)
		}
		if !slices.Equal(before, tt.in) {
			t.Errorf("%s: argument was changed", tt.name)
		}
	}
}

func TestRatioAndSpread(t *testing.T) {
	t.Parallel()
	if r := ratio(1, 4); r != 0.25 {
		t.Errorf("ratio %v", r)
	}
	if r := ratio(1, 0); !math.IsNaN(r) {
		t.Errorf("ratio by zero is %v", r)
	}
	if s := spread(100, 115, 110); math.Abs(s-0.15) > 1e-9 {
		t.Errorf("spread %v", s)
	}
	if s := spread(); s != 0 {
		t.Errorf("spread of nothing %v", s)
	}
}

func TestHistBucketsAreOrderedAndTight(t *testing.T) {
	t.Parallel()
	last := -1
	for v := uint64(0); v < 1<<42; v += 1 + v/64 {
		i := histIndex(v)
		if i < last {
			t.Fatalf("%d is in bucket %d, below %d", v, i, last)
		}
		last = i
		if got := histValue(i); math.Abs(got-float64(v)) > 0.004*float64(v)+0.5 {
			t.Fatalf("%d is in bucket %d, which stands for %v", v, i, got)
		}
	}
	if i := histIndex(math.MaxUint64); i != histBuckets-1 {
		t.Fatalf("largest value is in bucket %d of %d", i, histBuckets)
	}
}

func TestHistQuantiles(t *testing.T) {
	t.Parallel()
	var a, b, whole hist
	rnd := rand.New(rand.NewPCG(5, 6))
	var values []float64
	for i := range 20_000 {
		v := int64(rnd.ExpFloat64() * 100_000)
		values = append(values, float64(v))
		if i%3 == 0 {
			a.add(v)
		} else {
			b.add(v)
		}
	}
	whole.merge(&a)
	whole.merge(&b)
	slices.Sort(values)
	for _, q := range []float64{0, 0.01, 0.5, 0.99, 1} {
		want := values[int(q*float64(len(values)-1))]
		if got := whole.quantile(q); math.Abs(got-want) > 0.005*want+1 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := (&hist{}).quantile(0.5); got != 0 {
		t.Errorf("quantile of nothing is %v", got)
	}
	a = hist{}
	a.add(-5) // a clock read on another core
	if got := a.quantile(0.5); got != 0 {
		t.Errorf("negative duration counts as %v", got)
	}
}
