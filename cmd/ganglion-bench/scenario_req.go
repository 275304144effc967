package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const reqBytes = 16

// requests is conns requesters with inflight requests each, and one responder
// that answers all requests of a read with one write.
func requests(name, about string, conns, inflight int, floors []floor) scenario {
	return scenario{
		name:   name,
		about:  about,
		kind:   latency,
		floors: floors,
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.on(ctx, func(s *session) (leg, error) { return requestLeg(s, st.opts, conns, inflight) })
		},
	}
}

func requestLeg(s *session, o options, n, inflight int) (leg, error) {
	const service = "svc.echo"
	inbox := func(i int) string { return fmt.Sprintf("_INBOX.%04d", i) }

	resp, err := s.dial()
	if err != nil {
		return leg{}, err
	}
	if err := resp.flush(fmt.Appendf(nil, "SUB %s 1\r\n", service)); err != nil {
		return leg{}, fmt.Errorf("subscribe: %w", err)
	}
	respond(resp, service, inbox(0))

	// A window without limit: requesters limit themselves.
	win := newWindow(pacedWindow, 1)
	reqs := make([]*requester, n)
	var conns []*conn
	for i := range reqs {
		c, err := s.dial()
		if err != nil {
			return leg{}, err
		}
		if err := c.flush(fmt.Appendf(nil, "SUB %s 1\r\n", inbox(i))); err != nil {
			return leg{}, fmt.Errorf("subscribe: %w", err)
		}
		reqs[i] = newRequester(s, c, service, inbox(i), inflight, win)
		conns = append(conns, c)
	}
	if err := errors.Join(s.attach(resp), s.attach(conns...)); err != nil {
		return leg{}, err
	}
	for _, r := range reqs {
		if err := r.send(inflight); err != nil {
			return leg{}, err
		}
	}
	res, err := s.measure(o, win.done.Load)
	if err != nil {
		return leg{}, err
	}
	// No more requests; those in flight are still answered. A PONG that passed the
	// loop proves that it has seen the flag, and sent counts for good.
	s.draining.Store(true)
	if err := s.settle(conns...); err != nil {
		return leg{}, err
	}
	if err := verify(s, []*window{win}, conns); err != nil {
		return leg{}, err
	}
	var h hist
	for _, r := range reqs {
		h.merge(&r.h)
	}
	res.latency(&h)
	return res, nil
}

// respond makes c answer each request with its payload.
func respond(c *conn, service, inbox string) {
	head := msgHead(service, "1", inbox, reqBytes)
	reply := len("MSG ") + len(service) + len(" 1 ") // where the reply subject begins
	f := &framer{control: &c.control, size: msgSize(head, reqBytes)}
	var out []byte
	f.run = func(msgs []byte) error {
		for m := msgs; len(m) > 0; m = m[f.size:] {
			out = append(out, "PUB "...)
			out = append(out, m[reply:f.size]...) // "reply size CRLF payload CRLF" is the rest of both
		}
		return nil
	}
	f.end = func() error {
		if len(out) == 0 {
			return nil
		}
		err := c.write(out)
		out = out[:0]
		return err
	}
	c.sink = f
}

// requester sends a request for each reply that it gets.
type requester struct {
	s   *session
	c   *conn
	win *window
	one []byte // a request
	buf []byte
	h   hist
}

func newRequester(s *session, c *conn, service, inbox string, inflight int, win *window) *requester {
	r := &requester{s: s, c: c, win: win, one: appendPub(nil, service, inbox, reqBytes)}
	head := msgHead(inbox, "1", "", reqBytes)
	due := 0
	f := stampedSink(s, c, head, reqBytes, &r.h, func(n int) {
		win.delivered(n)
		due += n
	})
	f.end = func() error {
		n := due
		due = 0
		if n == 0 || s.draining.Load() {
			return nil
		}
		return r.send(n)
	}
	c.sink = f
	return r
}

// send sends n requests in one write.
func (r *requester) send(n int) error {
	r.win.sent.Add(int64(n))
	b, now := r.buf[:0], time.Since(epoch)
	for range n {
		b = append(b, r.one...)
		stamp(b[len(b)-2-reqBytes:], now)
	}
	r.buf = b
	return r.c.write(b)
}
