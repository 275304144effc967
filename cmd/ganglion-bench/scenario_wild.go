package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
)

const (
	wildSubs     = 100_000
	wildSubjects = 10 * wildSubs
	wildConns    = 4
	wildPayload  = 128
)

// wildcards is 100,000 wildcard subscriptions on 4 connections and 1,000,000
// subjects, in random order so that no cache of a sane size holds them.
//
// All live below one root, and the position of the unique token differs, so that
// a matcher must look into literal and wildcard branches at each level; yet
// every subject matches exactly one subscription:
//
//	i%4   subscription     subject (10 of them, v0 to v9)
//	0     w.iiiii.*.j3     w.iiiii.v7.j3
//	1     w.*.iiiii.j3     w.v7.iiiii.j3
//	2     w.j3.iiiii.*     w.j3.iiiii.v7
//	3     w.*.j3.iiiii     w.v7.j3.iiiii
func wildcards() scenario {
	chunks := sync.OnceValue(wildChunks) // 155 MB, made when first needed
	return scenario{
		name:   "wild100k",
		about:  "100,000 wildcard subscriptions, 1,000,000 subjects, each message matches one, 128 B",
		floors: cpuAndRate(0.25, 2.5),
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) {
				t, err := s.wildTopology(chunks())
				if err != nil {
					return leg{}, err
				}
				return s.full(st.opts, t.pubs, t.wins, t.subs)
			})
		},
	}
}

// wildSubject is the subject of subscription i with token v at its wildcard.
func wildSubject(i int, v string) string {
	id, j := fmt.Sprintf("%05d", i), fmt.Sprintf("j%d", i%7)
	switch i % 4 {
	case 0:
		return "w." + id + "." + v + "." + j
	case 1:
		return "w." + v + "." + id + "." + j
	case 2:
		return "w." + j + "." + id + "." + v
	}
	return "w." + v + "." + j + "." + id
}

func wildChunks() []chunk {
	order := rand.New(rand.NewPCG(1, 2)).Perm(wildSubjects)
	var chunks []chunk
	c := chunk{b: make([]byte, 0, chunkBytes+512)}
	for k, x := range order {
		c.b = appendPub(c.b, wildSubject(x%wildSubs, fmt.Sprintf("v%d", x/wildSubs)), "", wildPayload)
		c.n++
		if len(c.b) >= chunkBytes || k == len(order)-1 {
			chunks = append(chunks, c)
			c = chunk{b: make([]byte, 0, chunkBytes+512)}
		}
	}
	return chunks
}

func (s *session) wildTopology(chunks []chunk) (*topology, error) {
	t := &topology{}
	size := msgSize(msgHead(wildSubject(0, "v0"), "00000", "", wildPayload), wildPayload)
	win := newWindow(windowTotal, size)
	t.wins = []*window{win}
	for k := range wildConns {
		c, err := s.dial()
		if err != nil {
			return nil, err
		}
		var subs []byte
		for i := 0; i < wildSubs; i += wildConns {
			// Dealt out so that each connection holds all four forms.
			id := i + (k+i/wildConns)%wildConns
			subs = fmt.Appendf(subs, "SUB %s %05d\r\n", wildSubject(id, "*"), id)
		}
		if err := c.flush(subs); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		c.sink = &counter{control: &c.control, size: size, head: []byte("MSG w."), add: win.delivered}
		t.subs = append(t.subs, c)
	}
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	t.pubs = []publisher{{c: c, chunks: chunks, win: win, fanout: 1}}
	return t, t.attach(s)
}
