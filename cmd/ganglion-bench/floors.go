package main

import (
	"fmt"
	"math"
)

// floor is what a scenario must reach, in the median over its pairs.
//
// The metric is a name from leg.values with a prefix, see result.median.
type floor struct {
	metric  string
	atLeast bool // else at most
	bound   float64
	label   string // as in the table
}

func atMost(metric string, bound float64) floor { return floor{metric: metric, bound: bound} }
func atLeast(metric string, bound float64) floor {
	return floor{metric: metric, bound: bound, atLeast: true}
}

// as gives the floor another label.
func (f floor) as(label string) floor {
	f.label = label
	return f
}

// what is the label, by default the name of the metric.
func (f floor) what() string {
	if f.label != "" {
		return f.label
	}
	return f.name()
}

// name is the metric without its prefix.
func (f floor) name() string { return f.metric[len("x."):] }

func (f floor) String() string {
	op := "≤"
	if f.atLeast {
		op = "≥"
	}
	return fmt.Sprintf("%s %s %s", f.what(), op, short(f.bound))
}

// holds reports whether v reaches the floor; an absent value does not.
func (f floor) holds(v float64) bool {
	if math.IsNaN(v) {
		return false
	}
	if f.atLeast {
		return v >= f.bound
	}
	return v <= f.bound
}

// The floors by kind of scenario.

func cpuAndRate(cpu, rate float64) []floor {
	return []floor{atMost("x.cpu", cpu), atLeast("x.rate", rate).as("throughput")}
}

func tails(cpu float64) []floor {
	return []floor{atMost("x.cpu", cpu), atMost("x.p99", 1)}
}

func roundTrips(cpu float64) []floor {
	return []floor{atMost("x.cpu", cpu), atMost("x.p50", 0.80), atMost("x.p99", 0.80)}
}

// deliverFloors depend on the payload: the larger it is, the more of the work
// is the kernel's copying, which is the same for everybody.
func deliverFloors(size int) []floor {
	switch {
	case size >= 16<<10:
		return cpuAndRate(0.85, 1.0)
	case size >= 1<<10:
		return cpuAndRate(0.60, 1.3)
	}
	return cpuAndRate(0.33, 1.8)
}

// Over QUIC the bounds are relative to a bare server on the same library: how many
// times its CPU time per message, how much more memory an idle connection takes
// and how much each further stream of it. Messages are to share packets: those of
// the least size, 1,200 bytes, at least.
const (
	quicCPU         = 1.4
	quicPacketBytes = 1150
	quicIdleBytes   = 6 << 10
	quicStreamBytes = 10 << 10
)

// What crosses a leafnode link: the CPU time of the edge per message, or of both
// ends of a link where they are of one product; how many changes of interest a
// second, and how soon after a TCP connection the hub knows of resumeSubs
// subscriptions.
const (
	leafSmallCPU = 0.35
	leafLargeCPU = 0.60 // from 1 KiB on
	leafPairCPU  = 0.30
	leafPairRate = 2.5
	leafChanges  = 50_000
	leafResumeMS = 2000
)

func leafFloors(size int) []floor {
	if size >= 1<<10 {
		return []floor{atMost("x.cpu", leafLargeCPU)}
	}
	return []floor{atMost("x.cpu", leafSmallCPU)}
}

func quicFloors() []floor {
	return []floor{atMost("x.cpu", quicCPU), atLeast("g.packet bytes", quicPacketBytes)}
}
