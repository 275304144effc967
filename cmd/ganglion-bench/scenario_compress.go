package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	feedSubs    = 1_000
	feedRate    = 20   // messages a second: 20,000 compressed deliveries a second, which nats-server can do
	feedBytes   = 1024 // of a message
	feedChoice  = 256  // different messages
	feedSubject = "feed.quotes"
)

// compressedFeed is one feed to many browsers that asked for compression.
// Every delivery is inflated and counted, on every connection: see inflater.
func compressedFeed() scenario {
	return scenario{
		name: "wscompress",
		about: fmt.Sprintf("one JSON feed, %d msg/s of %d B, to %d subscribers with permessage-deflate; memory is the growth of the server's RSS by them",
			feedRate, feedBytes, feedSubs),
		floors: []floor{
			atMost("x.growth MiB", 0.10).as("memory ratio"),
			atMost("x.cpu", 0.20),
		},
		run: func(ctx context.Context, st *stage) (leg, error) {
			t := transport{websocket: true, deflate: true}
			return st.over(ctx, t, func(s *session) (leg, error) { return feedLeg(s, st.opts) })
		},
	}
}

// reader is a subscriber with a count of its own.
type reader struct {
	*conn
	n atomic.Int64
}

func feedLeg(s *session, o options) (leg, error) {
	pub, err := s.dialOver(transport{})
	if err != nil {
		return leg{}, err
	}
	if err := s.sleep(time.Second); err != nil { // whatever is set up once, is by now
		return leg{}, err
	}
	before, err := s.srv.rss()
	if err != nil {
		return leg{}, err
	}
	win := newWindow(pacedWindow, feedBytes)
	readers, err := s.feedReaders(win)
	if err != nil {
		return leg{}, err
	}
	var conns []*conn
	for _, r := range readers {
		conns = append(conns, r.conn)
	}
	if err := s.attach(pub); err != nil {
		return leg{}, err
	}
	if err := s.attach(conns...); err != nil {
		return leg{}, err
	}

	feed, sent := feedMessages(feedChoice), 0
	send := func(n int) error {
		for range n {
			if err := win.reserve(s.ctx, feedSubs); err != nil {
				return err
			}
			if err := pub.write(feed[sent%len(feed)]); err != nil {
				return err
			}
			sent++
		}
		return nil
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() { s.stop(pace(feedRate, paceStep, &stop, send)) })
	defer wg.Wait()
	defer stop.Store(true)
	res, err := s.measure(o, win.done.Load)
	if err != nil {
		return leg{}, err
	}
	stop.Store(true)
	wg.Wait()
	if err := verify(s, []*window{win}, conns); err != nil {
		return leg{}, err
	}
	for i, r := range readers {
		if got := r.n.Load(); got != int64(sent) {
			return leg{}, fmt.Errorf("subscriber %d received %d of %d messages", i, got, sent)
		}
	}
	if s.zip.wire == 0 || s.zip.content == 0 {
		return leg{}, fmt.Errorf("%s compressed nothing", s.srv.name)
	}
	res.Extra = map[string]float64{
		"growth MiB":       float64(res.RSS-before) / (1 << 20),
		"compressed to":    float64(s.zip.wire) / float64(s.zip.content),
		"frames a message": float64(s.zip.done+s.zip.reused) / float64(sent) / feedSubs,
	}
	return res, nil
}

func (s *session) feedReaders(win *window) ([]*reader, error) {
	head := msgHead(feedSubject, "1", "", feedBytes)
	readers := make([]*reader, feedSubs)
	for i := range readers {
		c, err := s.dial()
		if err != nil {
			return nil, fmt.Errorf("subscriber %d: %w", i, err)
		}
		if err := c.flush([]byte("SUB " + feedSubject + " 1\r\n")); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		r := &reader{conn: c}
		c.sink = &counter{
			control: &c.control, size: msgSize(head, feedBytes), head: []byte(head),
			add: func(n int) { r.n.Add(int64(n)); win.delivered(n) },
		}
		readers[i] = r
	}
	return readers, nil
}

// feedMessages are PUBs of JSON as feeds send it: the same keys each time,
// figures that change, ten instruments in a message. All n are different and
// feedBytes long.
func feedMessages(n int) [][]byte {
	rnd := rand.New(rand.NewPCG(5, 6))
	symbols := []string{"ACME", "BOLT", "CRUX", "DYNE", "ECHO", "FLUX", "GRID", "HALO", "IRIS", "JADE"}
	feed := make([][]byte, n)
	for i := range feed {
		b := fmt.Appendf(nil, `{"type":"quotes","venue":"XETR","seq":%08d,"time":"2026-03-02T09:%02d:%02d.%03dZ","quotes":[`,
			10_000_000+i, i/60%60, i%60, rnd.IntN(1000))
		for k, sym := range symbols {
			if k > 0 {
				b = append(b, ',')
			}
			price := 10_000 + 500*k + rnd.IntN(400)
			b = fmt.Appendf(b, `{"symbol":"%s","bid":%d.%02d,"ask":%d.%02d,"size":%04d,"change":%.4f,"open":true}`,
				sym, price/100, price%100, (price+3)/100, (price+3)%100, 1000+rnd.IntN(9000), rnd.Float64())
		}
		b = append(b, `],"note":"`...)
		for len(b) < feedBytes-2 {
			b = append(b, "delayed by fifteen minutes; "[len(b)%28])
		}
		b = append(b, `"}`...)
		feed[i] = fmt.Appendf(nil, "PUB %s %d\r\n%s\r\n", feedSubject, len(b), b)
	}
	return feed
}
