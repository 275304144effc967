package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/monitor"
)

// closedReason waits until a connection ended for the reason and is shown by
// monitoring.
func closedReason(t *testing.T, b *broker.Broker, reason string) {
	t.Helper()
	waitFor(t, "a connection closed for "+reason, func() bool {
		for _, c := range b.Conns(monitor.ConnQuery{Closed: true}) {
			if c.Reason == reason {
				return b.ClosedByReason()[reason] > 0
			}
		}
		return false
	})
}

// logBuffer keeps a log for a test to read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitFor polls until ok; what it waits for has no event of its own to wait on.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestSlowConsumerPending(t *testing.T) {
	var log logBuffer
	b, url := start(t, broker.Options{MaxPending: 1 << 20, MaxPayload: 1 << 20, NoFastProducerStall: true,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	slow, healthy := quiet(t, url), quiet(t, url)
	slow.send("SUB a 1\r\n")
	slow.sync()
	healthy.send("SUB a 1\r\n")
	healthy.sync()
	pub := quiet(t, url)
	payload := strings.Repeat("x", 100_000)
	const n = 300
	for i := range n { // the healthy one loses nothing
		pub.send("PUB a %d\r\n%s\r\n", len(payload), payload)
		if l := healthy.line(); l != "MSG a 1 100000" {
			t.Fatalf("message %d: %q", i, l)
		}
		healthy.line()
	}
	closedReason(t, b, "Slow Consumer (Pending Bytes)")
	if got := slow.closed(); strings.Contains(got, "-ERR") {
		t.Fatal("a slow consumer was sent an -ERR")
	}
	waitFor(t, "a log line that says who and why", func() bool {
		l := log.String()
		return strings.Contains(l, `level=WARN msg="client connection closed" cid=1 remote=127.0.0.1:`) &&
			strings.Contains(l, `reason="Slow Consumer (Pending Bytes)"`)
	})
	if v := b.Varz(); v.SlowConsumers != 1 || v.SlowConsumerStats.Clients != 1 {
		t.Fatalf("slow_consumers %d", v.SlowConsumers)
	}
	if a := b.AccountStats([]string{"$G"}); len(a) != 1 || a[0].SlowConsumers != 1 {
		t.Errorf("the account shows %+v", a)
	}
}

func TestSlowConsumerDeadline(t *testing.T) {
	b, url := start(t, broker.Options{WriteDeadline: 100 * time.Millisecond})
	slow := quiet(t, url)
	slow.send("SUB a 1\r\n")
	slow.sync()
	pub := quiet(t, url)
	payload := strings.Repeat("x", 1<<20)
	for range 24 {
		pub.send("PUB a %d\r\n%s\r\n", len(payload), payload)
	}
	closedReason(t, b, "Slow Consumer (Write Deadline)")
	if n := b.Varz().SlowConsumers; n != 1 {
		t.Fatalf("slow_consumers %d, want 1", n)
	}
}

// TestProducersStall: a producer to a consumer that falls behind is slowed, and
// nobody is cut while the consumer reads at all.
func TestProducersStall(t *testing.T) {
	b, url := start(t, broker.Options{MaxPending: 4 << 20})
	sub, pub := quiet(t, url), quiet(t, url)
	sub.send("SUB a 1\r\n")
	sub.sync()
	payload := strings.Repeat("x", 64_000)
	const n = 1000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range n {
			fmt.Fprintf(pub.Conn, "PUB a %d\r\n%s\r\n", len(payload), payload)
		}
	}()
	waitFor(t, "a stall", func() bool { return b.Varz().StalledClients > 0 })
	for range n {
		sub.line()
		sub.line()
	}
	<-done
	if v := b.Varz(); v.SlowConsumers != 0 {
		t.Fatalf("%d slow consumers", v.SlowConsumers)
	}
}

// TestMaxPendingTotal: 1,000 subscribers that never read stay within
// max_pending_total together, and a healthy one loses nothing.
func TestMaxPendingTotal(t *testing.T) {
	const limit = 32 << 20
	subs := 1000
	if raceEnabled {
		subs = 200
	}
	b, url := start(t, broker.Options{MaxPendingTotal: limit, NoFastProducerStall: true})
	for range subs {
		c := quiet(t, url)
		c.Conn.(*net.TCPConn).SetReadBuffer(4096)
		c.send("SUB load.> 1\r\n")
		c.sync()
	}
	healthy := quiet(t, url)
	healthy.send("SUB load.> 1\r\n")
	healthy.sync()
	pub := quiet(t, url)
	payload := strings.Repeat("x", 16_000)
	const n = 400
	var peak int64
	for i := range n {
		pub.send("PUB load.%d %d\r\n%s\r\n", i, len(payload), payload)
		if l := healthy.line(); l != fmt.Sprintf("MSG load.%d 1 16000", i) {
			t.Fatalf("message %d: %q", i, l)
		}
		healthy.line()
		peak = max(peak, b.Varz().PendingBytes)
	}
	// One more message to everybody may be on its way when the limit is seen.
	if slack := int64(subs * (len(payload) + 64)); peak > limit+slack {
		t.Fatalf("pending reached %d, limit %d", peak, limit)
	}
	if v := b.Varz(); v.PendingCuts == 0 {
		t.Fatal("nobody was cut")
	}
	closedReason(t, b, "Slow Consumer (Pending Bytes)")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapInuse > 8*limit {
		t.Fatalf("heap in use %d MiB", m.HeapInuse>>20)
	}
}

func TestStale(t *testing.T) {
	b, url := start(t, broker.Options{PingInterval: 50 * time.Millisecond, PingMax: 2})
	c := quiet(t, url)
	c.pings = true
	c.expect("PING", "PING", "-ERR 'Stale Connection'")
	c.closed()
	closedReason(t, b, "Stale Connection")
	if b.Varz().StaleConnections != 1 {
		t.Fatal("not counted")
	}
}

func TestAuthTimeout(t *testing.T) {
	b, url := start(t, broker.Options{Auth: auth.Options{Token: "t", Timeout: 100 * time.Millisecond}})
	c := dial(t, url)
	c.expect("-ERR 'Authentication Timeout'")
	c.closed()
	closedReason(t, b, "Authentication Timeout")
}

func TestAuth(t *testing.T) {
	b, url := start(t, broker.Options{Auth: auth.Options{User: "u", Password: "$2a$04$eqLOIBrHHULN8xOjLNOUtu1NWgBpgjXSSwcmAZAGRoPaf3CpaFGEK"}})
	for _, c := range []struct {
		name, connect string
		ok            bool
	}{
		{"nothing", `{}`, false},
		{"wrong password", `{"user":"u","pass":"x"}`, false},
		{"token for user", `{"auth_token":"secret"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := dial(t, url)
			r.send("CONNECT %s\r\n", c.connect)
			r.expect("-ERR 'Authorization Violation'")
			r.closed()
		})
	}
	t.Run("verb first", func(t *testing.T) {
		r := dial(t, url)
		r.send("PUB a 1000000\r\n")
		r.expect("-ERR 'Authorization Violation'")
		r.closed()
	})
	closedReason(t, b, "Authentication Failure")
}

func TestMaxConnections(t *testing.T) {
	b, url := start(t, broker.Options{MaxConnections: 2})
	a, c := quiet(t, url), quiet(t, url)
	a.sync()
	c.sync()
	full := dial(t, url)
	full.expect("-ERR 'maximum connections exceeded'")
	full.closed()
	closedReason(t, b, "Maximum Connections Exceeded")
	a.sync()
}

func TestLimits(t *testing.T) {
	b, url := start(t, broker.Options{MaxSubscriptions: 2, MaxSubTokens: 3, MaxPayload: 100, MaxControlLine: 64})
	c := quiet(t, url)
	c.send("SUB a 1\r\nSUB a.b.c.d 2\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 1\r\nSUB c 3\r\n")
	c.expect(`-ERR 'Permissions Violation for Subscription to "a.b.c.d", too many tokens'`, "-ERR 'maximum subscriptions exceeded'")
	c.sync()
	for _, bad := range []struct{ name, in, told, reason string }{
		{"payload", "PUB a 101\r\n", "-ERR 'Maximum Payload Violation'", "Maximum Message Payload Exceeded"},
		{"control line", "SUB " + strings.Repeat("a", 70), "-ERR 'maximum control line exceeded'", "Maximum Control Line Exceeded"},
		{"unknown", "HELLO\r\n", "-ERR 'Unknown Protocol Operation'", "Protocol Violation"},
		{"arguments", "PUB a -1\r\n", "", "Protocol Violation"},
		{"overflow", "PUB a 99999999999999999999\r\n", "", "Protocol Violation"},
		{"no crlf", "PUB a 2\r\nhixx", "-ERR 'Unknown Protocol Operation'", "Protocol Violation"},
		{"nul", "\x00\x00", "-ERR 'Unknown Protocol Operation'", "Protocol Violation"},
		{"bad json", "CONNECT {\r\n", "", "Protocol Violation"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			r := quiet(t, url)
			r.sync()
			r.send("%s", bad.in)
			if got := strings.TrimSpace(r.closed()); got != bad.told {
				t.Fatalf("told %q, want %q", got, bad.told)
			}
			closedReason(t, b, bad.reason)
		})
	}
}

// TestSilentConnections: thousands that never send CONNECT cost little, and
// others keep working.
func TestSilentConnections(t *testing.T) {
	n := 9000 // both ends are in this process
	if raceEnabled {
		n = 1000
	}
	b, url := start(t, broker.Options{})
	addr := strings.TrimPrefix(url, "nats://")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%8))}}
		nc, err := d.Dial("tcp", addr)
		if err != nil {
			if os.Getenv("GANGLION_CI") != "" {
				t.Fatalf("only %d connections: %v; raise the limit of open files", i, err)
			}
			t.Skipf("only %d connections here: %v", i, err)
		}
		defer nc.Close()
		if i%2 == 0 { // half an op, then silence
			io.WriteString(nc, "PUB a 100\r\nhalf")
		}
	}
	waitFor(t, "all connections", func() bool { return b.Varz().Connections == n })
	runtime.GC()
	runtime.ReadMemStats(&after)
	// The generator's own side is in the same process: its net.Conns count too.
	if per := (int64(after.HeapInuse) + int64(after.StackInuse) - int64(before.HeapInuse) - int64(before.StackInuse)) / int64(n); per > 6<<10 {
		t.Errorf("%d bytes a connection", per)
	}
	a, c := quiet(t, url), quiet(t, url)
	a.send("SUB x 1\r\n")
	a.sync()
	c.send("PUB x 2\r\nhi\r\n")
	a.expect("MSG x 1 2", "hi")
}

// TestSlowLoris: ops that come byte by byte work, and cost others nothing.
func TestSlowLoris(t *testing.T) {
	_, url := start(t, broker.Options{})
	c := quiet(t, url)
	in := "SUB a 1\r\nPUB a 5\r\nhello\r\nPING\r\n"
	for _, b := range []byte(in) {
		c.send("%c", b)
	}
	c.expect("MSG a 1 5", "hello", "PONG")
}

// TestSubscriptionFlood: a client that churns subscriptions leaves nothing
// behind.
func TestSubscriptionFlood(t *testing.T) {
	b, url := start(t, broker.Options{})
	c := quiet(t, url)
	var buf bytes.Buffer
	before := b.Varz().Subscriptions // the server's own
	for i := range 50000 {
		fmt.Fprintf(&buf, "SUB flood.%d.* %d\r\n", i, i)
	}
	c.Write(buf.Bytes())
	c.sync()
	if n := b.Varz().Subscriptions - before; n != 50000 {
		t.Fatalf("%d subscriptions", n)
	}
	buf.Reset()
	for i := range 25000 {
		fmt.Fprintf(&buf, "UNSUB %d\r\n", i)
	}
	c.Write(buf.Bytes())
	c.sync()
	if n := b.Varz().Subscriptions - before; n != 25000 {
		t.Fatalf("%d subscriptions", n)
	}
	c.Close()
	waitFor(t, "no subscription left", func() bool { return b.Varz().Subscriptions == before })
}

// TestCutLogIsBounded: a flood of bad clients does not fill the log, and the log
// says how much it left out.
func TestCutLogIsBounded(t *testing.T) {
	var log logBuffer
	_, url := start(t, broker.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	const n = 1500
	begin := time.Now()
	for range n {
		c := dial(t, url)
		c.send("HELLO\r\n")
		c.closed()
		c.Close()
	}
	// A burst, and what the rate lets through meanwhile.
	most := 1000 + 100*int(time.Since(begin).Seconds()+1)
	if lines := strings.Count(log.String(), "client is cut"); lines < 1000 || lines > most {
		t.Fatalf("%d lines about %d clients, want 1000 to %d", lines, n, most)
	}
}
