package brokertest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/leaf"
)

// nodes is a cluster of nats-servers that take leafs.
type nodes struct {
	t                     *testing.T
	routes, leafs, client []string
	stop                  []func()
}

func newNodes(t *testing.T, n int) *nodes {
	t.Helper()
	c := &nodes{t: t, client: make([]string, n), stop: make([]func(), n)}
	for range n {
		c.routes, c.leafs = append(c.routes, "127.0.0.1:"+freePort(t)), append(c.leafs, "127.0.0.1:"+freePort(t))
	}
	for i := range n {
		c.start(i)
	}
	return c
}

// start starts node i, again on the same ports.
func (c *nodes) start(i int) {
	c.t.Helper()
	var routes []string
	for _, r := range c.routes {
		routes = append(routes, fmt.Sprintf("%q", "nats-route://"+r))
	}
	c.client[i], c.stop[i] = natstest.StartNATSNode(c.t, fmt.Sprintf("server_name: N%d\ncluster { name: CORE, listen: %q, routes: [ %s ] }\nleafnodes { listen: %q }",
		i, c.routes[i], strings.Join(routes, ", "), c.leafs[i]))
}

// TestLeafCluster stands in front of a cluster of three: it learns of the others
// from the one that it was told of, and stays joined while they are stopped and
// started, one after the other, under traffic.
func TestLeafCluster(t *testing.T) {
	t.Parallel()
	c := newNodes(t, 3)
	b, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, c.leafs[0])}, Reconnect: 50 * time.Millisecond}})
	at := dial(t, tcpAt(addr))
	all := func() (far []*nats.Conn) {
		for _, addr := range c.client {
			nc, err := nats.Connect("nats://"+addr, nats.NoReconnect())
			must(t, err)
			far = append(far, nc)
		}
		return far
	}
	crossAll := func() {
		t.Helper()
		linksUp(t, b, 1)
		far := all()
		for _, nc := range far {
			reaches(t, at, nc)
			reaches(t, nc, at)
			crossings(t, at, nc)
			nc.Close()
		}
	}
	crossAll()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // traffic, whatever becomes of it
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				at.Publish("traffic", []byte("x"))
			}
		}
	}()
	for i := range c.client {
		c.stop[i]()
		poll(t, "a link to another node", func() bool {
			for _, l := range b.Leafs().Links() {
				if l.RTT() > 0 && l.Peer().Name != fmt.Sprint("N", i) {
					return true
				}
			}
			return false
		})
		c.start(i)
		crossAll()
	}
	close(stop)
	<-done
	if m := b.Leafs().Links()[0]; m.Peer().Cluster != "CORE" {
		t.Errorf("the hub's cluster is %q", m.Peer().Cluster)
	}
}
