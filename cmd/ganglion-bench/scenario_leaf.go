package main

import (
	"context"
	"fmt"
)

// leafLoads are loads over leafnode links.
func leafLoads() []scenario {
	var all []scenario
	for _, up := range []bool{true, false} {
		all = append(all, leafHop(up, 128), leafHop(up, 1<<10), leafFeed(up))
	}
	return append(all, leafPair(), leafInterest(), leafReconnect())
}

func leafName(up bool) (name, about string) {
	if up {
		return "leaf-up", "publisher at the edge, subscriber at the hub"
	}
	return "leaf-down", "publisher at the hub, subscriber at the edge"
}

// leafHop is one publisher and one subscriber with a leafnode link between them.
// The hub is always a nats-server, and only the edge is measured.
func leafHop(up bool, size int) scenario {
	name, about := leafName(up)
	return scenario{
		name:   fmt.Sprintf("%s/%s", name, sizeName(size)),
		about:  fmt.Sprintf("leafnode link to a nats-server, uncompressed: %s, %d B; CPU is the edge's", about, size),
		floors: leafFloors(size),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.join(ctx, leafSpec{}, func(j *joined) (leg, error) { return j.hop(st.opts, up, size, nil) })
		},
	}
}

// leafFeed is leafHop of JSON over a compressed link.
func leafFeed(up bool) scenario {
	name, about := leafName(up)
	return scenario{
		name:  name + "/s2",
		about: fmt.Sprintf("leafnode link to a nats-server, s2_fast: %s, JSON of %d B; CPU is the edge's", about, feedBytes),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.join(ctx, leafSpec{compression: "s2_fast"}, func(j *joined) (leg, error) { return j.hop(st.opts, up, feedBytes, feedChunks()) })
		},
	}
}

// leafPair is leafHop between two servers of one product, both measured.
func leafPair() scenario {
	return scenario{
		name:   "leaf-pair",
		about:  "leafnode link between two servers of a kind, uncompressed: publisher at the edge, subscriber at the hub, 128 B; CPU is that of both",
		floors: cpuAndRate(leafPairCPU, leafPairRate),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.join(ctx, leafSpec{pair: true}, func(j *joined) (leg, error) { return j.hop(st.opts, true, 128, nil) })
		},
	}
}

// leafFeedChoice is how many different messages cross a compressed link: what
// repeats after more than the 4 MiB that S2 looks back at most gains nothing from it.
const leafFeedChoice = 5000

// feedChunks are messages as those of wscompress, but more of them.
func feedChunks() []chunk {
	var all []chunk
	var c chunk
	for _, pub := range feedMessages(leafFeedChoice) {
		c.b = append(c.b, pub...)
		if c.n++; len(c.b) >= chunkBytes {
			all = append(all, c)
			c = chunk{}
		}
	}
	if c.n > 0 {
		all = append(all, c)
	}
	return all
}

// hop measures a publisher on one side and a subscriber on the other; chunks, if
// any, is what is published on feedSubject.
func (j *joined) hop(o options, up bool, size int, chunks []chunk) (leg, error) {
	from, to := j.edge, j.hub
	if !up {
		from, to = to, from
	}
	subject := "one.to.one.0"
	if chunks != nil {
		subject = feedSubject
	}
	t, err := from.fanTo(to, subject, "", size, 1, 1, windowPerSub)
	if err != nil {
		return leg{}, err
	}
	if chunks != nil {
		t.pubs[0].chunks = chunks
	}
	if err := j.probe(from, to); err != nil {
		return leg{}, err
	}
	if err := t.attachTo(from, to); err != nil {
		return leg{}, err
	}
	return j.edge.full(o, t.pubs, t.wins, t.subs)
}
