//go:build browser

package brokertest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/nats-io/nats.go"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/listeners/websocket"
	"ganglion/web"
)

func browserConnect(t *testing.T, s *site) {
	s.connected()
	s.has("#fact-version", s.nc.ConnectedServerVersion())
	s.has("#fact-server", s.nc.ConnectedServerName())
	s.has("#fact-rtt", " ms")
	s.click("#connection summary")
	s.click("#disconnect")
	s.has("#status-text", "Disconnected")
	s.click("#connect")
	s.connected()
}

func browserSubscribe(t *testing.T, s *site) {
	s.subscribe("orders.*")
	s.subscribe("alarms.>")
	must(t, s.nc.Publish("orders.new", []byte("one coffee")))
	must(t, s.nc.Publish("alarms.fire.hall", []byte("smoke")))
	must(t, s.nc.Publish("elsewhere", []byte("unseen")))
	s.has("#rows", "one coffee")
	s.has("#rows", "smoke")
	s.until(text("#count") + ` === "2"`)

	s.fill("#filter", "coffee")
	s.until(`document.querySelectorAll(".row:not([hidden])").length === 1`)
	s.has(".row:not([hidden]) .subject", "orders.new")
	s.fill("#filter", "")
	s.until(`document.querySelectorAll(".row:not([hidden])").length === 2`)

	s.click("#pause")
	must(t, s.nc.Publish("orders.new", []byte("one tea")))
	s.has("#pause", "1 missed")
	s.click("#pause")
	must(t, s.nc.Publish("orders.new", []byte("one milk")))
	s.has("#rows", "one milk")
	if eval[bool](s, text("#rows")+`.includes("one tea")`) {
		t.Error("a message that came while paused is in the list")
	}

	s.click(`#subs button[aria-label="Unsubscribe from orders.*"]`)
	s.until(`document.querySelectorAll("#subs li").length === 1`)
	s.publish("alarms.flush", "") // behind the UNSUB, and seen by the page itself
	s.has("#rows", "alarms.flush")
	must(t, s.nc.Publish("orders.new", []byte("too late")))
	must(t, s.nc.Publish("alarms.off", []byte("calm")))
	s.has("#rows", "calm")
	if eval[bool](s, text("#rows")+`.includes("too late")`) {
		t.Error("a message after unsubscribing is in the list")
	}
	s.click("#clear")
	s.until(`document.querySelectorAll(".row:not([hidden])").length === 0`)

	// The address remembers the subjects.
	must(t, chromedp.Do(s.tab, chromedp.Reload()))
	s.connected()
	s.has("#subs", "alarms.>")
}

func browserDetail(t *testing.T, s *site) {
	s.subscribe("things.*")
	for _, c := range []struct{ payload, kind, shown string }{
		{`{"a":[1,2]}`, "JSON", "{\n  \"a\": [\n    1,\n    2\n  ]\n}"},
		{"plain ä", "Text", "plain ä"},
		{"\x00\x01\xff", "Hex", "000000  00 01 ff"},
		{"", "Text", "(empty)"},
	} {
		m := nats.NewMsg("things.one")
		m.Data = []byte(c.payload)
		m.Header.Add("Kind", c.kind)
		m.Reply = "reply.to.me"
		s.click("#clear")
		s.until(`document.querySelectorAll(".row:not([hidden])").length === 0`)
		must(t, s.nc.PublishMsg(m))
		s.until(`document.querySelectorAll(".row:not([hidden])").length === 1`)
		s.click(".row:not([hidden])")
		s.has("#detail", "things.one")
		s.has("#detail", "reply.to.me")
		s.has("#detail .headers", "Kind"+c.kind)
		s.until(text(`#detail button[aria-pressed="true"]`) + " === " + strconv.Quote(c.kind))
		if got := eval[string](s, text("#detail pre")); !strings.HasPrefix(got, c.shown) {
			t.Errorf("%q is shown as %q", c.payload, got)
		}
	}
	must(t, chromedp.Do(s.tab, chromedp.SendKeys(chromedp.CSS("#list"), kb.Escape)))
	s.until(`document.querySelector("#detail").hidden`)
}

func browserPublish(t *testing.T, s *site) {
	s.connected()
	sub, err := s.nc.SubscribeSync("from.page")
	must(t, err)
	must(t, s.nc.Flush())
	s.publish("from.page", "hällo")
	if m := nextMsg(t, sub); string(m.Data) != "hällo" || m.Header != nil {
		t.Errorf("got %q with headers %v", m.Data, m.Header)
	}
	s.has("#pub-result", "Published to from.page")

	s.click(".publish details summary")
	s.fill("#pub-headers", "A: one\nA: two\nB: x:y", "#pub-reply", "back.here", "#pub-count", "700")
	s.publish("from.page", "again")
	for range 700 {
		m := nextMsg(t, sub)
		if string(m.Data) != "again" || m.Reply != "back.here" || strings.Join(m.Header["A"], ",") != "one,two" || m.Header.Get("B") != "x:y" {
			t.Fatalf("got %q, reply %q, headers %v", m.Data, m.Reply, m.Header)
		}
	}
	s.has("#pub-result", "700 of 700 published")

	s.fill("#pub-count", "1000000", "#pub-interval", "20")
	s.publish("from.page", "ticking")
	nextMsg(t, sub)
	nextMsg(t, sub)
	s.has("#publish", "Stop")
	s.click("#publish")
	s.until(text("#publish") + ` === "Publish"`)

	s.fill("#pub-headers", "no colon")
	s.publish("from.page", "bad")
	s.has("#pub-result.bad", "no header")
	s.fill("#pub-subject", "from.*")
	if eval[bool](s, `document.querySelector("#pub-subject").checkValidity()`) {
		t.Error("a wildcard is a valid subject to publish to")
	}
}

func browserRequest(t *testing.T, s *site) {
	s.connected()
	_, err := s.nc.Subscribe("service.echo", func(m *nats.Msg) {
		r := nats.NewMsg(m.Reply)
		r.Data = append([]byte("re: "), m.Data...)
		r.Header.Set("Served-By", "tcp")
		m.RespondMsg(r)
	})
	must(t, err)
	must(t, s.nc.Flush())
	s.fill("#pub-subject", "service.echo", "#pub-payload", "ping")
	s.click("#request")
	s.has("#pub-result", "Answer after ")
	s.has("#answer", "re: ping")
	s.has("#answer", "Served-Bytcp")

	s.fill("#pub-subject", "service.nobody")
	s.click("#request")
	s.has("#pub-result.bad", "Nobody answers")
}

func browserAnswer(t *testing.T, s *site) {
	s.subscribe("questions")
	answers := make(chan string, 1)
	go func() {
		m, err := s.nc.Request("questions", []byte("what?"), soon)
		if err != nil {
			answers <- err.Error()
			return
		}
		answers <- string(m.Data)
	}()
	s.has("#rows", "what?")
	s.click(".row:not([hidden])")
	s.click("#detail .fields button")
	s.fill("#pub-payload", "that")
	s.click("#publish")
	if got := receive(t, answers, "the answer"); got != "that" {
		t.Errorf("the answer is %q", got)
	}
}

func browserReconnect(t *testing.T, s *site) {
	s.subscribe("again.*")
	id := s.nc.ConnectedServerId()
	shutDown(t, s.b)
	s.has("#status-text", "Reconnecting")
	s.b = newBroker(t, broker.Options{})
	serveWebSocket(t, s.b, s.addr, websocket.Options{Handler: web.Handler()})
	s.connected()
	nc := dialTCP(t, s.b)
	if nc.ConnectedServerId() == id {
		t.Fatal("it is the same broker")
	}
	s.nc = nc
	s.publish("again.page", "from the page")
	s.has("#rows", "from the page") // after its subscription was restored
	must(t, nc.Publish("again.tcp", []byte("from outside")))
	s.has("#rows", "from outside")
}

// The page stays usable when messages come faster than anybody reads.
func browserMany(t *testing.T, s *site) {
	s.subscribe("flood")
	s.click("#clear")
	const n = 20_000
	for i := range n {
		must(t, s.nc.Publish("flood", fmt.Appendf(nil, `{"n":%d,"text":"a message of some length, as they are"}`, i)))
		if i%1000 == 0 {
			must(t, s.nc.Flush())
		}
	}
	must(t, s.nc.Flush())
	s.has("#count", "1,000 of 20,000")
	s.has("#subs .number", "20,000")
	s.has(".row:not([hidden]) .preview", strconv.Itoa(n-1))
	if rows := eval[int](s, `document.querySelectorAll(".row").length`); rows > 100 {
		t.Errorf("%d rows exist", rows)
	}
	// The last of what is kept can be reached.
	must(t, chromedp.Do(s.tab, chromedp.SendKeys(chromedp.CSS("#list"), kb.End)))
	s.has("#detail pre", strconv.Itoa(n-1000))
}

// Whatever is sent is text.
func browserHostile(t *testing.T, s *site) {
	s.subscribe(">")
	m := nats.NewMsg("<img/src=x>")
	m.Data = []byte(`<img src=x onerror="window.hit=1"><script>window.hit=1</script>`)
	m.Header.Set("Bold", "<b><script>window.hit=1</script></b>")
	must(t, s.nc.PublishMsg(m))
	s.has("#rows", "<script>")
	s.click(".row:not([hidden])")
	s.has("#detail pre", "<script>")
	if eval[bool](s, `"hit" in window || document.querySelector("#rows img, #detail img, #rows script, #detail script, #detail b") !== null`) {
		t.Error("a payload became part of the page")
	}
}

// Nothing is wider than the page, whatever its size, in both themes and while
// messages come.
func browserSizes(t *testing.T, s *site) {
	s.subscribe("plant.>")
	s.fill("#sub-subject", "alerts.*.critical")
	s.click("#sub-form button")
	s.has("#subs", "alerts.*.critical")
	s.fill("#pub-subject", "plant.hall1.set", "#pub-payload", "{\"celsius\": 21.5}")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { traffic(s.nc, done) })
	t.Cleanup(func() {
		close(done)
		wg.Wait()
	})
	s.until(text("#subs .number") + ` !== "0" && ` + text("#in-msgs") + ` !== "0"`)
	row := `[...document.querySelectorAll(".row:not([hidden])")].find((r) => r.textContent.includes("reply"))`
	s.until(row)
	for _, width := range []int64{320, 360, 390, 768, 1024, 1440, 1920} {
		for _, theme := range []string{"light", "dark"} {
			must(t, chromedp.Do(s.tab, chromedp.EmulateViewport(width, max(700, min(width*6/10, 1000)))))
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}
			must(t, chromedp.Do(s.tab, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
				_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, media)
				return err
			})))
			if wide := eval[int](s, "document.documentElement.scrollWidth"); wide > int(width) {
				t.Errorf("at %d pixels the page is %d wide", width, wide)
			}
			s.shot(fmt.Sprintf("%s-%d", theme, width))
			eval[any](s, row+".click()")
			s.has("#detail", "Trace-Id")
			s.shot(fmt.Sprintf("%s-%d-detail", theme, width))
			eval[any](s, `document.querySelector("#detail .bar button").click()`)
		}
	}
}

// traffic publishes what a plant might until done is closed.
func traffic(nc *nats.Conn, done <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		m := nats.NewMsg(fmt.Sprintf("plant.hall%d.line%d.temperature", i%3, i%7))
		reading := map[string]any{"sensor": fmt.Sprintf("t-%03d", i%200), "celsius": 20 + float64(i%17)/4, "at": "2026-01-02T03:04:05Z", "ok": true}
		m.Data, _ = json.Marshal(reading)
		switch i % 10 {
		case 3:
			m.Subject, m.Data = fmt.Sprintf("alerts.hall%d.critical", i%3), []byte("pressure above 4.2 bar, valve 7 does not answer")
		case 6:
			m.Data = []byte{0, 1, 2, 3, 0xfe, 0xff, byte(i)}
		case 8:
			m.Reply = nats.NewInbox()
			m.Header.Set("Trace-Id", "4bf92f3577b34da6a3ce929d0e0e4736")
			m.Header.Set("Content-Type", "application/json")
		}
		nc.PublishMsg(m) // the test fails when nothing arrives
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// The program in examples/browser, built and run as anybody would.
func browserExample(t *testing.T, browser context.Context) {
	dir := t.TempDir()
	program := filepath.Join(dir, "example")
	command(t, ".", "go", "build", "-o", program, "ganglion/examples/browser")
	cmd := exec.Command(program, "-addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	url := strings.TrimSpace(strings.TrimPrefix(line, "open "))

	s := &site{t: t, addr: strings.Trim(strings.TrimPrefix(url, "http:"), "/")}
	s.load(browser, url)
	s.has("#state", "connected")
	s.has("#temperature", "°C")
	s.fill(`input[name="name"]`, "Ada", `input[name="text"]`, "<b>hello</b>")
	s.click("#say button")
	s.has("#chat li", "Ada: <b>hello</b>")
	nc, err := nats.Connect("ws" + strings.TrimPrefix(url, "http"))
	must(t, err)
	t.Cleanup(nc.Close)
	must(t, nc.Publish("chat", []byte(`{"name":"Bob","text":"hi"}`)))
	s.has("#chat li:nth-child(2)", "Bob: hi")
	s.shot("example")
}

func browserLogin(t *testing.T, browser context.Context) {
	s := openSite(t, browser, broker.Options{Auth: auth.Options{User: "ada", Password: "secret"}}, websocket.Options{})
	s.has("#notice", "asks who you are")
	s.until(`document.querySelector("#connection").open`)
	s.fill("#user", "ada", "#password", "wrong")
	s.click("#connect")
	s.has("#notice", "refused")
	s.fill("#password", "secret")
	s.click("#connect")
	s.connected()
	s.shot("login")
}

func browserSecure(t *testing.T, browser context.Context) {
	certFile, keyFile := writeCertificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	must(t, err)
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	s := openSite(t, browser, broker.Options{}, websocket.Options{Secure: func(nc net.Conn) net.Conn { return broker.TLSServer(nc, cfg) }})
	s.subscribe("secure")
	must(t, s.nc.Publish("secure", []byte("sealed")))
	s.has("#rows", "sealed")
}
