//go:build browser

package brokertest_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/monitor"
	"ganglion/listeners/quic"
	"ganglion/listeners/websocket"
	"ganglion/listeners/webtransport"
	"ganglion/web"
)

// TestBrowserFallback opens the page where WebTransport does not get through.
func TestBrowserFallback(t *testing.T) {
	browser := startBrowser(t)
	for _, c := range []struct {
		name string
		port func(*testing.T) int
	}{
		{"UDP is dropped", blackHole},
		{"nobody on the port", closedPort},
		{"another certificate", func(t *testing.T) int {
			p, err := quic.OpenPort(t.Context(), "127.0.0.1", 0, quic.Options{TLS: certificate(t), Datagrams: true})
			must(t, err)
			t.Cleanup(func() { p.Close() })
			_, err = webtransport.Listen(p, webtransport.Options{})
			must(t, err)
			return p.Addr().(*net.UDPAddr).Port
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newEdgeSite(t, broker.Options{})
			s.tell(c.port(t))
			s.open(browser)
			s.expect("Failed to establish a connection to https://")
			s.over("WebSocket")
			browserSubscribe(t, s.site)
			s.over("WebSocket")
			if n := s.webSockets(); n == 0 {
				t.Error("the page opened no WebSocket")
			}
		})
	}
	t.Run("lost on the way", func(t *testing.T) { edgeLost(t, browser) })
	t.Run("tried again", func(t *testing.T) { edgeAgain(t, browser) })
	t.Run("closed while it tries", func(t *testing.T) { edgeClosing(t, browser) })
}

// blackHole is a UDP port from which nothing comes back.
func blackHole(t *testing.T) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { pc.Close() })
	return pc.LocalAddr().(*net.UDPAddr).Port
}

// closedPort is a UDP port that nobody has.
func closedPort(t *testing.T) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	must(t, pc.Close())
	return pc.LocalAddr().(*net.UDPAddr).Port
}

// WebTransport goes away under a connection; the page goes on over WebSocket and
// keeps its subscriptions.
func edgeLost(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.expect("Failed to establish a connection to https://")
	s.over("WebTransport")
	s.subscribe("lost.*")
	must(t, s.nc.Publish("lost.a", []byte("before")))
	s.has("#rows", "before")
	port := s.wt.Port()
	must(t, s.wt.Close())
	must(t, port.Close())
	s.until(text("#fact-transport") + ` === "WebSocket"`)
	s.over("WebSocket")
	s.publish("lost.page", "from the page")
	s.has("#rows", "from the page")
	must(t, s.nc.Publish("lost.b", []byte("behind")))
	s.has("#rows", "behind")
}

// A connection that fell back tries WebTransport again when it reconnects later.
func edgeAgain(t *testing.T, browser context.Context) {
	s := newEdgeSite(t, broker.Options{})
	s.tell(closedPort(t))
	s.open(browser)
	s.expect("Failed to establish a connection to https://")
	s.over("WebSocket")
	const dial = script + `
		const nc = await connectEdge({ servers: location.origin.replace("http", "ws"), webtransport: discover, reconnectTimeWait: 10, webtransportRetry: %s });
		const reconnected = async () => { for await (const e of nc.status()) if (e.type === "reconnect") return; };
		window.go = async () => { const done = reconnected(); await nc.reconnect(); await deadline(done, 10_000); return transportOf(nc); };
		return transportOf(nc);`
	for _, c := range []struct{ retry, want string }{{"0", "webtransport"}, {"3_600_000", "websocket"}} {
		s.tell(closedPort(t))
		if got := await[string](s.site, fmt.Sprintf(dial, c.retry)); got != "websocket" {
			t.Fatalf("connected over %s, want websocket", got)
		}
		s.serveWebTransport(0)
		if got := await[string](s.site, "return go();"); got != c.want {
			t.Errorf("retry after %s ms: reconnected over %s, want %s", c.retry, got, c.want)
		}
	}
}

// Closing does not wait for what is tried, and leaves nothing behind.
func edgeClosing(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.expect("Failed to establish a connection to https://")
	s.over("WebTransport")
	got := await[string](s.site, fmt.Sprintf(script+`
		let calls = 0;
		const nc = await connectEdge({ servers: location.origin.replace("http", "ws"), reconnectTimeWait: 10, webtransportTimeout: 600_000, timeout: 600_000, name: "closing",
			webtransport: async () => calls++ === 0 ? discover() : { url: "https://127.0.0.1:%d/nats" } });
		await nc.flush();
		await nc.reconnect();
		while (calls < 2) await new Promise((ok) => setTimeout(ok, 1));
		await deadline(nc.close(), 5000);
		return String(await nc.closed());`, blackHole(t)))
	if got != "undefined" {
		t.Errorf("closed with %s", got)
	}
	for _, c := range s.b.Conns(monitor.ConnQuery{Open: true}) {
		if c.Name == "closing" {
			t.Errorf("a connection over %s is left", c.Listener)
		}
	}
	if n := s.webSockets(); n != 0 {
		t.Errorf("it went on to open %d WebSockets", n)
	}
}

// TestBrowserTransports has a browser over WebTransport, a device over QUIC, a
// client over TCP and a browser over WebSocket, all over TLS with one certificate,
// exchange messages and requests on one subject space.
func TestBrowserTransports(t *testing.T) {
	browser := startBrowser(t)
	b := newBroker(t, broker.Options{})
	cfg := certificate(t)
	cert, err := x509.ParseCertificate(cfg.Certificates[0].Certificate[0])
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	trust := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go b.Serve(tcp, broker.Endpoint{Name: "tcp", TLS: &broker.TLS{Config: cfg}})
	port, err := quic.OpenPort(t.Context(), "127.0.0.1", 0, quic.Options{TLS: cfg, Datagrams: true})
	must(t, err)
	t.Cleanup(func() { port.Close() })
	ql, err := quic.Listen(port)
	must(t, err)
	go b.Serve(ql, broker.Endpoint{Name: "quic", Secure: true, Type: auth.TypeQUIC})
	wl, err := webtransport.Listen(port, webtransport.Options{})
	must(t, err)
	go b.Serve(wl, broker.Endpoint{Name: "webtransport", Secure: true, Type: auth.TypeWebTransport})
	hash := sha256.Sum256(cert.Raw)
	edge := web.Edge{WebTransport: &web.WebTransport{Port: port.Addr().(*net.UDPAddr).Port, Path: "/nats", Hashes: [][]byte{hash[:]}}}
	wss := cfg.Clone()
	wss.NextProtos = []string{"http/1.1"}
	addr := serveWebSocket(t, b, "127.0.0.1:0", websocket.Options{
		Handler: web.HandlerWith(func() web.Edge { return edge }), Secure: func(nc net.Conn) net.Conn { return broker.TLSServer(nc, wss) },
	})

	device := &quic.Dialer{Options: quic.DialOptions{TLS: trust}}
	t.Cleanup(func() { device.Close() })
	all := []member{
		newGoMember(t, "device", "nats://"+port.Addr().String(), nats.SetCustomDialer(device)),
		newGoMember(t, "server", "tls://"+tcp.Addr().String(), nats.Secure(trust)),
		newPageMember(t, browser, "phone", addr, "webtransport"),
		newPageMember(t, browser, "desk", addr, "websocket"),
	}
	for _, listener := range []string{"tcp", "quic", "webtransport"} {
		if n := len(overListener(b, listener)); n == 0 {
			t.Errorf("nobody is connected over %s", listener)
		}
	}
	for _, m := range all {
		m.publish("all."+m.name(), "hello from "+m.name())
	}
	for _, m := range all {
		for _, other := range all {
			m.receives("all."+other.name(), "hello from "+other.name(), "From: "+other.name())
			if m == other {
				continue
			}
			want := fmt.Sprintf("%s heard %s say how are you", other.name(), m.name())
			if got := m.request("ask."+other.name(), m.name()+" say how are you"); got != want {
				t.Errorf("%s asked %s: got %q, want %q", m.name(), other.name(), got, want)
			}
		}
	}
	// One of a queue group that spans the transports gets each message.
	const n = 60
	for i := range n {
		all[i%len(all)].publish("jobs", fmt.Sprint(i))
	}
	end := time.Now().Add(soon)
	var got []string
	for len(got) < n && time.Now().Before(end) {
		got = nil
		for _, m := range all {
			got = append(got, m.jobs()...)
		}
	}
	slices.Sort(got)
	if len(got) != n || len(slices.Compact(got)) != n {
		t.Errorf("the queue group got %d jobs, %d different ones; want %d", len(got), len(slices.Compact(got)), n)
	}
}

// member is somebody who publishes, hears all.>, works in a group on jobs and
// answers what is asked on ask.<name>.
type member interface {
	name() string
	publish(subject, data string)
	receives(subject, data, header string)
	request(subject, data string) string
	jobs() []string
}

// goMember is a member that uses nats.go.
type goMember struct {
	t      *testing.T
	called string
	nc     *nats.Conn
	all    chan *nats.Msg
	early  []*nats.Msg
	work   chan string
	done   []string
}

func newGoMember(t *testing.T, name, url string, options ...nats.Option) *goMember {
	t.Helper()
	m := &goMember{t: t, called: name, all: make(chan *nats.Msg, 100), work: make(chan string, 1000)}
	var err error
	m.nc, err = nats.Connect(url, append(options, nats.Name(name))...)
	must(t, err)
	t.Cleanup(m.nc.Close)
	_, err = m.nc.ChanSubscribe("all.>", m.all)
	must(t, err)
	_, err = m.nc.QueueSubscribe("jobs", "workers", func(msg *nats.Msg) { m.work <- string(msg.Data) })
	must(t, err)
	_, err = m.nc.Subscribe("ask."+name, func(msg *nats.Msg) { msg.Respond([]byte(name + " heard " + string(msg.Data))) })
	must(t, err)
	must(t, m.nc.Flush())
	return m
}

func (m *goMember) name() string { return m.called }

func (m *goMember) publish(subject, data string) {
	m.t.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(data)
	msg.Header.Set("From", m.called)
	must(m.t, m.nc.PublishMsg(msg))
}

func (m *goMember) receives(subject, data, header string) {
	m.t.Helper()
	is := func(msg *nats.Msg) bool { return msg.Subject == subject }
	i := slices.IndexFunc(m.early, is)
	for i < 0 {
		m.early = append(m.early, receive(m.t, m.all, m.called+" on "+subject))
		i = slices.IndexFunc(m.early, is)
	}
	got := m.early[i]
	m.early = slices.Delete(m.early, i, i+1)
	if string(got.Data) != data || "From: "+got.Header.Get("From") != header {
		m.t.Errorf("%s got %q, %v; want %q, %s", m.called, got.Data, got.Header, data, header)
	}
}

func (m *goMember) request(subject, data string) string {
	m.t.Helper()
	r, err := m.nc.Request(subject, []byte(data), soon)
	must(m.t, err)
	return string(r.Data)
}

func (m *goMember) jobs() []string {
	for {
		select {
		case j := <-m.work:
			m.done = append(m.done, j)
		default:
			return m.done
		}
	}
}

// pageMember is a member in a page of a browser.
type pageMember struct {
	*site
	called string
}

func newPageMember(t *testing.T, browser context.Context, name, addr, transport string) *pageMember {
	t.Helper()
	m := &pageMember{site: &site{t: t, addr: addr}, called: name}
	m.load(browser, "https://"+addr+"/")
	m.connected()
	how := "webtransport: discover"
	if transport == "websocket" {
		how = ""
	}
	over := await[string](m.site, fmt.Sprintf(script+`
		const nc = await connectEdge({ servers: location.origin.replace("http", "ws"), name: %q, %s });
		const all = {}, jobs = [];
		nc.subscribe("all.>", { callback: (_, m) => (all[m.subject] ??= []).push([utf8(m.data), "From: " + m.headers?.get("From")]) });
		nc.subscribe("jobs", { queue: "workers", callback: (_, m) => jobs.push(utf8(m.data)) });
		nc.subscribe("ask.%s", { callback: (_, m) => m.respond(%q + " heard " + utf8(m.data)) });
		await nc.flush();
		window.me = { all, jobs,
			publish(subject, data) { const h = headers(); h.set("From", %q); nc.publish(subject, data, { headers: h }); },
			async request(subject, data) { return utf8((await nc.request(subject, data, { timeout: 10_000 })).data); } };
		return transportOf(nc);`, name, how, name, name, name))
	if over != transport {
		t.Fatalf("%s is connected over %s, want %s", name, over, transport)
	}
	return m
}

func (m *pageMember) name() string { return m.called }

// publish is site's for a client of our own.
func (m *pageMember) publish(subject, data string) {
	m.t.Helper()
	eval[any](m.site, fmt.Sprintf("me.publish(%q, %q)", subject, data))
}

func (m *pageMember) receives(subject, data, header string) {
	m.t.Helper()
	m.until(fmt.Sprintf("me.all[%q]?.length === 1", subject))
	if got, want := eval[[]string](m.site, fmt.Sprintf("me.all[%q][0]", subject)), []string{data, header}; !slices.Equal(got, want) {
		m.t.Errorf("%s got %q, want %q", m.called, got, want)
	}
}

func (m *pageMember) request(subject, data string) string {
	m.t.Helper()
	return await[string](m.site, fmt.Sprintf("return me.request(%q, %q);", subject, data))
}

func (m *pageMember) jobs() []string {
	m.t.Helper()
	return eval[[]string](m.site, "me.jobs")
}
