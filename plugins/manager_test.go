package plugins_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/core/broker"
	"ganglion/core/wire"
	"ganglion/plugins"
	"ganglion/plugins/abi"
	"ganglion/plugins/trust"
	"ganglion/plugins/wasm"
)

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// house is a broker with plugins.
type house struct {
	t      testing.TB
	dir    string
	broker *broker.Broker
	m      *plugins.Manager
	url    string
	log    *buffer
	host   *wasm.Host
	hooks  []plugins.Hook // bound last
	mu     sync.Mutex
	events []plugins.Event
}

func (h *house) options() plugins.Options {
	return plugins.Options{
		Dir: h.dir, Every: 10 * time.Millisecond, Host: h.host,
		Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Bind: func(list []plugins.Hook) {
			hooks := make([]broker.Hook, len(list))
			for i, x := range list {
				hooks[i] = broker.Hook{Binding: x.Binding, Accounts: x.Accounts}
			}
			h.hooks = list
			h.broker.SetHooks(hooks)
		},
		Emit: func(acc string, hops int, m *wire.Msg) error { return h.broker.PublishAs("plugins", acc, hops, m) },
		Event: func(e plugins.Event) {
			h.mu.Lock()
			h.events = append(h.events, e)
			h.mu.Unlock()
		},
	}
}

// saw reports whether there was such an event.
func (h *house) saw(kind, reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.Kind == kind && strings.Contains(e.Reason, reason) {
			return true
		}
	}
	return false
}

// newHouse starts a broker with the test guest in its plugins directory if file is
// not "".
func newHouse(t testing.TB, file string, change func(*plugins.Options)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), log: &buffer{}}
	var err error
	h.host = wasm.NewHost(wasm.HostOptions{})
	t.Cleanup(func() { h.host.Close() })
	if file != "" {
		h.drop("guest.wasm", file)
	}
	late := &late{}
	if h.broker, err = broker.New(broker.Options{Logger: slog.New(slog.NewTextHandler(h.log, nil)), Connect: late.connect(), Subscribe: late.subscribe()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.broker.Shutdown(context.Background()) })
	o := h.options()
	if change != nil {
		change(&o)
	}
	if h.m, err = plugins.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	late.m = h.m
	t.Cleanup(h.m.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go h.broker.Serve(ln, broker.Endpoint{Name: "tcp"})
	h.url = "nats://" + ln.Addr().String()
	return h
}

// drop puts a file into the directory, at once.
func (h *house) drop(name, from string) {
	h.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(name, b)
}

func (h *house) write(name string, b []byte) {
	h.t.Helper()
	tmp := filepath.Join(h.dir, "."+name+".tmp")
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) connect(options ...nats.Option) *nats.Conn {
	h.t.Helper()
	nc, err := nats.Connect(h.url, append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("no %s; the log:\n%s", what, h.log)
		}
	}
}

// ask requests on t.a and returns the answer's payload, or its status.
func ask(t testing.TB, nc *nats.Conn, payload string) string {
	t.Helper()
	m, err := nc.Request("t.a", []byte(payload), 5*time.Second)
	if err != nil {
		return err.Error()
	}
	if s := m.Header.Get("Status"); s != "" {
		return strings.TrimSpace(s + " " + m.Header.Get("Description"))
	}
	return string(m.Data)
}

// echo answers on t.> with what came, and its subject.
func echo(t testing.TB, nc *nats.Conn) {
	t.Helper()
	if _, err := nc.Subscribe("t.>", func(m *nats.Msg) {
		m.Respond(fmt.Appendf(nil, "%s %s %s", m.Subject, m.Data, m.Header.Get("A")))
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

const guest = "wasm/testdata/guest.wasm"

func TestVerdicts(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	out, err := nc.SubscribeSync("out.>")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ payload, want string }{
		{"plain", "t.a plain "},
		{"uhello", "t.a uHELLO "},
		{"st.other", "t.other st.other "},
		{"h", "t.a h b"},
		{"Rtoo much", "429 too much"},
		{"r", "403 Rejected"},
		{"sforbidden.x", "500 plugin guest is not available"}, // not in publish_to
		{"s$SYS.x", "500 plugin guest is not available"},
		{"H", "500 plugin guest is not available"},
		{"t", "500 plugin guest is not available"},
		{"plain", "t.a plain "},
		{"E", "t.a E "},
	} {
		if got := ask(t, nc, tt.payload); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.payload, got, tt.want)
		}
	}
	if m, err := out.NextMsg(5 * time.Second); err != nil || m.Subject != "out.x" {
		t.Errorf("emitted %v, %v", m, err)
	}
	if m, err := nc.Request("t.a", []byte("d"), 200*time.Millisecond); err == nil {
		t.Errorf("a dropped request is answered by %q", m.Data)
	}
}

// TestHotSwap: a flood of numbered messages meets swaps of the plugin; none is
// lost, doubled or seen by no version.
func TestHotSwap(t *testing.T) {
	h := newHouse(t, guest, nil)
	sub := h.connect()
	var mu sync.Mutex
	next, odd := 0, ""
	done := make(chan struct{})
	const n = 200_000
	if _, err := sub.Subscribe("t.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if want := fmt.Sprintf("uN%d", next); string(m.Data) != want && odd == "" {
			odd = fmt.Sprintf("%s instead of %s", m.Data, want)
		}
		if next++; next == n {
			close(done)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := sub.Flush(); err != nil {
		t.Fatal(err)
	}
	stop, swapped := make(chan struct{}), make(chan int)
	good, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // each a file of its own: a custom section makes the difference
		swaps := 0
		defer func() { swapped <- swaps }()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			loads := strings.Count(h.log.String(), "plugin loaded")
			h.write("guest.wasm", append(bytes.Clone(good), 0, 3, 1, 'v', byte(i)))
			for end := time.Now().Add(10 * time.Second); strings.Count(h.log.String(), "plugin loaded") == loads && time.Now().Before(end); {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
			swaps++
		}
	}()
	pub := h.connect()
	for i := range n {
		if err := pub.Publish("t.a", fmt.Appendf(nil, "un%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		mu.Lock()
		t.Fatalf("%d of %d came", next, n)
	}
	close(stop)
	swaps := <-swapped
	if odd != "" {
		t.Error(odd)
	}
	if swaps < 3 {
		t.Errorf("%d swaps", swaps)
	}
	t.Logf("%d swaps under %d messages", swaps, n)
}

// TestDrop: dropped, changed to what is no good, removed.
func TestDrop(t *testing.T) {
	h := newHouse(t, "", nil)
	echo(t, h.connect())
	nc := h.connect()
	if got := ask(t, nc, "ux"); got != "t.a ux " {
		t.Fatal(got)
	}
	h.drop("guest.wasm", guest)
	h.until("plugin", func() bool { return ask(t, nc, "ux") == "t.a uX " })
	h.write("guest.wasm", []byte("\x00asm nonsense"))
	h.until("refusal", func() bool { return h.saw("refuse", "not a WASM module") })
	if got := ask(t, nc, "ux"); got != "t.a uX " {
		t.Errorf("the old one is not in force: %s", got)
	}
	h.drop("other.wasm", guest) // whose name is taken
	h.until("refusal", func() bool { return h.saw("refuse", "is that of the plugin in guest.wasm") || h.saw("swap", "") })
	os.Remove(filepath.Join(h.dir, "other.wasm"))
	os.Remove(filepath.Join(h.dir, "guest.wasm"))
	h.until("end of it", func() bool { return ask(t, nc, "ux") == "t.a ux " })
	outside := filepath.Join(t.TempDir(), "x.wasm")
	if b, err := os.ReadFile(guest); err != nil || os.WriteFile(outside, b, 0o644) != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(h.dir, "link.wasm")); err != nil {
		t.Fatal(err)
	}
	h.until("refusal of a link", func() bool { return strings.Contains(h.log.String(), "no regular file") })
	if got := ask(t, nc, "ux"); got != "t.a ux " {
		t.Errorf("a link out of the directory was loaded: %s", got)
	}
}

// TestPolicies: what becomes of messages whose plugin fails.
func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		policy plugins.Policy
		want   string
	}{{plugins.FailClosed, "500 plugin guest is not available"}, {plugins.FailOpen, "t.a t "}, {plugins.Quarantine, "nats: timeout"}} {
		t.Run(tt.policy.String(), func(t *testing.T) {
			h := newHouse(t, guest, func(o *plugins.Options) {
				o.Configure = map[string]plugins.Config{"guest": {Policy: tt.policy}}
			})
			echo(t, h.connect())
			nc := h.connect()
			dead, err := nc.SubscribeSync("quarantine.guest")
			if err != nil {
				t.Fatal(err)
			}
			m, err := nc.Request("t.a", []byte("t"), 300*time.Millisecond)
			got := ""
			switch {
			case err != nil:
				got = err.Error()
			case m.Header.Get("Status") != "":
				got = m.Header.Get("Status") + " " + m.Header.Get("Description")
			default:
				got = string(m.Data)
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if tt.policy != plugins.Quarantine {
				return
			}
			q, err := dead.NextMsg(5 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if string(q.Data) != "t" || q.Header.Get("Ganglion-Subject") != "t.a" || q.Header.Get("Ganglion-Plugin") != "guest" {
				t.Errorf("quarantined %q with %v", q.Data, q.Header)
			}
		})
	}
}

// TestBreaker: faults in a row take a plugin out of service for a while.
func TestBreaker(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	for range 5 {
		ask(t, nc, "t")
	}
	h.until("trip", func() bool { return h.saw("trip", "unreachable") })
	if got := ask(t, nc, "plain"); got != "500 plugin guest is not available" {
		t.Errorf("out of service: %s", got)
	}
	h.until("recovery", func() bool { return h.saw("recover", "") && ask(t, nc, "plain") == "t.a plain " })
}

// TestRequired: the subjects of a required plugin are closed while it is not there.
func TestRequired(t *testing.T) {
	h := newHouse(t, "", func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Required: true, Bindings: []plugins.Binding{{Boundary: 1, Subjects: []string{"t.>"}}}}}
	})
	echo(t, h.connect())
	nc := h.connect()
	if got := ask(t, nc, "x"); got != "500 plugin guest is not available" {
		t.Errorf("not there: %s", got)
	}
	h.drop("guest.wasm", guest)
	h.until("plugin", func() bool { return ask(t, nc, "ux") == "t.a uX " })
}

// TestRunawayBeside: a guest that would run for ever stops nobody else.
func TestRunawayBeside(t *testing.T) {
	h := newHouse(t, guest, func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Policy: plugins.FailOpen}}
	})
	quiet, wild := h.connect(), h.connect()
	if _, err := quiet.Subscribe("quiet", func(m *nats.Msg) { m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := quiet.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		for _, p := range []string{"l", "f", "G", "k"} {
			if err := wild.Publish("t.a", []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := quiet.Request("quiet", nil, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := wild.Flush(); err != nil {
		t.Fatal(err)
	}
	if !h.saw("fault", "fuel") {
		t.Errorf("no fault; the log:\n%s", h.log)
	}
}

// TestKVSurvives: what a plugin keeps is there for its next version.
func TestKVSurvives(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	ask(t, nc, "N")
	ask(t, nc, "N")
	good, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	h.write("guest.wasm", append(good, 0, 3, 1, 'v', 9))
	h.until("swap", func() bool { return h.saw("swap", "") })
	if got := ask(t, nc, "N"); got != "t.a 3 " {
		t.Errorf("%q, want the third", got)
	}
}

// TestPins: a file with another hash, or unsigned where signatures are wanted, is
// not loaded.
func TestPins(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*plugins.Options)
		want   string
	}{
		"sha256": {func(o *plugins.Options) {
			o.Configure = map[string]plugins.Config{"guest": {SHA256: strings.Repeat("0", 64)}}
		}, "is pinned to sha256"},
		"signature": {func(o *plugins.Options) { o.RequireSigned, o.TrustedKeys = true, []string{"UA"} }, "not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, guest, tt.change)
			h.until("refusal", func() bool { return h.saw("refuse", tt.want) })
		})
	}
}

// TestSigned: with require_signed a file that a trusted key signed is loaded, and
// no other.
func TestSigned(t *testing.T) {
	good, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	pair := func() (nkeys.KeyPair, string) {
		k, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return k, public
	}
	ours, public := pair()
	strange, _ := pair()
	sign := func(k nkeys.KeyPair) []byte {
		b, err := trust.Sign(good, k)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	h := newHouse(t, "", func(o *plugins.Options) { o.RequireSigned, o.TrustedKeys = true, []string{public} })
	h.write("guest.wasm", good)
	h.until("refusal", func() bool { return h.saw("refuse", "not signed") })
	h.write("guest.wasm", sign(strange))
	h.until("refusal", func() bool { return h.saw("refuse", "not among trusted_keys") })
	forged := sign(ours)
	forged[len(good)/2] ^= 1
	h.write("guest.wasm", forged)
	h.until("refusal", func() bool { return h.saw("refuse", "signature does not hold") })
	h.write("guest.wasm", sign(ours))
	h.until("load", func() bool { return h.saw("load", "") })
	if p := h.m.Status().Plugins; len(p) != 1 || p[0].Signer != public {
		t.Errorf("%+v", p)
	}
}

// TestHops: plugins whose emits lead to one another come to an end.
func TestHops(t *testing.T) {
	h := newHouse(t, guest, func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Bindings: []plugins.Binding{{Boundary: abi.Publish, Subjects: []string{"t.>", "out.>"}}}}}
	})
	nc := h.connect()
	sub, err := nc.SubscribeSync("out.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("t.a", []byte("E")); err != nil { // emits "E" to out.x, which emits "E" to out.x ...
		t.Fatal(err)
	}
	h.until("denied emit", func() bool { return h.m.Status().Plugins[0].EmitsDenied == 1 })
	for range 2 { // the last one can't emit, and drops
		if _, err := sub.NextMsg(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if st := h.m.Status().Plugins[0]; st.Emitted != 3 || st.Calls != 4 {
		t.Errorf("%d emits, %d calls", st.Emitted, st.Calls)
	}
}

// TestHalfWritten: a file that grows while it is looked at is loaded when it is
// whole.
func TestHalfWritten(t *testing.T) {
	good, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, "", nil)
	f, err := os.Create(filepath.Join(h.dir, "guest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	half := len(good) / 2
	f.Write(good[:half])
	f.Write(good[half:])
	h.until("load", func() bool { return h.saw("load", "") })
}

// TestSystemSubjects: a plugin bound to ">" sees neither inboxes nor what is the
// system's.
func TestSystemSubjects(t *testing.T) {
	h := newHouse(t, guest, func(o *plugins.Options) {
		o.Configure = map[string]plugins.Config{"guest": {Bindings: []plugins.Binding{{Boundary: abi.Publish, Subjects: []string{">"}}}}}
	})
	nc := h.connect()
	for _, subj := range []string{"_INBOX.a.b", "$KV.x", "_R_.x"} {
		if err := nc.Publish(subj, []byte("d")); err != nil {
			t.Fatal(err)
		}
	}
	nc.Flush()
	if n := h.m.Status().Plugins[0].Calls; n != 0 {
		t.Errorf("it saw %d messages", n)
	}
	nc.Publish("any.thing", []byte("d"))
	nc.Flush()
	if n := h.m.Status().Plugins[0].Calls; n != 1 {
		t.Errorf("it saw %d messages, want 1", n)
	}
}

// TestKVBounds: what a plugin keeps is bounded, and what is over makes room.
func TestKVBounds(t *testing.T) {
	h := newHouse(t, guest, nil)
	echo(t, h.connect())
	nc := h.connect()
	for range 50 {
		if got := ask(t, nc, "K"); !strings.HasPrefix(got, "500") { // runs out of fuel
			t.Fatal(got)
		}
		if !strings.Contains(h.log.String(), "taken out of service") {
			continue
		}
		break
	}
	if st := h.m.Status().Plugins[0]; st.KVBytes > 64<<10 {
		t.Errorf("it keeps %d bytes; the manifest says 65536", st.KVBytes)
	}
}
