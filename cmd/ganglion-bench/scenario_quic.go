package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// quicMessages is how many messages each connection of quic-idle has got before
// it is left alone.
const quicMessages = 3

// quicLoads are loads and idle connections over QUIC. What Ganglion costs there is
// compared with a bare relay on the same library (relay.go): nats-server has no
// QUIC.
func quicLoads(o options, files uint64) []scenario {
	all := []scenario{quicLoad(1), quicLoad(8)}
	const n = 2000
	if n+1000 <= files {
		all = append(all, quicIdle(o, n, 1), quicIdle(o, n/2, 10))
	}
	return all
}

// quicLoad is a publisher and ns subscribers, with a QUIC connection each.
func quicLoad(ns int) scenario {
	return scenario{
		name:   fmt.Sprintf("quic-1:%d", ns),
		about:  fmt.Sprintf("QUIC: one publisher, subscribers: %d, 128 B; against a bare relay of the same bytes", ns),
		floors: quicFloors(),
		bare:   true,
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.over(ctx, transport{quic: true}, func(s *session) (leg, error) { return s.quicLeg(st.opts, ns) })
		},
	}
}

// quicLeg also looks at the packets in which the subscribers get their messages,
// from the first message to the last.
func (s *session) quicLeg(o options, ns int) (leg, error) {
	t, err := s.fan("one.to.one.0", "", 128, 1, ns, min(windowTotal, ns*windowPerSub))
	if err != nil {
		return leg{}, err
	}
	if err := t.attach(s); err != nil {
		return leg{}, err
	}
	packets, bytes := t.received()
	l, err := s.full(o, t.pubs, t.wins, t.subs)
	if err != nil {
		return leg{}, err
	}
	p, b := t.received()
	l.Extra = map[string]float64{
		"packets per 100 messages": 100 * float64(p-packets) / float64(sum(t.wins)()),
		"packet bytes":             float64(b-bytes) / float64(p-packets),
	}
	return l, nil
}

// received is what came in on the subscribers' sockets.
func (t *topology) received() (packets, bytes int64) {
	for _, c := range t.subs {
		packets += c.quic.link.in.packets.Load()
		bytes += c.quic.link.in.bytes.Load()
	}
	return packets, bytes
}

// quicIdle is n QUIC connections with streams NATS connections each, of which
// every one has had a few messages; the bare server has one stream each.
func quicIdle(o options, n, streams int) scenario {
	sc := scenario{
		name:   "quic-idle",
		about:  fmt.Sprintf("%d QUIC connections, %d messages, then idle: RSS per connection; against a bare server", n, quicMessages),
		kind:   footprint,
		pairs:  min(idlePairs, o.pairs),
		steady: true,
		bare:   true,
		floors: []floor{atMost("d.idle B/conn", quicIdleBytes+float64(streams-1)*quicStreamBytes).as("more than bare")},
		run: func(ctx context.Context, st *stage) (leg, error) {
			over := transport{quic: true, lean: true, streams: streams}
			if st.product.relay {
				over.streams = 1
			}
			return st.over(ctx, over, func(s *session) (leg, error) { return quicIdleLeg(s, st.opts, n) })
		},
	}
	if streams > 1 {
		sc.name += fmt.Sprintf("/%d", streams)
		sc.about = fmt.Sprintf("%d QUIC connections of %d NATS connections each, %d messages to each, then idle: RSS per QUIC connection; against a bare server with one stream each",
			n, streams, quicMessages)
	}
	return sc
}

func quicIdleLeg(s *session, o options, n int) (leg, error) {
	warm, err := s.dial()
	if err != nil {
		return leg{}, err
	}
	if err := s.sleep(time.Second); err != nil {
		return leg{}, err
	}
	before, err := s.srv.rss()
	if err != nil {
		return leg{}, err
	}
	h, err := s.gatherQUIC(n)
	if err != nil {
		return leg{}, err
	}
	if err := s.attach(warm); err != nil {
		return leg{}, err
	}
	for range quicMessages {
		if err := h.tell(warm); err != nil {
			return leg{}, err
		}
	}
	if err := s.sleep(o.idleWait); err != nil {
		return leg{}, err
	}
	after, err := s.srv.rss()
	if err != nil {
		return leg{}, err
	}
	return leg{RSS: after, Extra: map[string]float64{
		"idle B/conn":    float64(after-before) / float64(n),
		"rss before MiB": float64(before) / (1 << 20),
	}}, nil
}

// gatherQUIC makes n QUIC connections with all their NATS connections, some of
// them at once.
func (s *session) gatherQUIC(n int) (*herd, error) {
	each := max(1, s.srv.over.streams)
	h := &herd{s: s, n: n * each, conns: make([]*conn, n*each)}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range shakers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := h.joinQUIC(h.conns[i*each:(i+1)*each], i*each); err != nil {
					cancel(fmt.Errorf("QUIC connection %d of %d: %w", i, n, err))
				}
			}
		})
	}
	wg.Wait()
	for _, c := range h.conns {
		if c != nil {
			s.conns = append(s.conns, c)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return h, s.attach(h.conns...)
}

// joinQUIC fills conns with streams of one QUIC connection, numbered from first.
func (h *herd) joinQUIC(conns []*conn, first int) error {
	q, err := dialQUIC(h.s.ctx, h.s.srv)
	if err != nil {
		return err
	}
	for i := range conns {
		c, err := h.s.stream(q, h.s.srv.over)
		if err != nil {
			return err
		}
		conns[i] = c
		if err := h.enter(c, first+i); err != nil {
			return err
		}
		if err := c.await(1); err != nil {
			return err
		}
	}
	return nil
}
