//go:build browser

package brokertest_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/monitor"
	"ganglion/listeners/quic"
	"ganglion/listeners/websocket"
	"ganglion/listeners/webtransport"
	"ganglion/web"
)

// TestBrowserWebTransport opens the broker's page, which finds out by itself that
// there is WebTransport.
func TestBrowserWebTransport(t *testing.T) {
	browser := startBrowser(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *site)
	}{
		{"connect", browserConnect},
		{"subscribe", browserSubscribe},
		{"show a message", browserDetail},
		{"publish", browserPublish},
		{"request", browserRequest},
		{"answer", browserAnswer},
		{"many messages", browserMany},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openEdgeSite(t, browser, broker.Options{})
			s.over("WebTransport")
			c.test(t, s.site)
			s.over("WebTransport")
			if n := s.webSockets(); n != 0 {
				t.Errorf("the page opened %d WebSockets", n)
			}
		})
	}
	t.Run("login", func(t *testing.T) { edgeLogin(t, browser) })
	t.Run("restart", func(t *testing.T) { edgeRestart(t, browser) })
	t.Run("lanes", func(t *testing.T) { edgeLanes(t, browser) })
	t.Run("large", func(t *testing.T) { edgeLarge(t, browser) })
	t.Run("much at once", func(t *testing.T) { edgeMuch(t, browser) })
	t.Run("ended by the broker", func(t *testing.T) { edgeEnded(t, browser) })
}

// edgeSite is a site whose broker takes WebTransport too, at first.
type edgeSite struct {
	*site
	cert *tls.Config

	lock    sync.Mutex
	edge    web.Edge
	sockets int // WebSockets that the page opened
	wt      *webtransport.Listener
}

// openEdgeSite opens the page of a broker with WebSocket and WebTransport.
func openEdgeSite(t *testing.T, browser context.Context, bo broker.Options) *edgeSite {
	t.Helper()
	s := newEdgeSite(t, bo)
	s.serveWebTransport(0)
	s.open(browser)
	return s
}

// newEdgeSite is openEdgeSite without WebTransport and the page.
func newEdgeSite(t *testing.T, bo broker.Options) *edgeSite {
	t.Helper()
	s := &edgeSite{site: &site{t: t, b: newBroker(t, bo)}, cert: certificate(t)}
	s.addr = serveWebSocket(t, s.b, "127.0.0.1:0", websocket.Options{Handler: web.HandlerWith(s.says)})
	var login []nats.Option
	if bo.Auth.User != "" {
		login = append(login, nats.UserInfo(bo.Auth.User, bo.Auth.Password))
	}
	s.nc = dialTCP(t, s.b, login...)
	return s
}

// certificate is one that browsers take by its hash, and its configuration.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	certFile, keyFile := writeCertificate(t) // ECDSA P-256, valid for two hours
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	must(t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// serveWebTransport has the broker take WebTransport on a UDP port, any if 0.
func (s *edgeSite) serveWebTransport(port int) {
	s.t.Helper()
	p, err := quic.OpenPort(s.t.Context(), "127.0.0.1", port, quic.Options{TLS: s.cert, Datagrams: true})
	must(s.t, err)
	s.t.Cleanup(func() { p.Close() })
	ln, err := webtransport.Listen(p, webtransport.Options{})
	must(s.t, err)
	s.wt = ln
	b := s.b
	go b.Serve(ln, broker.Endpoint{Name: "webtransport", Secure: true, Type: auth.TypeWebTransport})
	s.tell(p.Addr().(*net.UDPAddr).Port)
}

// tell has the server say that WebTransport is on a port.
func (s *edgeSite) tell(port int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	hash := sha256.Sum256(s.cert.Certificates[0].Certificate[0])
	s.edge = web.Edge{WebTransport: &web.WebTransport{Port: port, Path: "/nats", Hashes: [][]byte{hash[:]}}}
}

func (s *edgeSite) says() web.Edge {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.edge
}

func (s *edgeSite) open(browser context.Context) {
	s.t.Helper()
	s.load(browser, "http://"+s.addr+"/")
	must(s.t, chromedp.Listen(s.tab, func(ev any) {
		if _, ok := ev.(*network.EventWebSocketCreated); ok {
			s.lock.Lock()
			s.sockets++
			s.lock.Unlock()
		}
	}))
}

func (s *edgeSite) webSockets() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.sockets
}

// over waits until the page says that it is connected over a transport.
func (s *edgeSite) over(name string) {
	s.t.Helper()
	s.connected()
	s.until(text("#fact-transport") + fmt.Sprintf(" === %q", name))
}

// expect lets the browser complain about failed connections, which a test is
// about.
func (s *edgeSite) expect(what ...string) {
	s.t.Cleanup(func() { // before the verdict
		s.mu.Lock()
		defer s.mu.Unlock()
		rest := s.problems[:0]
		for _, p := range s.problems {
			known := false
			for _, w := range what {
				known = known || strings.Contains(p, w)
			}
			if !known {
				rest = append(rest, p)
			}
		}
		s.problems = rest
	})
}

// await returns what the promise of a JavaScript expression becomes.
func await[T any](s *site, body string) T {
	s.t.Helper()
	v, err := chromedp.Run(s.tab, chromedp.Evaluate[T]("(async () => {"+body+"})()", chromedp.EvalAwaitPromise))
	if err != nil {
		s.t.Fatalf("%s: %v", body, err)
	}
	return v
}

// overListener lists the open connections of a listener.
func overListener(b *broker.Broker, name string) []monitor.ConnInfo {
	var list []monitor.ConnInfo
	for _, c := range b.Conns(monitor.ConnQuery{Open: true}) {
		if c.Listener == name {
			list = append(list, c)
		}
	}
	return list
}

func edgeLogin(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{Auth: auth.Options{User: "ada", Password: "secret"}})
	s.has("#notice", "asks who you are")
	s.until(`document.querySelector("#connection").open`)
	s.fill("#user", "ada", "#password", "wrong")
	s.click("#connect")
	s.has("#notice", "refused")
	s.fill("#password", "secret")
	s.click("#connect")
	s.over("WebTransport")
	if n := s.webSockets(); n != 0 {
		t.Errorf("the page opened %d WebSockets", n)
	}
}

// A page whose broker goes away comes back over WebTransport.
func edgeRestart(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.expect("ERR_", "WebTransport", "WebSocket")
	s.over("WebTransport")
	s.subscribe("again.*")
	shutDown(t, s.b)
	s.has("#status-text", "Reconnecting")
	s.b = newBroker(t, broker.Options{})
	s.serveWebTransport(0) // another port, which the page must ask for
	serveWebSocket(t, s.b, s.addr, websocket.Options{Handler: web.HandlerWith(s.says)})
	s.over("WebTransport")
	s.nc = dialTCP(t, s.b)
	s.publish("again.page", "from the page")
	s.has("#rows", "from the page") // after its subscription was restored
	must(t, s.nc.Publish("again.tcp", []byte("from outside")))
	s.has("#rows", "from outside")
}

// script begins what tests do in a page with a client of their own.
const script = `
	const { connectEdge, discover, transportOf, wsconnect, headers, deadline, OpSplitter } = await import("/nats.js");
	const utf8 = (b) => new TextDecoder().decode(b);
`

// Lanes deliver all, in order for each subscription, while others are in between.
func edgeLanes(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.over("WebTransport")
	await[any](s.site, script+`
		const nc = window.nc = await connectEdge({ servers: location.origin.replace("http", "ws"), webtransport: discover, lanes: ["bulk.>", "small.*"], name: "lanes" });
		const got = window.got = {};
		for (const subject of ["bulk.a", "bulk.*", "small.a", "plain"]) {
			const list = got[subject] = { n: 0, wrong: [] };
			nc.subscribe(subject, { callback: (err, m) => {
				const want = list.n++;
				if (err || utf8(m.data.subarray(0, 8)) !== String(want).padStart(8, "0") || m.headers?.get("N") !== String(want)) list.wrong.push([want, String(err), utf8(m.data.subarray(0, 8))]);
			} });
		}
		await nc.flush();`)
	const n = 400
	for i := range n {
		for subject, size := range map[string]int{"bulk.a": 60_000, "small.a": 8, "plain": 500} {
			m := nats.NewMsg(subject)
			m.Data = append(fmt.Appendf(nil, "%08d", i), make([]byte, size)...)
			m.Header.Set("N", fmt.Sprint(i))
			must(t, s.nc.PublishMsg(m))
		}
	}
	must(t, s.nc.Flush())
	for _, subject := range []string{"bulk.a", "bulk.*", "small.a", "plain"} {
		s.until(fmt.Sprintf("got[%q].n === %d", subject, n))
		if wrong := eval[string](s.site, fmt.Sprintf("JSON.stringify(got[%q].wrong.slice(0, 3))", subject)); wrong != "[]" {
			t.Errorf("%s: %s", subject, wrong)
		}
	}
	var lanes int64
	for _, c := range overListener(s.b, "webtransport") {
		if c.Name == "lanes" {
			lanes = c.Path["lanes"]
		}
	}
	if lanes != 3 {
		t.Errorf("the broker has %d lanes open, want 3", lanes)
	}
	// UNSUB ends a lane, a request goes through beside the others.
	_, err := s.nc.Subscribe("echo", func(m *nats.Msg) { m.Respond(m.Data) })
	must(t, err)
	must(t, s.nc.Flush())
	if got := await[string](s.site, script+`const m = await nc.request("echo", "hello"); await nc.drain(); return utf8(m.data);`); got != "hello" {
		t.Errorf("the answer is %q", got)
	}
}

// Payloads up to the broker's maximum go both ways.
func edgeLarge(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.over("WebTransport")
	_, err := s.nc.Subscribe("echo", func(m *nats.Msg) {
		r := nats.NewMsg(m.Reply)
		r.Data, r.Header = m.Data, m.Header
		m.RespondMsg(r)
	})
	must(t, err)
	last, err := s.nc.SubscribeSync("last.*")
	must(t, err)
	must(t, s.nc.Flush())
	got := await[string](s.site, script+`
		for (const lanes of [[], ["_INBOX.>"]]) {
			const nc = await connectEdge({ servers: location.origin.replace("http", "ws"), webtransport: discover, lanes });
			if (transportOf(nc) !== "webtransport") return "over " + transportOf(nc);
			for (const size of [0, 1, 1000, 65_535, 65_536, 300_000, nc.info.max_payload - 100]) {
				const data = new Uint8Array(size).map((_, i) => i * 7);
				const h = headers();
				h.append("Size", String(size));
				const m = await nc.request("echo", data, { timeout: 10_000, headers: h });
				if (m.data.length !== size || m.data.some((v, i) => v !== data[i]) || m.headers?.get("Size") !== String(size)) return "wrong at " + size;
			}
			// What the client has sent when the connection closes arrives.
			nc.publish("last." + lanes.length, new Uint8Array(500_000));
			await null; // it sends in a microtask
			await nc.close();
			if (await nc.closed() !== undefined) return "closed with an error";
		}
		return "";`)
	if got != "" {
		t.Fatal(got)
	}
	for i := range 2 {
		if m := nextMsg(t, last); m.Subject != fmt.Sprintf("last.%d", i) || len(m.Data) != 500_000 {
			t.Errorf("got %d bytes on %s", len(m.Data), m.Subject)
		}
	}
}

// What a page publishes faster than it can be sent arrives, in order.
func edgeMuch(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.over("WebTransport")
	const n = 3000
	got := make(chan []byte, n)
	_, err := s.nc.Subscribe("much", func(m *nats.Msg) { got <- m.Data })
	must(t, err)
	must(t, s.nc.Flush())
	await[any](s.site, fmt.Sprintf(script+`
		const nc = await connectEdge({ servers: location.origin.replace("http", "ws"), webtransport: discover });
		const data = new Uint8Array(7001);
		for (let i = 0; i < %d; i++) {
			data[0] = i >> 8;
			data[7000] = i;
			nc.publish("much", i %% 3 === 0 ? data.slice() : data.slice(0, 1 + i %% 5));
		}
		await nc.flush();
		await nc.close();`, n))
	for i := range n {
		b := receive(t, got, "message "+fmt.Sprint(i))
		size := 1 + i%5
		if i%3 == 0 {
			size = 7001
		}
		if len(b) != size || b[0] != byte(i>>8) || size == 7001 && b[7000] != byte(i) {
			t.Fatalf("message %d has %d bytes, %v...", i, len(b), b[0])
		}
	}
}

// What ends a connection for good is told to its owner.
func edgeEnded(t *testing.T, browser context.Context) {
	s := openEdgeSite(t, browser, broker.Options{})
	s.over("WebTransport")
	for _, c := range []struct {
		name, what, want string
		end              func(cid uint64)
	}{
		{"kicked", "undefined", "Error: Kicked", func(cid uint64) { must(t, s.b.Kick(cid)) }},
		{"noise", `nc.protocol.transport.send(new TextEncoder().encode("NOISE\r\n"))`, "ProtocolError: Unknown Protocol Operation", func(uint64) {}},
	} {
		await[any](s.site, fmt.Sprintf(script+`
			const nc = window.nc = await connectEdge({ servers: location.origin.replace("http", "ws"), webtransport: discover, reconnect: false, name: %q });
			await nc.flush();
			%s;`, c.name, c.what))
		for _, info := range overListener(s.b, "webtransport") {
			if info.Name == c.name {
				c.end(info.CID)
			}
		}
		if got := await[string](s.site, script+`return String(await deadline(nc.closed(), 10_000));`); got != c.want {
			t.Errorf("%s: closed with %q, want %q", c.name, got, c.want)
		}
	}
}
