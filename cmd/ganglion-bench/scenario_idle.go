package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// perSource connections share a source address, far fewer than there are ephemeral ports.
const perSource = 5_000

// pendingHellos bounds the connections that wait for the server at once; more
// would overflow its accept backlog and wait for a SYN to be repeated.
const pendingHellos = 100

// shakers is how many connections do their handshakes at once where those take
// several round trips.
const shakers = 16

// idlePairs is enough for figures that hardly scatter and take a minute a leg.
const idlePairs = 2

// idle is n connections that do nothing, with a subscription each, of which
// one may cost bound bytes.
func idle(o options, name string, n int, t transport, bound float64) scenario {
	t.lean = true
	return scenario{
		name:   name,
		about:  fmt.Sprintf("%d %s connections with one subscription each: RSS per connection when idle, and after a message to each", n, t),
		kind:   footprint,
		pairs:  min(idlePairs, o.pairs),
		steady: true,
		floors: []floor{
			atMost("g.idle B/conn", bound),
			atMost("g.after messages B/conn", bound),
		},
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.over(ctx, t, func(s *session) (leg, error) { return idleLeg(s, st.opts, n) })
		},
	}
}

func idleLeg(s *session, o options, n int) (leg, error) {
	// Whatever the server sets up once, it has set up by now.
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
	herd, err := s.gather(n)
	if err != nil {
		return leg{}, err
	}
	if err := s.sleep(o.idleWait); err != nil {
		return leg{}, err
	}
	quiet, err := s.srv.rss()
	if err != nil {
		return leg{}, err
	}
	cpu0, _ := s.srv.cpu()
	if err := s.attach(warm); err != nil {
		return leg{}, err
	}
	if err := herd.tell(warm); err != nil {
		return leg{}, err
	}
	cpu1, _ := s.srv.cpu()
	if err := s.sleep(o.idleWait / 3); err != nil {
		return leg{}, err
	}
	after, err := s.srv.rss()
	if err != nil {
		return leg{}, err
	}
	return leg{RSS: after, Extra: map[string]float64{
		"idle B/conn":           float64(quiet-before) / float64(n),
		"after messages B/conn": float64(after-before) / float64(n),
		"rss before MiB":        float64(before) / (1 << 20),
		"cpu to wake one µs":    float64(cpu1-cpu0) / float64(n) / 1e3,
	}}, nil
}

// herd is many connections that all subscribe to a subject of their own.
type herd struct {
	s     *session
	n     int
	conns []*conn
	told  atomic.Int64 // messages received
}

func idleSubject(i int) string { return fmt.Sprintf("idle.%05d", i) }

const idleBytes = 16

// gather connects n clients. Their sockets need no goroutine and no buffer
// here: one loop reads them all.
func (s *session) gather(n int) (*herd, error) {
	h := &herd{s: s, n: n}
	if s.srv.over.layered() {
		if err := h.shake(); err != nil {
			return nil, err
		}
		return h, s.attach(h.conns...)
	}
	for first := 0; first < n; first += pendingHellos {
		batch := make([]*conn, 0, pendingHellos)
		for i := first; i < min(n, first+pendingHellos); i++ {
			c, err := h.join(i)
			if c != nil {
				s.conns = append(s.conns, c)
			}
			if err != nil {
				return nil, fmt.Errorf("connection %d of %d: %w", i, n, err)
			}
			batch = append(batch, c)
		}
		// The answer to the handshake is taken here, so that no more than a
		// batch is under way.
		for _, c := range batch {
			if err := c.await(1); err != nil {
				return nil, fmt.Errorf("handshake: %w", err)
			}
		}
		h.conns = append(h.conns, batch...)
	}
	return h, s.attach(h.conns...)
}

// shake connects all clients, shakers at a time.
func (h *herd) shake() error {
	h.conns = make([]*conn, h.n)
	errs := make([]error, shakers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for k := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < h.n && errs[k] == nil; i = int(next.Add(1)) - 1 {
				c, err := h.join(i)
				if err == nil {
					err = c.await(1)
				}
				if h.conns[i] = c; err != nil {
					next.Store(int64(h.n)) // nobody starts another
					errs[k] = fmt.Errorf("connection %d of %d: %w", i, h.n, err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range h.conns {
		if c != nil {
			h.s.conns = append(h.s.conns, c)
		}
	}
	return errors.Join(errs...)
}

// join opens connection i and sends its NATS handshake without waiting. The
// caller closes the connection, also one returned beside an error.
func (h *herd) join(i int) (*conn, error) {
	c, err := h.s.connect(netip.AddrFrom4([4]byte{127, 0, 0, byte(2 + i/perSource)}), h.s.srv.over)
	if err != nil {
		return c, err
	}
	return c, h.enter(c, i)
}

// enter sends the NATS handshake of connection i.
func (h *herd) enter(c *conn, i int) error {
	head := msgHead(idleSubject(i), "1", "", idleBytes)
	c.sink = &counter{
		control: &c.control, size: msgSize(head, idleBytes), head: []byte(head),
		add: func(n int) { h.told.Add(int64(n)) },
	}
	return c.op(fmt.Appendf(nil, "%sSUB %s 1\r\nPING\r\n", hello, idleSubject(i)))
}

// tell publishes a message to each and waits for all.
func (h *herd) tell(from *conn) error {
	var b []byte
	want := h.told.Load() + int64(h.n)
	for i := range h.n {
		if h.s.srv.relay {
			b = appendTell(b, idleSubject(i), idleBytes)
		} else {
			b = appendPub(b, idleSubject(i), "", idleBytes)
		}
		// Not all at once: a device gets its message when it gets it.
		if i%100 == 99 || i == h.n-1 {
			if err := from.op(b); err != nil {
				return err
			}
			b = b[:0]
			if err := h.s.sleep(2 * time.Millisecond); err != nil {
				return err
			}
		}
	}
	if err := h.s.until("message to every idle connection", func() bool { return h.told.Load() >= want }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, h.told.Load(), want)
	}
	if err := h.s.settle(from); err != nil {
		return err
	}
	if got := h.told.Load(); got != want {
		return fmt.Errorf("%d messages expected, %d counted", want, got)
	}
	return nil
}
