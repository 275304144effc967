package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/hook"
	"ganglion/core/limit"
	"ganglion/core/monitor"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// hose connects n clients that publish as fast as they are read, until the test
// ends. options go into CONNECT.
func hose(t testing.TB, url string, n int, options func(i int) string) {
	t.Helper()
	chunk := []byte(strings.Repeat("PUB flood 4\r\nabcd\r\n", 200))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	for i := range n {
		nc, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		conns = append(conns, nc)
		mu.Unlock()
		if _, err := fmt.Fprintf(nc, "CONNECT {\"verbose\":false%s}\r\n", options(i)); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { // it never reads: INFO, and few -ERR, fit the socket's buffer
			for {
				if _, err := nc.Write(chunk); err != nil {
					return
				}
			}
		})
	}
}

func none(int) string { return "" }

// counter counts the messages that a broker takes in.
type counter struct{ n atomic.Int64 }

// hook has c count what is published on flood.
func (c *counter) hook() []broker.PublishHook {
	return []broker.PublishHook{{Pattern: "flood", Hook: hook.PublishFunc(func(*hook.Origin, *wire.Msg) (hook.Verdict, error) {
		c.n.Add(1)
		return hook.Drop, nil
	})}}
}

// rate measures how many messages come a second.
func (c *counter) rate(d time.Duration) float64 {
	before, start := c.n.Load(), time.Now()
	time.Sleep(d) // what is measured is a rate: it takes time
	return float64(c.n.Load()-before) / time.Since(start).Seconds()
}

// The limits hold within 10 % when 1,000 connections publish as fast as they can.
func TestRateLimitThousand(t *testing.T) {
	conns, each, took := 1000, 20.0, 2*time.Second
	if testing.Short() || raceEnabled {
		conns, took = 100, time.Second
	}
	all := each * float64(conns)
	users := []auth.User{{Name: "a", Password: "a"}, {Name: "b", Password: "b"}}
	login := func(i int) string {
		return fmt.Sprintf(`,"user":%q,"pass":%[1]q`, users[i%2].Name)
	}
	for _, tc := range []struct {
		name   string
		limits limit.Limits
		want   float64
	}{
		{"connection", limit.Limits{Connection: limit.Rates{Messages: each}}, all},
		{"user", limit.Limits{User: limit.Rates{Messages: all / 2}}, all},
		{"account", limit.Limits{Account: limit.Rates{Messages: all}}, all},
		{"address", limit.Limits{Address: limit.Rates{Messages: all}}, all},
		{"bytes", limit.Limits{Account: limit.Rates{Bytes: 4 * all}}, all},
		{"connection and account", limit.Limits{Connection: limit.Rates{Messages: 2 * each}, Account: limit.Rates{Messages: all}}, all},
		{"account, dropped", limit.Limits{Account: limit.Rates{Messages: all, Action: limit.Drop}}, all},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, r := range []*limit.Rates{&tc.limits.Connection, &tc.limits.User, &tc.limits.Account, &tc.limits.Address} {
				r.Burst = 250 * time.Millisecond
			}
			var count counter
			b, url := start(t, broker.Options{RateLimits: tc.limits, Auth: auth.Options{Users: users}, Publish: count.hook()})
			hose(t, url, conns, login)
			waitFor(t, "all connections to have used up their burst", func() bool {
				n := b.RateCounters()
				return n.Throttled+n.Dropped >= uint64(conns)
			})
			got := count.rate(took)
			t.Logf("%.0f messages/s of %.0f, %+.1f %%; %+v", got, tc.want, 100*(got/tc.want-1), b.RateCounters())
			if math.Abs(got/tc.want-1) > 0.1 {
				t.Errorf("%.0f messages a second; the limit is %.0f", got, tc.want)
			}
		})
	}
}

// The connections of a user together stay below the user's limit, however many
// there are and whatever else limits them.
func TestRateLimitSum(t *testing.T) {
	for seed := range 4 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			perUser := 500 + float64(r.IntN(3000))
			burst := time.Duration(10+r.IntN(200)) * time.Millisecond
			l := limit.Limits{
				User:       limit.Rates{Messages: perUser, Burst: burst, Action: limit.Action(1 + r.IntN(2))},
				Connection: limit.Rates{Messages: float64(r.IntN(2)) * perUser / 2},
				Account:    limit.Rates{Bytes: float64(r.IntN(2)) * perUser * 6},
			}
			var count counter
			_, url := start(t, broker.Options{RateLimits: l, Publish: count.hook()})
			began := time.Now()
			hose(t, url, 1+r.IntN(40), none) // who needs no credentials is one user
			for range 20 {
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond) // a random moment to look at
				n := count.n.Load()
				most := perUser*(time.Since(began)+burst).Seconds() + 1
				if float64(n) > most {
					t.Fatalf("%d messages in %v; at most %.0f may come: %.0f a second and a burst of %v", n, time.Since(began), most, perUser, burst)
				}
			}
			if count.n.Load() == 0 {
				t.Error("no message at all")
			}
		})
	}
}

// Each scope with each action.
func TestRateLimitScopes(t *testing.T) {
	const most = 5 // messages at once; another comes after minutes
	for _, scope := range []string{"connection", "user", "account", "address"} {
		for _, kind := range []string{"messages", "bytes", "subscriptions"} {
			for _, action := range []limit.Action{limit.Throttle, limit.Drop, limit.Disconnect} {
				t.Run(fmt.Sprint(scope, " ", kind, " ", action), func(t *testing.T) {
					r := limit.Rates{Burst: most * 200 * time.Second, Action: action}
					var l limit.Limits
					text := "Permissions Violation for Publish to \"a\""
					op := "PUB a 1\r\nx\r\n"
					switch kind {
					case "messages":
						r.Messages = 1.0 / 200
					case "bytes":
						r.Bytes = 1.0 / 200
					case "subscriptions":
						r.Subscriptions = 1.0 / 200
						text = "Permissions Violation for Subscription to \"a\""
						op = "SUB a 1\r\n"
					}
					*map[string]*limit.Rates{"connection": &l.Connection, "user": &l.User, "account": &l.Account, "address": &l.Address}[scope] = r
					b, url := start(t, broker.Options{RateLimits: l})
					c := quiet(t, url)
					c.sync()
					c.send("%s", strings.Repeat(op, most))
					c.sync()
					c.send("%s", op) // one too many
					n := func() broker.RateCounters { return b.RateCounters() }
					switch action {
					case limit.Throttle:
						waitFor(t, "a pause", func() bool { return n().Throttled == 1 })
						if kind != "subscriptions" && b.Varz().InMsgs != most {
							t.Errorf("%d messages were taken, not %d", b.Varz().InMsgs, most)
						}
					case limit.Drop:
						c.expect("-ERR '" + text + "'")
						c.sync()
						if n() != (broker.RateCounters{Dropped: 1}) {
							t.Errorf("counted %+v", n())
						}
					case limit.Disconnect:
						if rest := c.closed(); rest != "" {
							t.Errorf("it was told %q; clients may take that for final", rest)
						}
						closedReason(t, b, "Rate Limit Exceeded")
						if n() != (broker.RateCounters{Disconnected: 1}) {
							t.Errorf("counted %+v", n())
						}
					}
					// Another connection shares the bucket, or has one of its own.
					other := quiet(t, url)
					other.sync()
					other.send("%s", op)
					if scope == "connection" {
						other.sync()
						return
					}
					switch action {
					case limit.Throttle:
						waitFor(t, "a second pause", func() bool { return n().Throttled == 2 })
					case limit.Drop:
						other.expect("-ERR '" + text + "'")
					case limit.Disconnect:
						other.closed()
					}
				})
			}
		}
	}
}

// once is a limit that lets n messages through at once and none for a long time.
func once(n int, a limit.Action) limit.Rates {
	return limit.Rates{Messages: 1.0 / 1000, Burst: time.Duration(n) * 1000 * time.Second, Action: a}
}

// A dropped request gets a status, its publisher few errors, and a message that
// is not permitted costs nothing.
func TestRateLimitDrop(t *testing.T) {
	may := &permission.Spec{Publish: &permission.Rules{Deny: []string{"no"}}}
	b, url := start(t, broker.Options{RateLimits: limit.Limits{Connection: once(2, limit.Drop)}, Auth: auth.Options{Permissions: may}})
	c := quiet(t, url)
	c.send("SUB in.* 7\r\n")
	c.sync()
	for range 5 { // refused for the permission, before and after the limit
		c.send("PUB no 0\r\n\r\n")
		c.expect("-ERR 'Permissions Violation for Publish to \"no\"'")
	}
	c.send("PUB yes 0\r\n\r\nPUB yes 0\r\n\r\n")
	c.sync()
	c.send("PUB no 0\r\n\r\n")
	c.expect("-ERR 'Permissions Violation for Publish to \"no\"'")
	if n := b.RateCounters(); n != (broker.RateCounters{}) {
		t.Fatalf("counted %+v", n)
	}
	c.send("PUB svc in.1 0\r\n\r\n")
	const status = "NATS/1.0 429 Too Many Requests\r\nNats-Subject: svc\r\n\r\n"
	c.expect("-ERR 'Permissions Violation for Publish to \"svc\"'", fmt.Sprintf("HMSG in.1 7 %d %[1]d", len(status)))
	c.expect(strings.Split(status, "\r\n")...)
	const flood = 1000
	c.send("%s", strings.Repeat("PUB yes 0\r\n\r\n", flood))
	c.send("PING\r\n")
	told := 0
	for line := c.line(); line != "PONG"; line = c.line() {
		told++
	}
	if told == 0 || told > 100 {
		t.Errorf("%d of %d dropped messages were told", told, flood)
	}
	if n := b.RateCounters(); n.Dropped != flood+1 {
		t.Errorf("counted %+v", n)
	}
	if v := b.Varz().RateLimits; v == nil || *v != (monitor.RateLimits{Dropped: flood + 1}) {
		t.Errorf("varz shows %+v", v)
	}
	if i := b.Conns(monitor.ConnQuery{Open: true}); len(i) != 1 || i[0].Dropped != flood+1 || i[0].Throttled != 0 {
		t.Errorf("connz shows %+v", i)
	}
}

// A throttled session still gets what others send, and its own subscriptions'
// messages; it is not stale however long it is not read.
func TestRateLimitThrottleGets(t *testing.T) {
	b, url := start(t, broker.Options{
		RateLimits:   limit.Limits{User: once(1, limit.Throttle)},
		PingInterval: 20 * time.Millisecond, PingMax: 1,
		Auth: auth.Options{Users: []auth.User{{Name: "slow"}, {Name: "other"}}},
	})
	c := dial(t, url)
	c.send("CONNECT {\"verbose\":false,\"user\":\"slow\"}\r\nSUB in 1\r\n")
	c.sync()
	c.send("PUB a 0\r\n\r\nPING\r\nPUB a 0\r\n\r\n")
	c.expect("PONG")
	waitFor(t, "the pause", func() bool { return b.RateCounters().Throttled == 1 })
	in := b.Peer("service")
	for i := range 50 { // a second, which is many ping intervals
		if in.Publish(&wire.Msg{Subject: []byte("in"), Data: []byte("x")}) != 1 {
			t.Fatal("nobody got it")
		}
		c.expect("MSG in 1 1", "x")
		if i > 0 {
			time.Sleep(20 * time.Millisecond) // what does not happen meanwhile has no event
		}
	}
	if n := b.Varz(); n.StaleConnections != 0 || n.Connections != 1 {
		t.Errorf("%d are stale, %d there", n.StaleConnections, n.Connections)
	}
}

// Without the exemption the pings above would have ended it: the same client
// unthrottled and silent is stale.
func TestRateLimitStaleStill(t *testing.T) {
	b, url := start(t, broker.Options{RateLimits: limit.Limits{User: once(100, limit.Throttle)}, PingInterval: 20 * time.Millisecond, PingMax: 1})
	c := quiet(t, url)
	c.send("PUB a 0\r\n\r\n")
	waitFor(t, "the stale connection", func() bool { return b.Varz().StaleConnections == 1 })
}

// A reload changes limits of connections that exist: those who wait go on.
func TestRateLimitReload(t *testing.T) {
	o := broker.Options{RateLimits: limit.Limits{Account: once(1, limit.Throttle)}}
	b, url := start(t, o)
	c := quiet(t, url)
	c.sync()
	c.send("%s", strings.Repeat("PUB a 0\r\n\r\n", 10))
	waitFor(t, "the pause", func() bool { return b.RateCounters().Throttled == 1 })
	reload := func(l limit.Limits) {
		t.Helper()
		o.RateLimits = l
		commit, _, err := b.Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		commit()
	}
	reload(limit.Limits{}) // off
	c.sync()
	if n := b.Varz().InMsgs; n != 10 {
		t.Fatalf("%d messages, want 10", n)
	}
	reload(limit.Limits{Connection: once(3, limit.Drop)}) // on, and another action
	c.send("%s", strings.Repeat("PUB a 0\r\n\r\n", 4))
	c.expect("-ERR 'Permissions Violation for Publish to \"a\"'")
	c.sync()
	reload(limit.Limits{Connection: once(3, limit.Disconnect)})
	c.send("PUB a 0\r\n\r\n") // what was used up stays so
	c.closed()
	o.RateLimits.User.Burst = -1
	if _, _, err := b.Prepare(o); err == nil || !strings.Contains(err.Error(), "user.burst") {
		t.Errorf("a negative burst: %v", err)
	}
}

// The system account, networks that are exempt, connections inside the process
// and other accounts are not limited.
func TestRateLimitExempt(t *testing.T) {
	users := []auth.User{{Name: "sys", Account: account.System}, {Name: "free", Account: "FREE"}, {Name: "slow", Account: "SLOW"}}
	specs := []account.Spec{{Name: "FREE", Limits: account.NoLimits}, {Name: "SLOW", Limits: account.NoLimits}}
	l := limit.Limits{Connection: once(1, limit.Disconnect), Accounts: map[string]limit.Scopes{"FREE": {Connection: limit.Rates{Messages: -1}}}}
	o := broker.Options{RateLimits: l, Accounts: specs, Auth: auth.Options{Users: users}}
	b, url := start(t, o)
	flood := func(nc *nats.Conn) {
		t.Helper()
		for range 100 {
			if err := nc.Publish("a", nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flood(connect(t, url, nats.UserInfo("sys", "")))
	flood(connect(t, url, nats.UserInfo("free", "")))
	flood(connect(t, "", nats.InProcessServer(b), nats.UserInfo("slow", "")))
	if n := b.RateCounters(); n != (broker.RateCounters{}) {
		t.Errorf("counted %+v", n)
	}
	c := dial(t, url)
	c.send("CONNECT {\"verbose\":false,\"user\":\"slow\"}\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\n")
	c.closed()
	o.RateLimits.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	commit, _, err := b.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	flood(connect(t, url, nats.UserInfo("slow", "")))
}

// Connections above their rate are delayed, and closed in silence when that would
// take longer than clients wait.
func TestRateLimitConnects(t *testing.T) {
	r := limit.Rates{Connects: 4, Burst: 500 * time.Millisecond}
	for name, l := range map[string]limit.Limits{"address": {Address: r}, "user": {User: r}, "account": {Account: r}} {
		t.Run(name, func(t *testing.T) {
			b, url := start(t, broker.Options{RateLimits: l})
			began := time.Now()
			in, out := 0, 0
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					nc, err := nats.Connect(url, nats.Timeout(20*time.Second))
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						out++
						return
					}
					in++
					nc.Close()
				})
			}
			wg.Wait()
			// Two at once, and four that may wait, or more if the test was slow.
			most := 7 + int(4*time.Since(began).Seconds())
			if in < 3 || in > most || out == 0 {
				t.Errorf("%d came in and %d did not", in, out)
			}
			if n := b.RateCounters(); n.Delayed == 0 || n.Refused != uint64(out) {
				t.Errorf("counted %+v, %d did not come in", n, out)
			}
			// Who tries again comes in.
			waitFor(t, "a connection", func() bool {
				nc, err := nats.Connect(url)
				if err == nil {
					nc.Close()
				}
				return err == nil
			})
		})
	}
}

// nats.go stays usable through each action.
func TestRateLimitNatsGo(t *testing.T) {
	for _, action := range []limit.Action{limit.Throttle, limit.Drop, limit.Disconnect} {
		t.Run(action.String(), func(t *testing.T) {
			b, url := start(t, broker.Options{RateLimits: limit.Limits{Connection: limit.Rates{Messages: 500, Burst: 100 * time.Millisecond, Action: action}}})
			echo := connect(t, "", nats.InProcessServer(b))
			if _, err := echo.Subscribe("echo", func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
				t.Fatal(err)
			}
			if err := echo.Flush(); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			reconnects := make(chan struct{}, 100)
			nc := connect(t, url, nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(5), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
				nats.ReconnectHandler(func(*nats.Conn) { reconnects <- struct{}{} }), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
			for range 300 {
				if err := nc.Publish("flood", nil); err != nil {
					t.Fatal(err)
				}
			}
			nc.Flush() // fails when it is disconnected
			n := b.RateCounters()
			switch action {
			case limit.Throttle:
				if n.Throttled == 0 {
					t.Error("it was not throttled")
				}
			case limit.Drop:
				if n.Dropped == 0 {
					t.Error("nothing was dropped")
				}
				if !errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
					t.Errorf("it was told %v", nc.LastError())
				}
				waitFor(t, "a request that is dropped", func() bool {
					for range 300 {
						if err := nc.Publish("flood", nil); err != nil {
							t.Fatal(err)
						}
					}
					m, err := nc.Request("echo", nil, 5*time.Second)
					return err == nil && m.Header.Get("Status") == "429"
				})
			case limit.Disconnect:
				select {
				case <-reconnects:
				case <-time.After(10 * time.Second):
					t.Fatal("it did not come back")
				}
			}
			waitFor(t, "a request", func() bool {
				m, err := nc.Request("echo", []byte("x"), time.Second)
				return err == nil && string(m.Data) == "x"
			})
			select {
			case <-closed:
				t.Fatal("it gave up")
			default:
			}
			if action != limit.Disconnect && nc.Stats().Reconnects != 0 {
				t.Error("it lost its connection")
			}
		})
	}
}

// Limits in a user's JWT hold, and don't lift those of the configuration.
func TestRateLimitTags(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tags   []string
		limits limit.Limits
		want   broker.RateCounters
	}{
		{"none", nil, limit.Limits{}, broker.RateCounters{}},
		{"user", []string{"rate-msgs:5/h", "rate-burst:1h", "rate-action:drop"}, limit.Limits{}, broker.RateCounters{Dropped: 5}},
		{"connection", []string{"Rate-Conn-Msgs:5/h", "rate-conn-burst:1h", "rate-conn-action:drop"}, limit.Limits{}, broker.RateCounters{Dropped: 5}},
		{"narrower", []string{"rate-conn-msgs:5/h"}, limit.Limits{Connection: limit.Rates{Messages: 8.0 / 3600, Burst: time.Hour, Action: limit.Drop}}, broker.RateCounters{Dropped: 5}},
		{"wider", []string{"rate-conn-msgs:1000/s"}, limit.Limits{Connection: limit.Rates{Messages: 8.0 / 3600, Burst: time.Hour, Action: limit.Drop}}, broker.RateCounters{Dropped: 2}},
		{"malformed", []string{"rate-msgs:many", "rate-of-climb:5"}, limit.Limits{}, broker.RateCounters{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log logBuffer
			var at atomic.Pointer[broker.Broker]
			o := broker.Options{RateLimits: tc.limits, Logger: slog.New(slog.NewTextHandler(&log, nil))}
			o.Auth.Extra = func(_ context.Context, r *auth.Request) (*auth.Identity, error) {
				if r.Connect.User == "" {
					return nil, nil
				}
				return &auth.Identity{User: "u", Account: at.Load().Accounts().Global(), Tags: tc.tags, MaxSubs: -1, MaxPayload: -1}, nil
			}
			b, url := start(t, o)
			at.Store(b)
			c := dial(t, url)
			c.send("CONNECT {\"verbose\":true,\"user\":\"u\"}\r\n")
			c.expect("+OK")
			for range 10 {
				c.send("PUB a 0\r\n\r\n")
				c.line()
			}
			if n := b.RateCounters(); n != tc.want {
				t.Errorf("counted %+v, want %+v", n, tc.want)
			}
			if tc.name == "malformed" && strings.Count(log.String(), "rate limit in a user's JWT is passed over") < 2 {
				t.Errorf("no warning: %s", log.String())
			}
		})
	}
}

// BenchmarkPublishLimits is what a message costs its reader without limits, and
// with limits that are never reached: the broker reads, matches and forgets it.
func BenchmarkPublishLimits(b *testing.B) {
	high := limit.Rates{Messages: 1e12, Bytes: 1e15}
	for _, tc := range []struct {
		name   string
		limits limit.Limits
	}{
		{"off", limit.Limits{}},
		{"connection", limit.Limits{Connection: high}},
		{"all scopes", limit.Limits{Connection: high, User: high, Account: high, Address: high}},
	} {
		b.Run(tc.name, func(b *testing.B) {
			broker, url := start(b, broker.Options{RateLimits: tc.limits})
			nc, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			r := bufio.NewReader(nc)
			const each = 4096
			chunk := []byte(strings.Repeat("PUB flood 4\r\nabcd\r\n", each))
			nc.Write([]byte("CONNECT {\"verbose\":false}\r\n"))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += each {
				if _, err := nc.Write(chunk); err != nil {
					b.Fatal(err)
				}
			}
			nc.Write([]byte("PING\r\n"))
			for line := ""; line != "PONG\r\n"; {
				if line, err = r.ReadString('\n'); err != nil {
					b.Fatal(err)
				}
			}
			if n := broker.RateCounters(); n.Throttled > 0 {
				b.Errorf("the limits were reached: %+v", n)
			}
		})
	}
}
