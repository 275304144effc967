package main

import (
	"context"
	"fmt"
)

// layeredLoads are a few of the loads at full speed again, over WebSocket and
// over TLS.
//
// What TLS costs a client is as much as it costs a server, and both share the
// machine: the throughput of those legs says little, the server's CPU time
// per message does.
func layeredLoads() []scenario {
	ws := transport{websocket: true}
	one := transport{websocket: true, single: true}
	tls := transport{secure: true}
	cpu := func(bound float64) []floor { return []floor{atMost("x.cpu", bound)} }
	return []scenario{
		layered("ws1:1/128", ws, 1, 1, 128, cpuAndRate(0.60, 1.3)),
		layered("ws1:8", ws, 1, 8, 128, cpuAndRate(0.60, 1.3)),
		layered("ws8:8/128", ws, 8, 8, 128, cpuAndRate(0.60, 1.3)),
		layered("ws1:1/one", one, 1, 1, 128, cpu(1.0)),
		layered("ws1:1/16k", ws, 1, 1, 16<<10, cpu(0.80)),
		layered("tls1:1/128", tls, 1, 1, 128, cpu(0.60)),
		layered("tls1:8", tls, 1, 8, 128, cpu(0.60)),
		layered("tls8:8/128", tls, 8, 8, 128, cpu(0.60)),
		layered("tls1:1/16k", tls, 1, 1, 16<<10, cpu(0.90)),
	}
}

// layered is np publishers and ns subscribers over t: as many pairs, or a fan-out.
func layered(name string, t transport, np, ns, size int, floors []floor) scenario {
	about := fmt.Sprintf("%s: fan-out to %d subscribers, %s B", t, ns, sizeName(size))
	load := func(s *session, o options) (leg, error) { return s.fanLeg(o, "", np, ns) }
	if np == ns {
		about = fmt.Sprintf("%s: %d publishers, %d subjects, one subscriber each, %s B", t, np, np, sizeName(size))
		load = func(s *session, o options) (leg, error) { return s.pairsLeg(o, np, size) }
	}
	switch {
	case t.single:
		about += ", each PUB in a frame of its own"
	case t.websocket:
		about += ", frames of up to 64 KiB"
	}
	return scenario{
		name:   name,
		about:  about,
		floors: floors,
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.over(ctx, t, func(s *session) (leg, error) { return load(s, st.opts) })
		},
	}
}
