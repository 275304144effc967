//go:build net

package brokertest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/brokertest/link"
	"ganglion/listeners/quic"
)

// firstMessage has c, on which INFO comes first, subscribe and publish, and waits
// for the message. secure, if not nil, puts TLS on it behind INFO.
func firstMessage(c net.Conn, secure *tls.Config) error {
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReaderSize(c, 4<<10)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "INFO ") {
		return fmt.Errorf("INFO: %q, %v", line, err)
	}
	if secure != nil {
		c = tls.Client(c, secure)
		r = bufio.NewReader(c)
	}
	if _, err := io.WriteString(c, "CONNECT {\"verbose\":false,\"protocol\":1}\r\nSUB first 1\r\nPUB first 2\r\nhi\r\nPING\r\n"); err != nil {
		return err
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "-ERR") {
			return fmt.Errorf("%q, %v", line, err)
		}
		if strings.HasPrefix(line, "MSG first ") {
			return nil
		}
	}
}

// TestNetDial counts what it takes from the dial to the first message, in round
// trips, over TCP with TLS and over QUIC, with a session that is new and one that
// is taken up again. Round trips are what counts on a link of 60 ms, so the best of
// several is compared: the machine's part is not what is looked at.
func TestNetDial(t *testing.T) {
	const rtt = 60 * time.Millisecond
	e := newEdge(t, link.Options{Shape: link.Shape{Delay: rtt / 2}}, broker.Options{}, quic.Options{})
	once := func(name string, dial func() (net.Conn, error), secure *tls.Config) time.Duration {
		start := time.Now()
		c, err := dial()
		must(t, err)
		defer c.Close()
		if err := firstMessage(c, secure); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return time.Since(start)
	}
	best := func(name string, dial func() (net.Conn, error), secure *tls.Config) time.Duration {
		least := time.Hour
		for range 5 {
			least = min(least, once(name, dial, secure))
		}
		t.Logf("%-22s %6.1f ms, %.2f round trips", name, float64(least)/1e6, float64(least)/float64(rtt))
		return least
	}
	overTCP := func() (net.Conn, error) { return e.Near.Dial("tcp", e.tcp) }
	overQUIC := func(o quic.DialOptions) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return quic.Dial(ctx, e.udp, o)
		}
	}
	cached := func() *tls.Config {
		c := e.client.Clone()
		c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		return c
	}
	tcpFresh := best("TCP+TLS", overTCP, e.client)
	again := cached()
	once("TCP+TLS", overTCP, again)
	tcpAgain := best("TCP+TLS, resumed", overTCP, again)
	fresh := best("QUIC", overQUIC(e.options()), nil)
	o := e.options()
	o.TLS = cached()
	once("QUIC", overQUIC(o), nil)
	resumed := best("QUIC, resumed", overQUIC(o), nil)
	t.Logf("QUIC / TCP+TLS: fresh %.2f, resumed %.2f", float64(fresh)/float64(tcpFresh), float64(resumed)/float64(tcpAgain))
	if s := e.port.Stats(); s.Early < 5 {
		t.Errorf("only %d sessions came with early data", s.Early)
	}
	if r := float64(fresh) / float64(tcpFresh); r > .8 {
		t.Errorf("a fresh session takes %.2f of TCP+TLS, want 0.8 at most", r)
	}
	if r := float64(resumed) / float64(tcpAgain); r > .55 {
		t.Errorf("a resumed session takes %.2f of TCP+TLS, want 0.55 at most", r)
	}
}

// TestNetLanes has a small feed beside a large one on one connection, over a link
// that loses packets: with lanes, what is lost of the large one does not hold up
// the small one.
func TestNetLanes(t *testing.T) {
	const (
		oneWay = 30 * time.Millisecond
		secs   = 60
		small  = 20 // messages a second
		bulk   = 75 // of 1,000 bytes: 600 kbit/s
		links  = 8  // of each kind, whose messages are looked at together
		late   = oneWay + 2*oneWay
	)
	type seen struct{ p50, p95, late float64 }
	measure := func(t *testing.T, e *edge, nc *nats.Conn) (all []time.Duration) {
		in := e.inside(t)
		delays := make(chan time.Duration, small*secs)
		_, err := nc.Subscribe("small", func(m *nats.Msg) {
			var at int64
			fmt.Sscan(string(m.Data), &at)
			delays <- time.Duration(time.Now().UnixNano() - at)
		})
		must(t, err)
		_, err = nc.Subscribe("bulk", func(*nats.Msg) {})
		must(t, err)
		must(t, nc.Flush())
		payload := make([]byte, 1360)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(time.Second / bulk)
			defer tick.Stop()
			for range bulk * secs {
				in.Publish("bulk", payload)
				<-tick.C
			}
		}()
		tick := time.NewTicker(time.Second / small)
		defer tick.Stop()
		for range small * secs {
			must(t, in.Publish("small", []byte(fmt.Sprint(time.Now().UnixNano()))))
			<-tick.C
		}
		<-done
		for range small * secs {
			all = append(all, receive(t, delays, "a message of the small feed"))
		}
		return all
	}
	sum := func(name string, all []time.Duration) seen {
		slices.Sort(all)
		n, _ := slices.BinarySearch(all, late+1)
		over := len(all) - n
		s := seen{float64(all[len(all)/2]) / 1e6, float64(all[len(all)*95/100]) / 1e6, float64(over) / float64(len(all))}
		t.Logf("%-16s p50 %5.1f ms, p95 %5.1f ms, later than %v %.2f %%", name, s.p50, s.p95, late, 100*s.late)
		return s
	}
	kinds := []struct {
		name    string
		connect func(e *edge) *nats.Conn
		all     []time.Duration
		mu      sync.Mutex
	}{
		{name: "TCP+TLS", connect: func(e *edge) *nats.Conn {
			nc, err := nats.Connect("tls://"+e.tcp, nats.SetCustomDialer(e.Near), nats.Secure(e.client), nats.Timeout(time.Minute))
			must(t, err)
			return nc
		}},
		{name: "QUIC", connect: func(e *edge) *nats.Conn { return e.device(t, nil) }},
		{name: "QUIC with lanes", connect: func(e *edge) *nats.Conn { return e.device(t, nil, "small", "bulk") }},
	}
	t.Run("feeds", func(t *testing.T) {
		for i := range kinds {
			k := &kinds[i]
			for n := range links {
				t.Run(fmt.Sprintf("%s %d", k.name, n), func(t *testing.T) {
					t.Parallel()
					o := link.Options{Seed: uint64(n + 1), Shape: link.Shape{Delay: oneWay, Loss: .02}}
					e := newEdge(t, o, broker.Options{}, quic.Options{})
					nc := k.connect(e)
					defer nc.Close()
					all := measure(t, e, nc)
					k.mu.Lock()
					defer k.mu.Unlock()
					k.all = append(k.all, all...)
				})
			}
		}
	})
	tcp, one, lanes := sum(kinds[0].name, kinds[0].all), sum(kinds[1].name, kinds[1].all), sum(kinds[2].name, kinds[2].all)
	t.Logf("with lanes / TCP+TLS: p95 %.2f, late %.2f; without lanes p95 %.2f", lanes.p95/tcp.p95, lanes.late/tcp.late, one.p95/tcp.p95)
	// The floors, half and a third, are what it comes to, give or take a tenth:
	// a small message that is lost itself is late on any transport. This is what
	// no run may exceed.
	if r := lanes.p95 / tcp.p95; r > .6 {
		t.Errorf("p95 with lanes is %.2f of TCP+TLS's, want about half", r)
	}
	if r := lanes.late / tcp.late; r > .45 {
		t.Errorf("late messages with lanes are %.2f of TCP+TLS's, want about a third", r)
	}
}
