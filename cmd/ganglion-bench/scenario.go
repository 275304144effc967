package main

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// scenario is one row of the comparison.
type scenario struct {
	name   string
	about  string
	floors []floor
	kind   kind
	pairs  int  // overrides options.pairs, if set
	self   bool // compares Ganglion with Ganglion under other conditions (stage.base), not with nats-server
	bare   bool // compares with a bare relay (relay.go), not with nats-server
	steady bool // what it measures does not depend on how fast the machine is

	// prepare, if set, runs once before the pairs, on nats-server.
	prepare func(context.Context, *stage) error
	// run measures one leg.
	run func(context.Context, *stage) (leg, error)
}

// kind says in which table a scenario stands.
type kind int

const (
	throughput kind = iota
	latency         // in the throughput table, and in one of percentiles
	footprint       // neither messages nor CPU: memory, start
)

// scenarios are all rows, in the order of the table.
func scenarios(o options, files uint64) []scenario {
	var all []scenario
	for _, n := range []int{1, 8} {
		for _, size := range []int{16, 128} {
			all = append(all, publishOnly(n, size))
		}
	}
	for _, n := range []int{1, 8} {
		for _, size := range []int{16, 128, 1 << 10, 16 << 10} {
			all = append(all, oneToOne(n, size))
		}
	}
	all = append(all,
		fanOut(8, cpuAndRate(0.33, 1.6)),
		fanOut(100, cpuAndRate(0.50, 1.6)),
		queueGroup(),
		wildcards(),
		churn(),
		slowPublishers(),
		halfRate(1),
		halfRate(8),
		requests("req1", "request-reply, 1 in flight", 1, 1, roundTrips(0.70)),
		requests("req64", "request-reply, 64 connections with 1 in flight each", 64, 1, roundTrips(0.80)),
		requests("req64one", "request-reply, 64 in flight on one connection", 1, 64, roundTrips(0.45)),
	)
	all = append(all, layeredLoads()...)
	all = append(all, compressedFeed(), permissions(), serviceImport(), loginFlood(), pluginPass())
	for _, n := range []int{10_000, 18_000, 50_000} {
		if uint64(n)+1000 <= files {
			all = append(all, idle(o, fmt.Sprintf("idle%dk", n/1000), n, transport{}, 4096))
		}
	}
	if n := 10_000; uint64(n)+1000 <= files {
		all = append(all,
			idle(o, "idlews", n, transport{websocket: true}, 8192),
			idle(o, "idletls", n, transport{secure: true}, 16384),
			idle(o, "idlewss", n, transport{websocket: true, secure: true}, 16384),
		)
	}
	all = append(all, quicLoads(o, files)...)
	all = append(all, leafLoads()...)
	return append(all, manyAccounts(), startup())
}

// matches reports whether one of the comma-separated patterns selects name:
// as the whole name, the part before its slash, a glob, or, where none of the
// three fits any name, a prefix.
func selectScenarios(all []scenario, patterns string) ([]scenario, error) {
	if patterns == "" {
		return all, nil
	}
	picked := make([]bool, len(all))
	for p := range strings.SplitSeq(patterns, ",") {
		exact := func(name string) bool {
			family, _, _ := strings.Cut(name, "/")
			glob, _ := path.Match(p, name)
			return glob || family == p
		}
		prefix := func(name string) bool { return strings.HasPrefix(name, p) }
		if !pick(all, picked, exact) && !pick(all, picked, prefix) {
			return nil, fmt.Errorf("no scenario is called %q; -list shows them", p)
		}
	}
	var out []scenario
	for i, sc := range all {
		if picked[i] {
			out = append(out, sc)
		}
	}
	return out, nil
}

func pick(all []scenario, picked []bool, match func(string) bool) (any bool) {
	for i, sc := range all {
		if match(sc.name) {
			picked[i], any = true, true
		}
	}
	return any
}

// sizeName is 16, 128, 1k, 16k.
func sizeName(n int) string {
	if n >= 1<<10 {
		return fmt.Sprintf("%dk", n>>10)
	}
	return fmt.Sprint(n)
}
