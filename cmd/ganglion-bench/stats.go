package main

import (
	"math"
	"slices"
)

// median of v, or NaN without values. v is left alone.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if m := len(s) / 2; len(s)%2 == 1 {
		return s[m]
	} else {
		return (s[m-1] + s[m]) / 2
	}
}

// ratio is a/b, or NaN where b says nothing.
func ratio(a, b float64) float64 {
	if b == 0 || math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return a / b
}

// spread is the largest of v over the smallest, minus one: 0.15 means that they
// differ by 15 %.
func spread(v ...float64) float64 {
	if len(v) == 0 || slices.Min(v) <= 0 {
		return 0
	}
	return slices.Max(v)/slices.Min(v) - 1
}
