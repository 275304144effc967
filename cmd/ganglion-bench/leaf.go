package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// leafSpec says how a leg joins two servers by a leafnode link.
type leafSpec struct {
	pair        bool   // both are the product; else the hub is nats-server
	compression string // "" is off
}

func (l leafSpec) mode() string {
	if l.compression == "" {
		return "off"
	}
	return l.compression
}

// hubConfig and edgeConfig are what either product reads.
func (l leafSpec) hubConfig(web, leafs netip.AddrPort) string {
	return fmt.Sprintf("http: %q\nleafnodes { listen: %q, compression: %s }\n", web, leafs, l.mode())
}

func (l leafSpec) edgeConfig(web, leafs netip.AddrPort) string {
	return fmt.Sprintf("http: %q\nleafnodes { remotes: [ { url: \"nats-leaf://%s\", compression: %s } ] }\n", web, leafs, l.mode())
}

// joined is an edge with a leafnode link to a hub, and a session with each. The
// edge's is the one that measures.
type joined struct {
	st       *stage
	spec     leafSpec
	edge     *session
	hub      *session
	hubWeb   netip.AddrPort // monitoring
	edgeWeb  netip.AddrPort
	leafPort netip.AddrPort // of the hub
}

// join starts both servers and runs f once the link is up, in both directions.
func (st *stage) join(ctx context.Context, spec leafSpec, f func(*joined) (leg, error)) (leg, error) {
	ports, err := keptAddrs(3)
	if err != nil {
		return leg{}, err
	}
	j := &joined{st: st, spec: spec, hubWeb: ports[0], edgeWeb: ports[1], leafPort: ports[2]}
	hub, err := j.startHub(ctx)
	if err != nil {
		return leg{}, err
	}
	edge, err := st.start(ctx, transport{conf: spec.edgeConfig(j.edgeWeb, j.leafPort)})
	if err != nil {
		return leg{}, err
	}
	j.edge = newSession(ctx, edge)
	defer j.edge.close()
	j.edge.others, j.edge.joint = []*server{hub}, spec.pair
	j.openHub(hub)
	defer func() { j.hub.close() }()
	l, err := leg{}, errors.Join(j.probe(j.hub, j.edge), j.probe(j.edge, j.hub))
	if err == nil {
		l, err = f(j)
	}
	if cause := j.edge.err(); cause != nil {
		err = cause
	}
	if err != nil {
		return leg{}, edge.explain(hub.explain(err))
	}
	return l, nil
}

// keptAddrs finds n addresses with ports below those that the kernel gives to
// connections: nobody gets one by chance while a leg goes on, not even between
// the end of a hub and its next start.
func keptAddrs(n int) (all []netip.AddrPort, err error) {
	const from, to, tries = 20_000, 32_000, 1000
	for range tries {
		if len(all) == n {
			break
		}
		ln, e := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", from+rand.IntN(to-from)))
		if e != nil {
			err = e
			continue
		}
		defer ln.Close()
		all = append(all, ln.Addr().(*net.TCPAddr).AddrPort())
	}
	if len(all) < n {
		return nil, fmt.Errorf("find a free port from %d to %d: %w", from, to, err)
	}
	return all, nil
}

func (j *joined) startHub(ctx context.Context) (*server, error) {
	p := j.st.nats
	if j.spec.pair {
		p = j.st.product
	}
	return j.st.startAs(ctx, p, transport{conf: j.spec.hubConfig(j.hubWeb, j.leafPort)})
}

// openHub begins a session with the hub, which fails together with the edge's.
func (j *joined) openHub(hub *server) {
	s := newSession(j.edge.ctx, hub)
	context.AfterFunc(s.ctx, func() { j.edge.stop(context.Cause(s.ctx)) })
	j.hub = s
}

// probe waits until what is published at from arrives at to, and with it until
// from knows of everything that was subscribed to at to before.
func (j *joined) probe(from, to *session) error {
	const subject = "bench.probe"
	ctx, cancel := context.WithTimeout(j.edge.ctx, patience)
	defer cancel()
	sub, err := plainClient(ctx, to.srv.addr, "SUB "+subject+" 1\r\n")
	if err != nil {
		return err
	}
	defer sub.Close()
	pub, err := plainClient(ctx, from.srv.addr, "")
	if err != nil {
		return err
	}
	defer pub.Close()
	r := bufio.NewReader(sub)
	for ctx.Err() == nil {
		if _, err := pub.Write([]byte("PUB " + subject + " 0\r\n\r\n")); err != nil {
			return fmt.Errorf("probe the link: %w", err)
		}
		sub.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		line, err := r.ReadString('\n')
		var ne net.Error
		switch {
		case strings.HasPrefix(line, "MSG "):
			return nil
		case err != nil && !(errors.As(err, &ne) && ne.Timeout()):
			return fmt.Errorf("probe the link: %w", err)
		}
	}
	return fmt.Errorf("nothing crosses the link from %s to %s within %s", from.srv.name, to.srv.name, patience)
}

// plainClient connects, sends ops and waits until they are handled.
func plainClient(ctx context.Context, addr netip.AddrPort, ops string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp4", addr.String())
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(hello + ops + "PING\r\n")); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect a client: %w", err)
	}
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "-ERR") {
			c.Close()
			return nil, fmt.Errorf("connect a client: %w%s", err, line)
		}
		if line == "PONG\r\n" {
			return c, nil
		}
	}
}

// interestStep is how often a hub is asked for its interest.
const interestStep = 5 * time.Millisecond

// interest is how many subscriptions a server has and has had, by /subsz.
type interest struct {
	Subs    int64 `json:"num_subscriptions"`
	Inserts int64 `json:"num_inserts"`
	Removes int64 `json:"num_removes"`
}

// changes is how many came and went so far.
func (i interest) changes() int64 { return i.Inserts + i.Removes }

func (j *joined) interestAt(web netip.AddrPort) (i interest, err error) {
	ctx, cancel := context.WithTimeout(j.edge.ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/subsz", web), nil)
	if err != nil {
		return i, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return i, fmt.Errorf("ask for subscriptions: %w", err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&i); err != nil {
		return i, fmt.Errorf("ask for subscriptions: %w", err)
	}
	return i, nil
}

// settled waits until the hub's subscriptions are as many as before and n, and
// returns how long after begin it was.
func (j *joined) settled(before interest, n int64, begin time.Time) (time.Duration, error) {
	var now interest
	err := j.edge.poll("interest", interestStep, func() bool {
		var err error
		if now, err = j.interestAt(j.hubWeb); err != nil {
			j.edge.stop(err)
			return false
		}
		return now.Subs == before.Subs+n
	})
	if err != nil {
		return 0, fmt.Errorf("%w: the hub has %d subscriptions by the link, of %d", err, now.Subs-before.Subs, n)
	}
	return time.Since(begin), nil
}
