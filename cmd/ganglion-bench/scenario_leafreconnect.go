package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	resumeSubs  = 100_000
	resumeConns = 10
)

// leafReconnect is an edge with many subscriptions whose hub is killed and started
// again.
func leafReconnect() scenario {
	return scenario{
		name: "leaf-reconnect",
		about: fmt.Sprintf("leafnode link between two servers of a kind: %d subscriptions at the edge, the hub killed and started again; from TCP connection to the last of them at the hub",
			resumeSubs),
		kind:   footprint,
		pairs:  3,
		floors: []floor{atMost("g.resumed ms", leafResumeMS)},
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.join(ctx, leafSpec{pair: true}, func(j *joined) (leg, error) { return j.reconnectLeg(ctx) })
		},
	}
}

func (j *joined) reconnectLeg(ctx context.Context) (leg, error) {
	before, err := j.idleInterest()
	if err != nil {
		return leg{}, err
	}
	var got atomic.Int64
	begin := time.Now()
	conns, err := j.resumers(&got)
	if err != nil {
		return leg{}, err
	}
	first, err := j.settled(before, resumeSubs, begin)
	if err != nil {
		return leg{}, err
	}

	old := j.hub
	old.srv.kill()
	hub, err := j.startHub(ctx)
	if err != nil {
		return leg{}, err
	}
	old.close()
	j.edge.others = []*server{hub}
	j.openHub(hub)
	if err := j.edge.poll("TCP connection of the edge", time.Millisecond, func() bool { return connected(j.leafPort.Port()) }); err != nil {
		return leg{}, err
	}
	accepted := time.Now()
	own, err := j.edge.srv.cpu()
	if err != nil {
		return leg{}, err
	}
	took, err := j.settled(before, resumeSubs, accepted)
	if err != nil {
		return leg{}, err
	}
	after, err := j.edge.srv.cpu()
	if err != nil {
		return leg{}, err
	}
	both, err := hub.cpu()
	if err != nil {
		return leg{}, err
	}
	if err := j.checkResumed(conns, &got); err != nil {
		return leg{}, err
	}
	return leg{Extra: map[string]float64{
		"resumed ms":         float64(took) / 1e6,
		"first announced ms": float64(first) / 1e6,
		"edge CPU ms":        float64(after-own) / 1e6,
		"hub CPU ms":         float64(both) / 1e6, // its start included
	}}, nil
}

func resumed(i int) string { return fmt.Sprintf("resume.%06d", i) }

// resumers are clients at the edge with resumeSubs subscriptions between them.
func (j *joined) resumers(got *atomic.Int64) (conns []*conn, err error) {
	const each = resumeSubs / resumeConns
	head := msgHead(resumed(0), "1", "", 0)
	for k := range resumeConns {
		c, err := j.edge.dial()
		if err != nil {
			return nil, err
		}
		var b []byte
		for i := range each {
			b = fmt.Appendf(b, "SUB %s %06d\r\n", resumed(k*each+i), i)
		}
		if err := c.flush(b); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		c.sink = &counter{control: &c.control, size: msgSize(head, 0) + len("000000") - len("1"), head: []byte("MSG resume."), add: func(n int) { got.Add(int64(n)) }}
		conns = append(conns, c)
	}
	return conns, j.edge.attach(conns...)
}

// checkResumed publishes once to each subject at the hub.
func (j *joined) checkResumed(conns []*conn, got *atomic.Int64) error {
	pub, err := j.hub.dial()
	if err != nil {
		return err
	}
	var b []byte
	for i := range resumeSubs {
		b = appendPub(b, resumed(i), "", 0)
	}
	if err := pub.flush(b); err != nil {
		return fmt.Errorf("publish to what was resumed: %w", err)
	}
	if err := j.edge.until("message to the last subscription", func() bool { return got.Load() >= resumeSubs }); err != nil {
		return fmt.Errorf("%w: %d of %d came", err, got.Load(), resumeSubs)
	}
	if err := errors.Join(j.probe(j.hub, j.edge), j.edge.settle(conns...)); err != nil {
		return err
	}
	if n := got.Load(); n != resumeSubs {
		return fmt.Errorf("%d messages came to %d subscriptions", n, resumeSubs)
	}
	return nil
}

// connected reports whether somebody has a TCP connection to a local port, by the
// kernel's table: it knows before any server does.
func connected(port uint16) bool {
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return false
	}
	const established = "01"
	at := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], at) && f[3] == established {
			return true
		}
	}
	return false
}
