package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// TestQueueFairness: 40,000 messages over 4 members give 25 ± 1.5 % each and no
// run to one member longer than 20.
func TestQueueFairness(t *testing.T) {
	_, url := start(t, broker.Options{})
	sub := quiet(t, url)
	for i := range 4 {
		sub.send("SUB work q %d\r\n", i)
	}
	sub.sync()
	pub := quiet(t, url)
	const n = 40000
	go pub.Write(bytes.Repeat([]byte("PUB work 0\r\n\r\n"), n))
	var counts [4]int
	run, last := 0, ""
	for range n {
		f := strings.Fields(sub.line())
		sub.line()
		sid := f[2]
		counts[sid[0]-'0']++
		if sid != last {
			run, last = 0, sid
		}
		if run++; run > 20 {
			t.Fatalf("member %s got %d messages in a row", sid, run)
		}
	}
	for i, c := range counts {
		if share := float64(c) / n * 100; share < 23.5 || share > 26.5 {
			t.Errorf("member %d got %.2f %%", i, share)
		}
	}
}

// TestDrainUnderLoad: a queue member drains and is replaced every few
// milliseconds under 8 publishers; every message is handled exactly once.
func TestDrainUnderLoad(t *testing.T) {
	_, url := start(t, broker.Options{})
	const pubs = 8
	each := 100_000 // a second or so, which is twenty drains
	if raceEnabled {
		each = 20_000
	}
	var got atomic.Int64
	seen := make([]atomic.Int32, pubs*each)
	handle := func(m *nats.Msg) {
		id, err := strconv.Atoi(string(m.Data))
		if err != nil {
			t.Error(err)
			return
		}
		seen[id].Add(1)
		got.Add(1)
	}
	member := func() (*nats.Conn, chan struct{}) {
		closed := make(chan struct{})
		nc, err := nats.Connect(url, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
		if err != nil {
			t.Error(err)
			return nil, nil
		}
		if _, err := nc.QueueSubscribe("work", "q", handle); err != nil {
			t.Error(err)
		}
		if err := nc.Flush(); err != nil {
			t.Error(err)
		}
		return nc, closed
	}
	stay, stayed := member()
	var wg sync.WaitGroup
	for p := range pubs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			nc, err := nats.Connect(url)
			if err != nil {
				t.Error(err)
				return
			}
			defer nc.Close()
			for i := range each {
				nc.Publish("work", strconv.AppendInt(nil, int64(p*each+i), 10))
				if i%500 == 0 {
					nc.Flush()
				}
			}
			if err := nc.Flush(); err != nil {
				t.Error(err)
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	drains := 0
	for busy := true; busy; drains++ {
		nc, closed := member()
		if nc == nil {
			return
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-done:
			busy = false
		case <-timer.C:
		}
		if err := nc.Drain(); err != nil {
			t.Fatal(err)
		}
		<-closed
	}
	if err := stay.Drain(); err != nil {
		t.Fatal(err)
	}
	<-stayed
	if got.Load() != int64(pubs*each) {
		t.Errorf("handled %d of %d after %d drains", got.Load(), pubs*each, drains)
	}
	t.Logf("%d messages, %d drains", got.Load(), drains)
	for id := range seen {
		if n := seen[id].Load(); n != 1 {
			t.Fatalf("message %d was handled %d times", id, n)
		}
	}
}

// TestOrder: one publisher to one receiver is in order across subscriptions.
func TestOrder(t *testing.T) {
	_, url := start(t, broker.Options{})
	sub := quiet(t, url)
	sub.send("SUB a.* 1\r\nSUB b.> 2\r\nSUB c q 3\r\n")
	sub.sync()
	pub := quiet(t, url)
	const n = 30000
	go func() {
		var b bytes.Buffer
		for i := range n {
			p := fmt.Sprint(i)
			if i%100 == 0 { // one that is too large to be copied at once
				p += strings.Repeat("x", 9000)
			}
			fmt.Fprintf(&b, "PUB %s %d\r\n%s\r\n", []string{"a.x", "b.y.z", "c"}[i%3], len(p), p)
		}
		pub.Write(b.Bytes())
	}()
	for i := range n {
		sub.line()
		if got := strings.TrimRight(sub.line(), "x"); got != fmt.Sprint(i) {
			t.Fatalf("message %d: got %.20q", i, got)
		}
	}
}

// TestUnsubPipelined: what was published before an UNSUB in the same write is
// delivered, what comes behind it is not, and a maximum counts exactly.
func TestUnsubPipelined(t *testing.T) {
	_, url := start(t, broker.Options{})
	c := dial(t, url)
	c.send("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\nPUB a 1\r\ny\r\nPING\r\n")
	c.expect("MSG a 1 1", "x", "PONG")
	c.send("SUB a 2\r\nPUB a 1\r\n1\r\nPUB a 1\r\n2\r\nUNSUB 2 3\r\nPUB a 1\r\n3\r\nPUB a 1\r\n4\r\nPING\r\n")
	c.expect("MSG a 2 1", "1", "MSG a 2 1", "2", "MSG a 2 1", "3", "PONG")
}

func TestLargePayloads(t *testing.T) {
	_, url := start(t, broker.Options{})
	a, b := connect(t, url), connect(t, url)
	var subs []*nats.Subscription
	for range 3 {
		s, err := b.SubscribeSync("big")
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, s)
	}
	b.Flush()
	for _, size := range []int{0, 1, 4095, 4096, 65535, 65536, 300_000, 1 << 20} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		if err := a.Publish("big", data); err != nil {
			t.Fatal(err)
		}
		for _, s := range subs {
			m, err := s.NextMsg(10 * time.Second)
			if err != nil || !bytes.Equal(m.Data, data) {
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	_, url := start(t, broker.Options{})
	with, without := quiet(t, url), dial(t, url)
	without.send("CONNECT {\"verbose\":false,\"headers\":false}\r\nSUB h 1\r\n")
	without.sync()
	with.send("SUB h 1\r\n")
	with.sync()
	with.send("HPUB h r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
	with.expect("HMSG h 1 r 12 14", "NATS/1.0", "", "hi")
	without.expect("MSG h 1 r 2", "hi")
}

// TestHooks: publish hooks change, drop and reject; connect and subscribe hooks
// refuse; deliver hooks run once for a listener.
func TestHooks(t *testing.T) {
	var delivered atomic.Int32
	_, url := start(t, broker.Options{
		Publish: []broker.PublishHook{{Pattern: "in.>", Hook: hook.PublishFunc(func(from *hook.Origin, m *wire.Msg) (hook.Verdict, error) {
			switch string(m.Payload()) {
			case "drop":
				return hook.Drop, nil
			case "reject":
				return hook.Reject, nil
			}
			m.Subject, m.Data = []byte("out.x"), append([]byte("seen "), m.Data...)
			return hook.Pass, nil
		})}},
		Deliver: []broker.DeliverHook{{Pattern: "once", Hook: hook.DeliverFunc(func(to hook.Zone, m *wire.Msg) (hook.Verdict, error) {
			delivered.Add(1)
			m.Data = []byte("via " + to.Listener)
			return hook.Pass, nil
		})}},
		Subscribe: []hook.Subscribe{hook.SubscribeFunc(func(_ *hook.Origin, subject, _ string) error {
			if subject == "secret" {
				return io.EOF
			}
			return nil
		})},
	})
	c := quiet(t, url)
	c.send("SUB out.* 1\r\nSUB once 2\r\nSUB once 3\r\nSUB secret 4\r\n")
	c.expect(`-ERR 'Permissions Violation for Subscription to "secret"'`)
	c.sync()
	c.send("PUB in.a 1\r\nx\r\nPUB in.a 4\r\ndrop\r\nPUB in.a 6\r\nreject\r\nPING\r\n")
	c.expect("MSG out.x 1 6", "seen x", `-ERR 'Permissions Violation for Publish to "in.a"'`, "PONG")
	c.send("PUB once 1\r\nx\r\n")
	for range 2 {
		if l := c.line(); !strings.HasPrefix(l, "MSG once ") {
			t.Fatalf("got %q", l)
		}
		c.expect("via tcp")
	}
	if n := delivered.Load(); n != 1 {
		t.Fatalf("the deliver hook ran %d times", n)
	}
}

// TestAllocPath: the whole way of a message, from the publisher's socket to the
// subscriber's, allocates nothing.
func TestAllocPath(t *testing.T) {
	_, url := start(t, broker.Options{})
	for _, c := range []struct{ name, sub, pub string }{
		{"literal", "SUB a.b 1\r\n", "PUB a.b 5\r\nhello\r\n"},
		{"wildcard", "SUB a.* 1\r\n", "PUB a.b 5\r\nhello\r\n"},
		{"reply", "SUB a.b 1\r\n", "PUB a.b r.1 5\r\nhello\r\n"},
		{"headers", "SUB a.b 1\r\n", "HPUB a.b 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"},
		{"queue", "SUB a.b q 1\r\n", "PUB a.b 5\r\nhello\r\n"},
		{"large", "SUB a.b 1\r\n", "PUB a.b 9000\r\n" + strings.Repeat("x", 9000) + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub, pub := quiet(t, url), quiet(t, url)
			sub.send("%s", c.sub)
			sub.sync()
			pub.sync()
			batch := bytes.Repeat([]byte(c.pub), 20)
			pub.Write([]byte(c.pub))
			size := 0
			for lines := 0; lines < strings.Count(c.pub, "\n"); lines++ {
				s, _ := sub.r.ReadString('\n')
				size += len(s)
			}
			buf := make([]byte, 20*size)
			step := func() {
				pub.Conn.Write(batch)
				if _, err := io.ReadFull(sub.r, buf); err != nil {
					t.Fatal(err)
				}
			}
			for range 50 {
				step()
			}
			runtime.GC()
			// Under the race detector the sync pools drop things on purpose.
			if n := testing.AllocsPerRun(200, step); n > allowedAllocs {
				t.Fatalf("%v allocations for 20 messages", n)
			}
		})
	}
}
