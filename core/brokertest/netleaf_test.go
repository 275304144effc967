//go:build net

package brokertest_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/brokertest/link"
	"ganglion/core/leaf"
)

// uplink is an edge on the near side of a link with its hub on the far side.
type uplink struct {
	*link.Link
	edge, hub *broker.Broker
	at, far   *nats.Conn // clients at the edge and at the hub
}

func newUplink(t *testing.T, lo link.Options, mode leaf.Compression, ping time.Duration) *uplink {
	t.Helper()
	u := &uplink{Link: link.New(t, lo)}
	var clients string
	u.hub, clients, _ = hubBroker(t, broker.Options{PingInterval: ping})
	ln, err := u.Far.Listen("tcp", u.Far.Addr().String()+":0")
	must(t, err)
	go u.hub.ServeLeaf(ln, leaf.Endpoint{Name: "far"})
	r := &leaf.Remote{URLs: []*url.URL{{Scheme: "near", Host: ln.Addr().String()}}, Compression: mode, IgnoreDiscovered: true}
	u.edge = newBroker(t, broker.Options{ServerName: "EDGE", PingInterval: ping, Leaf: broker.LeafOptions{
		Remotes: []*leaf.Remote{r}, Reconnect: 100 * time.Millisecond,
		Dial: map[string]leaf.DialFunc{"near": func(ctx context.Context, to *url.URL, _ *leaf.Remote) (net.Conn, error) {
			return u.Near.DialContext(ctx, "tcp", to.Host)
		}},
	}})
	addr := serve(t, u.edge, "127.0.0.1:0")
	u.up(t)
	u.at, u.far = dial(t, tcpAt(addr)), dial(t, tcpAt(clients))
	return u
}

// up waits for a link whose other end has answered, as long as a bad one takes.
func (u *uplink) up(t *testing.T) {
	t.Helper()
	limit := time.Now().Add(3 * time.Minute)
	for {
		for _, l := range u.edge.Leafs().Links() {
			if l.RTT() > 0 {
				return
			}
		}
		if time.Now().After(limit) {
			t.Fatal("the link did not come up")
		}
		time.Sleep(20 * time.Millisecond) // a bad link takes its time
	}
}

// crosses sends messages until one from each side has reached the other.
func (u *uplink) crosses(t *testing.T) {
	t.Helper()
	for i, pair := range [][2]*nats.Conn{{u.at, u.far}, {u.far, u.at}} {
		subj := fmt.Sprint("cross.", i, ".", nats.NewInbox())
		sub, err := pair[1].SubscribeSync(subj)
		must(t, err)
		must(t, pair[1].Flush())
		for limit := time.Now().Add(2 * time.Minute); ; {
			must(t, pair[0].Publish(subj, nil))
			must(t, pair[0].Flush())
			if _, err := sub.NextMsg(200 * time.Millisecond); err == nil {
				break
			}
			if time.Now().After(limit) {
				t.Fatal("nothing crosses the link")
			}
		}
		must(t, sub.Unsubscribe())
	}
}

// TestNetLeaf joins an edge to its hub over bad links: out of the box it connects,
// nothing is lost that crosses while the link holds, and clients at the edge notice
// nothing of it among themselves.
func TestNetLeaf(t *testing.T) {
	for name, shape := range map[string]link.Shape{
		"delay 600 ms":    {Delay: 600 * time.Millisecond},
		"loss 5 %":        {Delay: 50 * time.Millisecond, Loss: .05},
		"rate 256 kbit/s": {Delay: 50 * time.Millisecond, Rate: 256_000},
		"all of it":       {Delay: 600 * time.Millisecond, Loss: .05, Rate: 256_000},
	} {
		for _, mode := range []leaf.Compression{leaf.Off, leaf.Auto} {
			t.Run(name+", "+string(mode), func(t *testing.T) {
				t.Parallel()
				u := newUplink(t, link.Options{Seed: 3, Shape: shape}, mode, time.Minute)
				u.crosses(t)
				up, down := newCount(t, u.far, "up", 200), newCount(t, u.at, "down", 200)
				u.crosses(t) // what was announced before has arrived
				echo(t, u.at, "local.echo")
				for i := range 200 {
					must(t, u.at.Publish("up", numbered(i, 100)))
					must(t, u.far.Publish("down", numbered(i, 100)))
					if i%20 == 0 {
						if _, err := u.at.Request("local.echo", nil, soon); err != nil {
							t.Fatalf("at the edge: %v", err)
						}
					}
				}
				up.wait()
				down.wait()
			})
		}
	}
}

// TestNetLeafCuts cuts the link: it is found dead within the time configured, what
// was wanted is known, and everything is resumed.
func TestNetLeafCuts(t *testing.T) {
	for name, cut := range map[string]struct{ begin, end func(u *uplink) }{
		"blackout of 30 s": {func(u *uplink) { u.Blackout(true) }, func(u *uplink) { u.Blackout(false) }},
		"half open":        {func(u *uplink) { u.BlackoutDirection(link.Down, true) }, func(u *uplink) { u.BlackoutDirection(link.Down, false) }},
		"another address":  {func(u *uplink) { u.Renumber() }, func(u *uplink) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const ping = 2 * time.Second
			u := newUplink(t, link.Options{Shape: link.Shape{Delay: 20 * time.Millisecond}}, leaf.Off, ping)
			var served atomic.Int64
			_, err := u.far.Subscribe("svc", func(m *nats.Msg) { served.Add(1); m.Respond(nil) })
			must(t, err)
			must(t, u.far.Flush())
			u.crosses(t)
			if _, err := u.at.Request("svc", nil, soon); err != nil {
				t.Fatal(err)
			}
			links := u.edge.Leafs().Links()
			start := time.Now()
			cut.begin(u)
			// Two PINGs without an answer, and the third is due.
			for len(u.edge.Leafs().Links()) > 0 && u.edge.Leafs().Links()[0] == links[0] {
				if time.Since(start) > 10*ping {
					t.Fatal("the dead link was not noticed")
				}
				time.Sleep(20 * time.Millisecond)
			}
			if name != "another address" { // there the next attempt succeeds at once
				if _, err := u.at.Request("svc", nil, soon); err != nats.ErrNoResponders {
					t.Errorf("while it is cut: %v", err)
				}
				if u.edge.Leafs().Missed() == 0 {
					t.Error("nothing is counted as missed")
				}
			}
			if name == "blackout of 30 s" {
				time.Sleep(30*time.Second - time.Since(start))
			}
			cut.end(u)
			u.up(t)
			u.crosses(t)
			if _, err := u.at.Request("svc", nil, soon); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}
