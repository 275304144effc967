package main

import "math/bits"

// hist is a histogram of durations in nanoseconds with buckets that grow with
// the value: a percentile is off by 0.4 % at most. Not safe for concurrent use.
type hist struct {
	n      uint64
	counts [histBuckets]uint64
}

const (
	histBits    = 7 // significant bits kept below the leading one
	histShifts  = 34
	histBuckets = (histShifts + 2) << histBits // up to 2^42 ns, about an hour
)

func histIndex(v uint64) int {
	shift := max(0, bits.Len64(v)-histBits-1)
	return min(shift<<histBits+int(v>>shift), histBuckets-1)
}

// histValue is the middle of bucket i.
func histValue(i int) float64 {
	shift := max(0, i>>histBits-1)
	low := uint64(i-shift<<histBits) << shift
	return float64(low) + float64(uint64(1)<<shift-1)/2
}

func (h *hist) add(ns int64) {
	h.counts[histIndex(uint64(max(ns, 0)))]++
	h.n++
}

func (h *hist) merge(o *hist) {
	h.n += o.n
	for i, c := range o.counts {
		h.counts[i] += c
	}
}

// quantile returns the value below which a share q of all samples lies, and 0
// without samples.
func (h *hist) quantile(q float64) float64 {
	if h.n == 0 {
		return 0
	}
	rank := uint64(q * float64(h.n-1))
	for i, c := range h.counts {
		if rank < c {
			return histValue(i)
		}
		rank -= c
	}
	return histValue(histBuckets - 1)
}
