package brokertest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/leaf"
)

// hubBroker starts a broker that takes leafs, and returns it with its addresses for
// clients and for leafs.
func hubBroker(t testing.TB, o broker.Options) (b *broker.Broker, clients, leafs string) {
	t.Helper()
	if o.ServerName == "" {
		o.ServerName = "GHUB"
	}
	b, clients = edgeOf(t, o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go b.ServeLeaf(ln, leaf.Endpoint{Name: "leafnodes"})
	return b, clients, ln.Addr().String()
}

func leafOf(addr string, name string, more string) string {
	return fmt.Sprintf("server_name: %s\nleafnodes { remotes [ { url: \"nats-leaf://%s\" %s } ] }", name, addr, more)
}

// TestLeafAccept has a nats-server join as a leaf.
func TestLeafAccept(t *testing.T) {
	for _, mode := range []string{"off", "s2_auto", "s2_fast", "accept"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b, clients, leafs := hubBroker(t, broker.Options{})
			far := dial(t, tcpAt(natstest.StartNATS(t, leafOf(leafs, "LEAF", ", compression: "+mode))))
			linksUp(t, b, 1)
			near := dial(t, tcpAt(clients))
			crossings(t, near, far)
			crossings(t, far, near)
		})
	}
}

// TestLeafGanglion joins two brokers.
func TestLeafGanglion(t *testing.T) {
	for _, mode := range []leaf.Compression{leaf.Off, leaf.Auto, leaf.Best} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			_, clients, leafs := hubBroker(t, broker.Options{})
			r := remoteTo(t, leafs)
			r.Compression = mode
			_, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{r}}})
			at, far := dial(t, tcpAt(addr)), dial(t, tcpAt(clients))
			crossings(t, at, far)
			crossings(t, far, at)
		})
	}
}

// TestLeafChain is core <- Ganglion <- Ganglion, and a second leaf beside: what is
// published at one of them arrives at each once.
func TestLeafChain(t *testing.T) {
	t.Parallel()
	core, leafs := hub(t, "", "")
	_, mid, midLeafs := hubBroker(t, broker.Options{ServerName: "MID", Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}}})
	_, low := edgeOf(t, broker.Options{ServerName: "LOW", Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, midLeafs)}}})
	_, beside := edgeOf(t, broker.Options{ServerName: "BESIDE", Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, midLeafs)}}})
	names := []string{"core", "mid", "low", "beside"}
	var ncs []*nats.Conn
	var subs []*nats.Subscription
	for _, addr := range []string{core, mid, low, beside} {
		nc := dial(t, tcpAt(addr))
		sub, err := nc.SubscribeSync("chain.>")
		must(t, err)
		_, err = nc.SubscribeSync("chain.*") // matches as well: it crosses once all the same
		must(t, err)
		must(t, nc.Flush())
		ncs, subs = append(ncs, nc), append(subs, sub)
	}
	for i := range ncs {
		for k := range ncs {
			if i != k {
				reaches(t, ncs[i], ncs[k])
			}
		}
	}
	for i, from := range ncs {
		must(t, from.Publish("chain."+names[i], []byte(names[i])))
		for _, sub := range subs {
			next(t, sub, names[i])
		}
	}
	// Whatever is there twice is on its way now: a message behind it, from each to
	// each, comes after it.
	for i := range ncs {
		for k := range ncs {
			if i != k {
				reaches(t, ncs[i], ncs[k])
			}
		}
	}
	for i, sub := range subs {
		if n, _, _ := sub.Pending(); n != 0 {
			t.Errorf("%s got %d messages more", names[i], n)
		}
	}
}

// TestLeafQueues: members here come first, then those beyond, each message once.
func TestLeafQueues(t *testing.T) {
	t.Parallel()
	core, leafs := hub(t, "", "")
	_, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}}})
	at, far := dial(t, tcpAt(addr)), dial(t, tcpAt(core))
	var here, there atomic.Int64
	sub, err := at.QueueSubscribe("q", "g", func(*nats.Msg) { here.Add(1) })
	must(t, err)
	for range 3 {
		_, err := far.QueueSubscribe("q", "g", func(*nats.Msg) { there.Add(1) })
		must(t, err)
	}
	must(t, far.Flush())
	must(t, at.Flush())
	reaches(t, at, far)
	const n = 300
	for range n {
		must(t, at.Publish("q", nil))
	}
	reaches(t, at, far)
	poll(t, "the group here", func() bool { return here.Load() == n })
	if there.Load() != 0 {
		t.Errorf("%d messages went to members beyond the link while there was one here", there.Load())
	}
	must(t, sub.Unsubscribe())
	for range n {
		must(t, at.Publish("q", nil))
	}
	reaches(t, at, far)
	poll(t, "the group beyond", func() bool { return there.Load() == n })
	for range n {
		must(t, far.Publish("q", nil))
	}
	poll(t, "the hub's own members", func() bool { return there.Load() == 2*n })
	if here.Load() != n {
		t.Errorf("%d messages here", here.Load())
	}
}

// TestLeafJetStream uses the hub's streams from the edge, through their domain.
func TestLeafJetStream(t *testing.T) {
	t.Parallel()
	_, leafs := hub(t, "", fmt.Sprintf("jetstream { domain: HD, store_dir: %q }", t.TempDir()))
	_, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}}})
	nc := dial(t, tcpAt(addr))
	js, err := jetstream.NewWithDomain(nc, "HD")
	must(t, err)
	ctx := t.Context()
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"js.>"}})
	must(t, err)
	for i := range 20 {
		ack, err := js.Publish(ctx, fmt.Sprintf("js.%d", i), []byte(fmt.Sprint(i)))
		must(t, err)
		if ack.Domain != "HD" || ack.Sequence != uint64(i+1) {
			t.Fatalf("ack: %+v", ack)
		}
	}
	cons, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "D", AckPolicy: jetstream.AckExplicitPolicy})
	must(t, err)
	batch, err := cons.Fetch(20, jetstream.FetchMaxWait(soon))
	must(t, err)
	i := 0
	for m := range batch.Messages() {
		if m.Subject() != fmt.Sprintf("js.%d", i) || string(m.Data()) != fmt.Sprint(i) {
			t.Errorf("message %d: %s %q", i, m.Subject(), m.Data())
		}
		must(t, m.DoubleAck(ctx))
		i++
	}
	must(t, batch.Error())
	if i != 20 {
		t.Fatalf("%d messages", i)
	}
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "B"})
	must(t, err)
	w, err := kv.Watch(ctx, "k.*")
	must(t, err)
	if e := receive(t, w.Updates(), "the end of what was there"); e != nil {
		t.Fatalf("watch began with %v", e)
	}
	_, err = kv.Put(ctx, "k.1", []byte("v"))
	must(t, err)
	if e := receive(t, w.Updates(), "an update"); e == nil || e.Key() != "k.1" || string(e.Value()) != "v" {
		t.Fatalf("update: %v", e)
	}
	must(t, w.Stop())
}

// TestLeafPermissions: what the hub allows holds, and nothing that it does not
// allow ends the link.
func TestLeafPermissions(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (clients, leafs string){
		"nats-server": func(t *testing.T) (string, string) {
			return hub(t, "", `authorization { users [ {user: u, password: p, permissions { publish: ["up.>", "_INBOX.>"], subscribe { allow: ["down.>", "_INBOX.>"], deny: "down.no" } } }, {user: c, password: c} ] }`)
		},
		"ganglion": func(t *testing.T) (string, string) {
			o := broker.Options{}
			o.Auth.Users = leafUsers(t)
			_, clients, leafs := hubBroker(t, o)
			return clients, leafs
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, leafs := start(t)
			r := remoteTo(t, leafs)
			r.URLs[0].User = url.UserPassword("u", "p")
			b, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{r}}})
			at, far := dial(t, tcpAt(addr)), dial(t, tcpAt(core), nats.UserInfo("c", "c"))
			down, err := at.SubscribeSync(">")
			must(t, err)
			_, err = at.SubscribeSync("secret.x")
			must(t, err)
			up, err := far.SubscribeSync(">")
			must(t, err)
			must(t, at.Flush())
			must(t, far.Flush())
			reaches(t, far, at)
			reaches(t, at, far)
			for _, s := range []string{"down.no", "other", "down.yes"} {
				must(t, far.Publish(s, []byte("from the hub")))
			}
			for _, s := range []string{"no", "down.x", "up.yes"} {
				must(t, at.Publish(s, []byte("from the leaf")))
			}
			saw := func(sub *nats.Subscription, data, want string) {
				t.Helper()
				for {
					m, err := sub.NextMsg(soon)
					must(t, err)
					if string(m.Data) != data {
						continue // its own side's, and what reaches sent
					}
					if m.Subject != want {
						t.Errorf("%s arrived; only %s is allowed", m.Subject, want)
					}
					return
				}
			}
			saw(down, "from the hub", "down.yes")
			saw(up, "from the leaf", "up.yes")
			if n := len(b.Leafs().Links()); n != 1 {
				t.Errorf("%d links are left", n)
			}
		})
	}
}

func leafUsers(t *testing.T) []auth.User {
	t.Helper()
	c := loadConfig(t, `authorization { users [ {user: u, password: p, permissions { publish: ["up.>", "_INBOX.>"], subscribe { allow: ["down.>", "_INBOX.>"], deny: "down.no" } } }, {user: c, password: c} ] }`)
	return c.Broker.Auth.Users
}

// TestLeafLoop joins two brokers to each other: it is found, and said.
func TestLeafLoop(t *testing.T) {
	t.Parallel()
	log := &lines{}
	a, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	for i, ln := range []net.Listener{a, b} {
		other := []net.Listener{b, a}[i]
		br := newBroker(t, broker.Options{ServerName: fmt.Sprint("L", i), Logger: log.logger(), Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, other.Addr().String())}}})
		go br.ServeLeaf(ln, leaf.Endpoint{Name: "leafnodes"})
	}
	poll(t, "the loop to be found", func() bool { return strings.Contains(log.String(), "leafnode loop detected") })
}

// TestLeafCut: what a hub wanted is remembered while it is away.
func TestLeafCut(t *testing.T) {
	t.Parallel()
	first, clients, leafs := hubBroker(t, broker.Options{ServerName: "FIRST"})
	b, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}, Reconnect: 50 * time.Millisecond}})
	far, at := dial(t, tcpAt(clients), nats.NoReconnect()), dial(t, tcpAt(addr))
	_, err := far.Subscribe("svc", func(m *nats.Msg) { m.Respond(nil) })
	must(t, err)
	must(t, far.Flush())
	reaches(t, at, far)
	if _, err := at.Request("svc", nil, soon); err != nil {
		t.Fatal(err)
	}
	shutDown(t, first)
	poll(t, "the cut to be noticed", func() bool { return len(b.Leafs().Links()) == 0 })
	if _, err := at.Request("svc", nil, soon); err != nats.ErrNoResponders {
		t.Errorf("a request while the hub is away: %v", err)
	}
	must(t, at.Publish("svc", nil))
	must(t, at.Flush())
	if n := b.Leafs().Missed(); n < 2 {
		t.Errorf("%d messages are counted as missed, want 2", n)
	}
	// Another hub on the same address wants something else.
	ln, err := net.Listen("tcp", leafs)
	must(t, err)
	second := newBroker(t, broker.Options{ServerName: "SECOND"})
	go second.ServeLeaf(ln, leaf.Endpoint{Name: "leafnodes"})
	far = dial(t, tcpAt(serve(t, second, "127.0.0.1:0")))
	linksUp(t, b, 1)
	reaches(t, at, far)
	reaches(t, far, at)
	before := b.Leafs().Missed()
	must(t, at.Publish("svc", nil))
	must(t, at.Flush())
	if n := b.Leafs().Missed(); n != before {
		t.Errorf("what the first hub wanted is remembered though the second is there")
	}
}

// TestLeafAccounts binds two accounts over two links.
func TestLeafAccounts(t *testing.T) {
	t.Parallel()
	accounts := `accounts { A { users [ {user: a, password: a} ] }, B { users [ {user: b, password: b} ] } }`
	core, leafs := hub(t, "", accounts)
	c := loadConfig(t, accounts)
	ra, rb := remoteTo(t, leafs), remoteTo(t, leafs)
	ra.Account, ra.URLs[0].User = "A", url.UserPassword("a", "a")
	rb.Account, rb.URLs[0].User = "B", url.UserPassword("b", "b")
	c.Broker.Leaf.Remotes = []*leaf.Remote{ra, rb}
	_, addr := edgeOf(t, c.Broker)
	for _, u := range []string{"a", "b"} {
		at, far := dial(t, tcpAt(addr), nats.UserInfo(u, u)), dial(t, tcpAt(core), nats.UserInfo(u, u))
		crossings(t, at, far)
		crossings(t, far, at)
	}
	// The other account sees nothing of it.
	a, b := dial(t, tcpAt(addr), nats.UserInfo("a", "a")), dial(t, tcpAt(core), nats.UserInfo("b", "b"))
	sub, err := b.SubscribeSync("private")
	must(t, err)
	must(t, b.Flush())
	must(t, a.Publish("private", nil))
	must(t, a.Flush())
	reaches(t, dial(t, tcpAt(addr), nats.UserInfo("b", "b")), b)
	none(t, b, sub)
}

// TestLeafWrong are hubs that are none, and others that do it wrong: each is a line
// in the log that says so.
func TestLeafWrong(t *testing.T) {
	listen := func(t *testing.T, f func(net.Conn)) string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); f(c) }()
			}
		}()
		return ln.Addr().String()
	}
	const info = `INFO {"server_id":"X","server_name":"X","version":"2.15.2","proto":3,"headers":true,"max_payload":1048576,"nonce":"n","info_on_connect":true,"leafnode_urls":["127.0.0.1:1"]}` + "\r\n"
	after := func(rest string) func(*testing.T) string {
		return func(t *testing.T) string {
			return listen(t, func(c net.Conn) {
				io.WriteString(c, info)
				bufio.NewReader(c).ReadString('\n')
				io.WriteString(c, rest)
				io.Copy(io.Discard, c)
			})
		}
	}
	for name, tc := range map[string]struct {
		addr func(*testing.T) string
		want string
	}{
		"client port": {func(t *testing.T) string { return natstest.StartNATS(t, "") }, "wrong port"},
		"http": {func(t *testing.T) string {
			return listen(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
		}, "wrong port"},
		"says nothing": {func(t *testing.T) string { return listen(t, func(c net.Conn) { io.Copy(io.Discard, c) }) }, "waiting for the first INFO"},
		"closes":       {func(t *testing.T) string { return listen(t, func(net.Conn) {}) }, "waiting for the first INFO"},
		"nobody":       {func(t *testing.T) string { return "127.0.0.1:1" }, "connection refused"},
		"no user": {func(t *testing.T) string {
			_, leafs := hub(t, "", "authorization { user: x, password: y }")
			return leafs
		}, "Authorization Violation"},
		"garbage for INFO": {func(t *testing.T) string { return listen(t, func(c net.Conn) { io.WriteString(c, "INFO {x\r\n") }) }, "makes no sense"},
		"endless line": {func(t *testing.T) string {
			return listen(t, func(c net.Conn) { io.WriteString(c, "INFO "+strings.Repeat("x", 1<<20)) })
		}, "too long"},
		"stalls":    {after(""), "waiting for the hub to answer"},
		"garbage":   {after(info + "LMSG foo x\r\n"), "make no sense"},
		"too large": {after(info + "LMSG foo 99999999\r\n"), "make no sense"},
		"errors":    {after(info + "-ERR 'no'\r\n"), "the peer says"},
		"tls": {func(t *testing.T) string {
			return listen(t, func(c net.Conn) {
				io.WriteString(c, strings.Replace(info, `"headers"`, `"tls_required":true,"headers"`, 1))
				io.Copy(io.Discard, c)
			})
		}, "TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			r := remoteTo(t, tc.addr(t))
			r.FirstInfoTimeout = 300 * time.Millisecond
			newBroker(t, broker.Options{Logger: log.logger(), Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{r}, Reconnect: 20 * time.Millisecond, Handshake: soon / 20}})
			poll(t, "a line that says "+tc.want, func() bool { return strings.Contains(log.String(), tc.want) })
		})
	}
}
