package brokertest_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/leaf"
)

// hub starts a nats-server that takes leafs, and returns the addresses for clients
// and for leafs.
func hub(t testing.TB, leafnodes, more string) (clients, leafs string) {
	t.Helper()
	port := freePort(t)
	leafs = "127.0.0.1:" + port
	return natstest.StartNATS(t, fmt.Sprintf("server_name: HUB\nleafnodes { listen: %q %s }\n%s", leafs, leafnodes, more)), leafs
}

func remoteTo(t testing.TB, addr string) *leaf.Remote {
	t.Helper()
	u, err := url.Parse("nats-leaf://" + addr)
	must(t, err)
	return &leaf.Remote{URLs: []*url.URL{u}}
}

// edgeOf starts a broker with remotes and waits until their links are up.
func edgeOf(t testing.TB, o broker.Options) (*broker.Broker, string) {
	t.Helper()
	if os.Getenv("LEAF_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if o.ServerName == "" {
		o.ServerName = "EDGE"
	}
	b := newBroker(t, o)
	addr := serve(t, b, "127.0.0.1:0")
	linksUp(t, b, len(o.Leaf.Remotes))
	return b, addr
}

// linksUp waits until b has n links on which the other end has answered.
func linksUp(t testing.TB, b *broker.Broker, n int) {
	t.Helper()
	poll(t, fmt.Sprintf("%d links", n), func() bool {
		up := 0
		for _, l := range b.Leafs().Links() {
			if l.RTT() > 0 {
				up++
			}
		}
		return up == n
	})
}

func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(3 * soon)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// reaches waits until a message that from publishes reaches to: interest has
// crossed the link.
func reaches(t testing.TB, from, to *nats.Conn) {
	t.Helper()
	subj := nats.NewInbox()
	sub, err := to.SubscribeSync(subj)
	must(t, err)
	must(t, to.Flush())
	defer sub.Unsubscribe()
	poll(t, "a message to cross", func() bool {
		must(t, from.Publish(subj, []byte("x")))
		_, err := sub.NextMsg(20 * time.Millisecond)
		return err == nil
	})
}

func TestLeafHub(t *testing.T) {
	for _, mode := range []leaf.Compression{leaf.Off, leaf.Auto, leaf.Fast, leaf.Accept} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			core, leafs := hub(t, "", "")
			r := remoteTo(t, leafs)
			r.Compression = mode
			_, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{r}}})
			at, far := dial(t, tcpAt(addr)), dial(t, tcpAt(core))
			crossings(t, at, far)
			crossings(t, far, at)
		})
	}
}

// crossings checks everything that goes from a client at one server to one at
// another.
func crossings(t *testing.T, from, to *nats.Conn) {
	t.Helper()
	plain, err := to.SubscribeSync("leaf.>")
	must(t, err)
	_, err = to.QueueSubscribe("leaf.work", "workers", func(m *nats.Msg) { m.Respond([]byte("worker:" + string(m.Data))) })
	must(t, err)
	_, err = to.Subscribe("svc.echo", func(m *nats.Msg) {
		m.RespondMsg(&nats.Msg{Header: m.Header, Data: m.Data})
	})
	must(t, err)
	must(t, to.Flush())
	reaches(t, from, to)

	must(t, from.Publish("leaf.a", []byte("one")))
	next(t, plain, "one")
	h := nats.Header{}
	h.Set("A", "b")
	must(t, from.PublishMsg(&nats.Msg{Subject: "leaf.b", Header: h, Data: []byte("two")}))
	if m := next(t, plain, "two"); m.Header.Get("A") != "b" {
		t.Errorf("header: %v", m.Header)
	}
	// A plain subscription and a queue group want it: it crosses once, both get it.
	m, err := from.Request("leaf.work", []byte("w"), soon)
	must(t, err)
	if string(m.Data) != "worker:w" {
		t.Errorf("answer %q", m.Data)
	}
	next(t, plain, "w")
	m, err = from.RequestMsg(&nats.Msg{Subject: "svc.echo", Header: h, Data: []byte("e")}, soon)
	must(t, err)
	if string(m.Data) != "e" || m.Header.Get("A") != "b" {
		t.Errorf("answer %q %v", m.Data, m.Header)
	}
	big := make([]byte, 200<<10)
	must(t, from.Publish("leaf.big", big))
	if m, err := plain.NextMsg(soon); err != nil || len(m.Data) != len(big) {
		t.Errorf("large message: %v", err)
	}
	if _, err := from.Request("nobody.there", nil, soon); err != nats.ErrNoResponders {
		t.Errorf("nobody: %v", err)
	}
	must(t, plain.Unsubscribe())
	must(t, to.Flush())
}

// newCounter counts the messages on subj.
func newCounter(t testing.TB, nc *nats.Conn, subj string) *atomic.Int64 {
	t.Helper()
	n := &atomic.Int64{}
	_, err := nc.Subscribe(subj, func(*nats.Msg) { n.Add(1) })
	must(t, err)
	must(t, nc.Flush())
	return n
}

// lines is a log that is kept.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// loadConfig reads a configuration file's text.
func loadConfig(t testing.TB, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	c := config.Default()
	must(t, c.Load(file))
	return c
}
