package brokertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// soon is how long something may take that is about to happen.
const soon = 10 * time.Second

// newBroker starts a broker without a listener; the test's end stops it.
func newBroker(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutDown(t, b) })
	return b
}

func shutDown(t testing.TB, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// serve makes b listen on addr and returns the address it got.
func serve(t testing.TB, b *broker.Broker, addr string) string {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(ln, broker.Endpoint{Name: "tcp"})
	return ln.Addr().String()
}

// target is where clients connect to, and how.
type target struct {
	addr    string
	url     string
	options []nats.Option
}

// secure reports whether there is TLS on the way.
func (at target) secure() bool {
	return strings.HasPrefix(at.url, "tls") || strings.HasPrefix(at.url, "wss")
}

func tcpAt(addr string) target { return target{addr: addr, url: "nats://" + addr} }

// dial connects a client that the test's end closes.
func dial(t testing.TB, at target, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(at.url, append(opts, at.options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// must stops the test for an error; ok takes the value beside it.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receive takes a value from ch, or fails.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(soon):
		t.Fatalf("%s: nothing in %v", what, soon)
	}
	panic("unreachable")
}

// next takes the next message of sub and checks its data.
func next(t testing.TB, sub *nats.Subscription, data string) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(soon)
	if err != nil {
		t.Fatalf("want %q: %v", data, err)
	}
	if string(m.Data) != data {
		t.Fatalf("got %q, want %q", m.Data, data)
	}
	return m
}

// none checks that sub has nothing after a round trip of its connection, which
// what was sent to it before cannot be later than.
func none(t testing.TB, nc *nats.Conn, sub *nats.Subscription) {
	t.Helper()
	must(t, nc.Flush())
	if n, _, err := sub.Pending(); err != nil || n != 0 {
		t.Fatalf("%d messages pending, want none; error %v", n, err)
	}
}

// echo answers requests to subj with their data and headers.
func echo(t testing.TB, nc *nats.Conn, subj string) {
	t.Helper()
	_, err := nc.Subscribe(subj, func(m *nats.Msg) {
		if err := m.RespondMsg(&nats.Msg{Header: m.Header, Data: m.Data}); err != nil {
			t.Error(err)
		}
	})
	must(t, err)
	must(t, nc.Flush())
}

// TestNATSGo uses what nats.go documents of core NATS.
func TestNATSGo(t *testing.T) {
	t.Parallel()
	runGo(t, tcpAt(startGanglion(t, "server_name: gang")))
}

// runGo runs the tests of TestNATSGo against one address.
func runGo(t *testing.T, at target) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, at target)
	}{
		{"subscribe sync", goSync},
		{"subscribe async", goAsync},
		{"subscribe chan", goChan},
		{"wildcards", goWildcards},
		{"queue subscribe", goQueue},
		{"auto unsubscribe", goAutoUnsubscribe},
		{"unsubscribe", goUnsubscribe},
		{"request", goRequest},
		{"request with context", goRequestContext},
		{"request message", goRequestMsg},
		{"old style request", goOldRequest},
		{"no responders", goNoResponders},
		{"custom inbox prefix", goInboxPrefix},
		{"headers", goHeaders},
		{"no echo", goNoEcho},
		{"drain a subscription", goDrainSubscription},
		{"drain a connection", goDrainConnection},
		{"flush with context", goFlush},
		{"rtt", goRTT},
		{"connected server", goConnectedServer},
		{"max payload", goMaxPayload},
		{"statistics", goStats},
		{"ten clients", goTenClients},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, at)
		})
	}
}

func goSync(t *testing.T, at target) {
	nc := dial(t, at)
	sub, err := nc.SubscribeSync("sync")
	must(t, err)
	must(t, nc.PublishRequest("sync", "answer.here", []byte("hi")))
	if m := next(t, sub, "hi"); m.Subject != "sync" || m.Reply != "answer.here" {
		t.Errorf("got subject %q and reply %q", m.Subject, m.Reply)
	}
	must(t, nc.Publish("sync", nil))
	next(t, sub, "")
	must(t, nc.Publish("sync.other", []byte("not for it")))
	none(t, nc, sub)
}

func goAsync(t *testing.T, at target) {
	nc, from := dial(t, at), dial(t, at)
	got := make(chan string, 100)
	_, err := nc.Subscribe("async", func(m *nats.Msg) { got <- string(m.Data) })
	must(t, err)
	must(t, nc.Flush())
	for i := range cap(got) {
		must(t, from.Publish("async", []byte(strconv.Itoa(i))))
	}
	must(t, from.Flush())
	for i := range cap(got) {
		if s := receive(t, got, "message"); s != strconv.Itoa(i) {
			t.Fatalf("message %d is %q", i, s)
		}
	}
}

func goChan(t *testing.T, at target) {
	nc := dial(t, at)
	ch := make(chan *nats.Msg, 2)
	sub, err := nc.ChanSubscribe("chan", ch)
	must(t, err)
	must(t, nc.Publish("chan", []byte("1")))
	must(t, nc.Publish("chan", []byte("2")))
	for _, want := range []string{"1", "2"} {
		if m := receive(t, ch, "message"); string(m.Data) != want || m.Sub != sub {
			t.Fatalf("got %q, want %q", m.Data, want)
		}
	}
}

func goWildcards(t *testing.T, at target) {
	nc := dial(t, at)
	one, err := nc.SubscribeSync("wild.*.end")
	must(t, err)
	rest, err := nc.SubscribeSync("wild.>")
	must(t, err)
	for _, s := range []string{"wild.a.end", "wild.a.b.end", "wild", "wild.b"} {
		must(t, nc.Publish(s, []byte(s)))
	}
	next(t, one, "wild.a.end")
	for _, s := range []string{"wild.a.end", "wild.a.b.end", "wild.b"} {
		next(t, rest, s)
	}
	none(t, nc, one)
	none(t, nc, rest)
}

func goQueue(t *testing.T, at target) {
	const members, total = 4, 1000
	var counts [members]atomic.Int64
	seen := make(chan string, total)
	for i := range members {
		nc := dial(t, at)
		_, err := nc.QueueSubscribe("queue", "workers", func(m *nats.Msg) {
			counts[i].Add(1)
			seen <- string(m.Data)
		})
		must(t, err)
		must(t, nc.Flush())
	}
	nc := dial(t, at)
	every, err := nc.SubscribeSync("queue")
	must(t, err)
	for i := range total {
		must(t, nc.Publish("queue", []byte(strconv.Itoa(i))))
	}
	all := map[string]bool{}
	for i := range total {
		all[receive(t, seen, "message")] = true
		next(t, every, strconv.Itoa(i))
	}
	if len(all) != total {
		t.Errorf("the group got %d different messages of %d", len(all), total)
	}
	for i := range counts {
		if n := counts[i].Load(); n < total/members/4 {
			t.Errorf("member %d got %d of %d", i, n, total)
		}
	}
	must(t, nc.Flush())
	if n := len(seen); n != 0 {
		t.Errorf("%d messages more than were sent", n)
	}
}

func goAutoUnsubscribe(t *testing.T, at target) {
	nc := dial(t, at)
	sub, err := nc.SubscribeSync("auto")
	must(t, err)
	must(t, sub.AutoUnsubscribe(3))
	for i := range 10 {
		must(t, nc.Publish("auto", []byte(strconv.Itoa(i))))
	}
	must(t, nc.Flush())
	for i := range 3 {
		next(t, sub, strconv.Itoa(i))
	}
	if _, err := sub.NextMsg(soon); !errors.Is(err, nats.ErrMaxMessages) && !errors.Is(err, nats.ErrBadSubscription) {
		t.Errorf("after the last message: %v", err)
	}
	if n := nc.Stats().InMsgs; n != 3 {
		t.Errorf("the server sent %d messages, want 3", n)
	}
}

func goUnsubscribe(t *testing.T, at target) {
	nc := dial(t, at)
	sub, err := nc.SubscribeSync("unsub")
	must(t, err)
	must(t, nc.Publish("unsub", []byte("1")))
	next(t, sub, "1")
	must(t, sub.Unsubscribe())
	must(t, nc.Publish("unsub", []byte("2")))
	must(t, nc.Flush())
	if n := nc.Stats().InMsgs; n != 1 {
		t.Errorf("the server sent %d messages, want 1", n)
	}
}

func goRequest(t *testing.T, at target) {
	service, nc := dial(t, at), dial(t, at)
	echo(t, service, "request")
	for i := range 20 {
		want := strconv.Itoa(i)
		m, err := nc.Request("request", []byte(want), soon)
		must(t, err)
		if string(m.Data) != want {
			t.Fatalf("got %q, want %q", m.Data, want)
		}
	}
}

func goRequestContext(t *testing.T, at target) {
	service, nc := dial(t, at), dial(t, at)
	echo(t, service, "context")
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "context", []byte("hi"))
	must(t, err)
	if string(m.Data) != "hi" {
		t.Errorf("got %q", m.Data)
	}

	// Somebody listens, but never answers.
	silent, err := service.SubscribeSync("context.silent")
	must(t, err)
	must(t, service.Flush())
	ctx, cancel = context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := nc.RequestWithContext(ctx, "context.silent", []byte("?"))
		failed <- err
	}()
	next(t, silent, "?")
	cancel()
	if err := receive(t, failed, "error"); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func goRequestMsg(t *testing.T, at target) {
	service, nc := dial(t, at), dial(t, at)
	echo(t, service, "message")
	m, err := nc.RequestMsg(&nats.Msg{Subject: "message", Header: nats.Header{"K": {"v"}}, Data: []byte("hi")}, soon)
	must(t, err)
	if string(m.Data) != "hi" || m.Header.Get("K") != "v" {
		t.Errorf("got %q with %v", m.Data, m.Header)
	}
}

func goOldRequest(t *testing.T, at target) {
	service, nc := dial(t, at), dial(t, at, nats.UseOldRequestStyle())
	echo(t, service, "old")
	for i := range 20 {
		want := strconv.Itoa(i)
		m, err := nc.Request("old", []byte(want), soon)
		must(t, err)
		if string(m.Data) != want {
			t.Fatalf("got %q, want %q", m.Data, want)
		}
	}
	if _, err := nc.Request("old.nobody", nil, soon); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("without a responder: %v", err)
	}
}

func goNoResponders(t *testing.T, at target) {
	nc := dial(t, at)
	start := time.Now()
	if _, err := nc.Request("nobody", nil, soon); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > soon/2 {
		t.Errorf("it took %v", d)
	}
	// A message without subscribers that nobody asks after is no error.
	must(t, nc.Publish("nobody", nil))
	must(t, nc.Flush())
	must(t, nc.LastError())
}

func goInboxPrefix(t *testing.T, at target) {
	service, nc := dial(t, at), dial(t, at, nats.CustomInboxPrefix("_MINE.box"))
	replies := make(chan string, 1)
	_, err := service.Subscribe("prefix", func(m *nats.Msg) {
		replies <- m.Reply
		m.Respond([]byte("ok"))
	})
	must(t, err)
	must(t, service.Flush())
	m, err := nc.Request("prefix", nil, soon)
	must(t, err)
	if r := receive(t, replies, "reply subject"); !strings.HasPrefix(r, "_MINE.box.") || m.Subject != r {
		t.Errorf("reply subject %q, answer on %q", r, m.Subject)
	}
	if !strings.HasPrefix(nc.NewInbox(), "_MINE.box.") {
		t.Errorf("inbox %q", nc.NewInbox())
	}
}

func goHeaders(t *testing.T, at target) {
	nc := dial(t, at)
	if !nc.HeadersSupported() {
		t.Fatal("the server does not say it does headers")
	}
	sub, err := nc.SubscribeSync("headers")
	must(t, err)
	h := nats.Header{}
	h.Add("Multi", "one")
	h.Add("Multi", "two")
	h.Add("Multi", "one")
	h.Set("lower-CASE", "a")
	h.Set("Lower-Case", "b") // another key: case counts
	h.Set("Empty", "")
	h.Set("Text", "ä: b; c=d")
	must(t, nc.PublishMsg(&nats.Msg{Subject: "headers", Header: h, Data: []byte("body")}))
	m := next(t, sub, "body")
	if len(m.Header) != len(h) {
		t.Errorf("got %v", m.Header)
	}
	for k, want := range h {
		if !slices.Equal(m.Header.Values(k), want) {
			t.Errorf("%s: got %q, want %q", k, m.Header.Values(k), want)
		}
	}
	must(t, nc.PublishMsg(&nats.Msg{Subject: "headers", Header: nats.Header{"K": {"v"}}}))
	if m := next(t, sub, ""); m.Header.Get("K") != "v" {
		t.Errorf("without a body: %v", m.Header)
	}
}

func goNoEcho(t *testing.T, at target) {
	quiet, other := dial(t, at, nats.NoEcho()), dial(t, at)
	own, err := quiet.SubscribeSync("echo")
	must(t, err)
	must(t, quiet.Flush())
	foreign, err := other.SubscribeSync("echo")
	must(t, err)
	must(t, other.Flush())
	must(t, quiet.Publish("echo", []byte("1")))
	must(t, quiet.Flush())
	next(t, foreign, "1")
	must(t, other.Publish("echo", []byte("2")))
	must(t, other.Flush())
	next(t, own, "2")
	none(t, quiet, own)
}

func goDrainSubscription(t *testing.T, at target) {
	const total = 500
	nc := dial(t, at)
	var got atomic.Int64
	first, release := make(chan struct{}), make(chan struct{})
	sub, err := nc.Subscribe("drain.sub", func(*nats.Msg) {
		if got.Add(1) == 1 {
			close(first)
			<-release
		}
	})
	must(t, err)
	done := sub.StatusChanged(nats.SubscriptionClosed)
	for range total {
		must(t, nc.Publish("drain.sub", nil))
	}
	receive(t, first, "first message")
	must(t, nc.Flush())
	must(t, sub.Drain())
	must(t, nc.Flush())
	for range total {
		must(t, nc.Publish("drain.sub", nil)) // too late for it
	}
	must(t, nc.Flush())
	close(release)
	receive(t, done, "end of the drain")
	if n := got.Load(); n != total {
		t.Errorf("handled %d messages, want %d", n, total)
	}
	if n := nc.Stats().InMsgs; n != total {
		t.Errorf("the server sent %d messages, want %d", n, total)
	}
}

func goDrainConnection(t *testing.T, at target) {
	const total = 500
	closed := make(chan struct{})
	nc := dial(t, at, nats.ClosedHandler(func(*nats.Conn) { close(closed) }), nats.DrainTimeout(soon))
	from := dial(t, at)
	answers, err := from.SubscribeSync("drain.answers")
	must(t, err)
	must(t, from.Flush())
	var got atomic.Int64
	first, release := make(chan struct{}), make(chan struct{})
	for range 2 {
		_, err := nc.QueueSubscribe("drain.conn", "q", func(m *nats.Msg) {
			if got.Add(1) == 1 {
				close(first)
				<-release
			}
			if err := m.Respond([]byte("a")); err != nil {
				t.Error(err)
			}
		})
		must(t, err)
	}
	must(t, nc.Flush())
	for range total {
		must(t, from.PublishRequest("drain.conn", "drain.answers", nil))
	}
	must(t, from.Flush())
	receive(t, first, "first message")
	must(t, nc.Flush())
	must(t, nc.Drain())
	close(release)
	receive(t, closed, "end of the drain")
	if n := got.Load(); n != total {
		t.Errorf("handled %d messages, want %d", n, total)
	}
	for range total {
		next(t, answers, "a")
	}
	none(t, from, answers)
	must(t, nc.LastError())
}

func goFlush(t *testing.T, at target) {
	nc := dial(t, at)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for range 1000 {
		must(t, nc.Publish("flush", []byte("x")))
	}
	must(t, nc.FlushWithContext(ctx))
	must(t, nc.FlushTimeout(soon))
	if n, err := nc.Buffered(); err != nil || n != 0 {
		t.Errorf("%d bytes still buffered, error %v", n, err)
	}
}

func goRTT(t *testing.T, at target) {
	d, err := dial(t, at).RTT()
	must(t, err)
	if d <= 0 || d > soon {
		t.Errorf("got %v", d)
	}
}

func goConnectedServer(t *testing.T, at target) {
	nc := dial(t, at)
	if id := nc.ConnectedServerId(); len(id) != 56 || id[0] != 'N' {
		t.Errorf("id %q", id)
	}
	if s := nc.ConnectedServerName(); s != "gang" {
		t.Errorf("name %q", s)
	}
	if s := nc.ConnectedServerVersion(); s != wire.Version {
		t.Errorf("version %q", s)
	}
	if s := nc.ConnectedAddr(); s != at.addr {
		t.Errorf("address %q", s)
	}
	if nc.AuthRequired() || nc.TLSRequired() != at.secure() {
		t.Error("it wants credentials or TLS")
	}
	id, err := nc.GetClientID()
	must(t, err)
	if id == 0 {
		t.Error("no client id")
	}
	if ip, err := nc.GetClientIP(); err != nil || !ip.IsLoopback() {
		t.Errorf("client IP %v, error %v", ip, err)
	}
}

func goMaxPayload(t *testing.T, at target) {
	nc := dial(t, at)
	if n := nc.MaxPayload(); n != wire.DefaultMaxPayload {
		t.Fatalf("got %d", n)
	}
	sub, err := nc.SubscribeSync("payload")
	must(t, err)
	data := bytes.Repeat([]byte("x"), wire.DefaultMaxPayload)
	must(t, nc.Publish("payload", data))
	next(t, sub, string(data))
	if err := nc.Publish("payload", append(data, 'x')); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("one byte more: %v", err)
	}
	must(t, nc.Flush())
}

func goStats(t *testing.T, at target) {
	nc := dial(t, at)
	sub, err := nc.SubscribeSync("stats")
	must(t, err)
	for range 10 {
		must(t, nc.Publish("stats", []byte("12345")))
	}
	must(t, nc.Flush())
	for range 10 {
		next(t, sub, "12345")
	}
	if s := nc.Stats(); s.InMsgs != 10 || s.OutMsgs != 10 || s.InBytes != 50 || s.OutBytes != 50 {
		t.Errorf("got %+v", s)
	}
}

func goTenClients(t *testing.T, at target) {
	const clients, each = 10, 200
	var got [clients]atomic.Int64
	var all sync.WaitGroup
	ncs := make([]*nats.Conn, clients)
	for i := range ncs {
		ncs[i] = dial(t, at)
		all.Add(clients * each)
		_, err := ncs[i].Subscribe("ten.*", func(*nats.Msg) {
			got[i].Add(1)
			all.Done()
		})
		must(t, err)
		must(t, ncs[i].Flush())
	}
	for i, nc := range ncs {
		go func() {
			subj := fmt.Sprintf("ten.%d", i)
			for range each {
				if err := nc.Publish(subj, []byte("x")); err != nil {
					t.Error(err)
				}
			}
			if err := nc.Flush(); err != nil {
				t.Error(err)
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	receive(t, done, "all messages")
	for i, nc := range ncs {
		must(t, nc.Flush())
		if n := got[i].Load(); n != clients*each {
			t.Errorf("client %d got %d messages, want %d", i, n, clients*each)
		}
	}
}

// TestNATSGoAuth joins with credentials that hold and others that don't.
func TestNATSGoAuth(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, config string
		opts         []nats.Option
		ok           bool
	}{
		{"token", "authorization { token: s3cret }", []nats.Option{nats.Token("s3cret")}, true},
		{"token handler", "authorization { token: s3cret }", []nats.Option{nats.TokenHandler(func() string { return "s3cret" })}, true},
		{"wrong token", "authorization { token: s3cret }", []nats.Option{nats.Token("other")}, false},
		{"no token", "authorization { token: s3cret }", nil, false},
		{"user", "authorization { user: ann, password: pw }", []nats.Option{nats.UserInfo("ann", "pw")}, true},
		{"wrong user", "authorization { user: ann, password: pw }", []nats.Option{nats.UserInfo("bob", "pw")}, false},
		{"wrong password", "authorization { user: ann, password: pw }", []nats.Option{nats.UserInfo("ann", "no")}, false},
		{"no user", "authorization { user: ann, password: pw }", nil, false},
		{"credentials nobody asked for", "", []nats.Option{nats.UserInfo("ann", "pw")}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nc, err := nats.Connect("nats://"+startGanglion(t, tt.config), tt.opts...)
			if !tt.ok {
				if !errors.Is(err, nats.ErrAuthorization) {
					t.Fatalf("got %v, want %v", err, nats.ErrAuthorization)
				}
				return
			}
			must(t, err)
			defer nc.Close()
			must(t, nc.Flush())
			if want := tt.config != ""; nc.AuthRequired() != want {
				t.Errorf("the server says auth_required=%v", !want)
			}
		})
	}
}

// TestNATSGoReconnect stops a broker, starts another in its place, and checks
// that the client is back with its subscriptions.
func TestNATSGoReconnect(t *testing.T) {
	t.Parallel()
	old := newBroker(t, broker.Options{ServerName: "old"})
	addr := serve(t, old, "127.0.0.1:0")
	gone, back := make(chan error, 1), make(chan string, 1)
	nc := dial(t, tcpAt(addr), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { gone <- err }),
		nats.ReconnectHandler(func(nc *nats.Conn) { back <- nc.ConnectedServerName() }))
	sub, err := nc.SubscribeSync("again.*")
	must(t, err)
	left, err := nc.QueueSubscribeSync("again.*", "q")
	must(t, err)
	must(t, left.AutoUnsubscribe(3))
	must(t, nc.Publish("again.1", []byte("1")))
	next(t, sub, "1")
	next(t, left, "1")

	shutDown(t, old)
	receive(t, gone, "disconnect")
	must(t, nc.Publish("again.2", []byte("2"))) // kept by the client meanwhile
	serve(t, newBroker(t, broker.Options{ServerName: "new"}), addr)
	if name := receive(t, back, "reconnect"); name != "new" {
		t.Errorf("reconnected to %q", name)
	}
	must(t, nc.Flush())
	from := dial(t, tcpAt(addr))
	for i := 3; i < 6; i++ {
		must(t, from.Publish("again."+strconv.Itoa(i), []byte(strconv.Itoa(i))))
	}
	must(t, from.Flush())
	for i := 2; i < 6; i++ {
		next(t, sub, strconv.Itoa(i))
	}
	next(t, left, "2")
	next(t, left, "3")
	none(t, nc, sub)
	if n := nc.Stats().InMsgs; n != 1+1+4+2 {
		t.Errorf("the servers sent %d messages, want 8", n)
	}
	if n := nc.Stats().Reconnects; n != 1 {
		t.Errorf("%d reconnects", n)
	}
}

// TestNATSGoLameDuck tells a client to go and then closes it.
func TestNATSGoLameDuck(t *testing.T) {
	t.Parallel()
	b := newBroker(t, broker.Options{LameDuckGrace: -1, LameDuckDuration: time.Millisecond})
	told, closed := make(chan struct{}, 1), make(chan struct{})
	nc := dial(t, tcpAt(serve(t, b, "127.0.0.1:0")), nats.NoReconnect(),
		nats.LameDuckModeHandler(func(*nats.Conn) { told <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	must(t, nc.Flush())
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	must(t, b.LameDuck(ctx))
	receive(t, told, "lame duck notice")
	receive(t, closed, "close")
}

// TestNATSGoInProcess connects without a network.
func TestNATSGoInProcess(t *testing.T) {
	t.Parallel()
	b := newBroker(t, broker.Options{})
	inside, err := nats.Connect("", nats.InProcessServer(b))
	must(t, err)
	t.Cleanup(inside.Close)
	outside := dial(t, tcpAt(serve(t, b, "127.0.0.1:0")))
	echo(t, inside, "inside")
	echo(t, outside, "outside")
	for subj, nc := range map[string]*nats.Conn{"inside": outside, "outside": inside} {
		m, err := nc.Request(subj, []byte("hi"), soon)
		must(t, err)
		if string(m.Data) != "hi" {
			t.Errorf("%s answered %q", subj, m.Data)
		}
	}
	data := bytes.Repeat([]byte("x"), 1<<19)
	m, err := inside.Request("inside", data, soon)
	must(t, err)
	if !bytes.Equal(m.Data, data) {
		t.Errorf("got %d bytes back of %d", len(m.Data), len(data))
	}
}

// TestNATSGoMapping publishes to subjects that the broker maps.
func TestNATSGoMapping(t *testing.T) {
	t.Parallel()
	mapping := func(src string, dests ...subject.Dest) *subject.Mapping {
		m, err := subject.NewMapping(src, dests...)
		must(t, err)
		return m
	}
	addr := serve(t, newBroker(t, broker.Options{Mappings: []*subject.Mapping{
		mapping("orders.*.*", subject.Dest{Subject: "region.{{wildcard(2)}}.{{wildcard(1)}}", Weight: 100}),
		mapping("old", subject.Dest{Subject: "new", Weight: 100}),
		mapping("canary", subject.Dest{Subject: "canary.a", Weight: 50}, subject.Dest{Subject: "canary.b", Weight: 50}),
	}}), "127.0.0.1:0")
	nc := dial(t, tcpAt(addr))
	subs := map[string]*nats.Subscription{}
	for _, s := range []string{"orders.>", "region.>", "old", "new", "canary", "canary.*"} {
		sub, err := nc.SubscribeSync(s)
		must(t, err)
		subs[s] = sub
	}
	must(t, nc.Publish("orders.7.eu", []byte("order")))
	if m := next(t, subs["region.>"], "order"); m.Subject != "region.eu.7" {
		t.Errorf("mapped to %q", m.Subject)
	}
	must(t, nc.Publish("old", []byte("o")))
	if m := next(t, subs["new"], "o"); m.Subject != "new" {
		t.Errorf("mapped to %q", m.Subject)
	}
	const total = 1000
	for range total {
		must(t, nc.Publish("canary", nil))
	}
	counts := map[string]int{}
	for range total {
		counts[next(t, subs["canary.*"], "").Subject]++
	}
	if a, b := counts["canary.a"], counts["canary.b"]; a+b != total || a < total/3 || b < total/3 {
		t.Errorf("spread %v", counts)
	}
	for _, sub := range subs {
		none(t, nc, sub)
	}
	echo(t, nc, "new")
	m, err := nc.Request("old", []byte("hi"), soon)
	must(t, err)
	if string(m.Data) != "hi" {
		t.Errorf("a request through a mapping: %q", m.Data)
	}
}
