//go:build browser

package brokertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/listeners/websocket"
	"ganglion/web"
)

// TestBrowser opens the broker's page in Chromium, beside a client on TCP. With
// GANGLION_SHOTS set to a directory it leaves screenshots there.
func TestBrowser(t *testing.T) {
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
		{"reconnect", browserReconnect},
		{"many messages", browserMany},
		{"hostile messages", browserHostile},
		{"small and large", browserSizes},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, openSite(t, browser, broker.Options{}, websocket.Options{Compression: true}))
		})
	}
	t.Run("example", func(t *testing.T) { browserExample(t, browser) })
	t.Run("login", func(t *testing.T) { browserLogin(t, browser) })
	t.Run("wss", func(t *testing.T) { browserSecure(t, browser) })
}

// startBrowser starts Chromium without a window and returns its context.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		missing(t, "none of chromium, chromium-browser, google-chrome is installed")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.IgnoreCertErrors)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancelAlloc)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v", path, err)
	}
	return ctx
}

// site is the page in a tab of its own, and its broker.
type site struct {
	t    *testing.T
	tab  context.Context
	b    *broker.Broker
	addr string // of the WebSocket listener
	nc   *nats.Conn

	mu       sync.Mutex
	problems []string // what the browser complains about
	requests []string // the URLs that were asked for
}

// openSite starts a broker, opens its page in a tab and connects a client on TCP.
func openSite(t *testing.T, browser context.Context, bo broker.Options, wo websocket.Options) *site {
	t.Helper()
	wo.Handler = web.Handler()
	s := &site{t: t, b: newBroker(t, bo)}
	s.addr = serveWebSocket(t, s.b, "127.0.0.1:0", wo)
	var login []nats.Option
	if bo.Auth.User != "" {
		login = append(login, nats.UserInfo(bo.Auth.User, bo.Auth.Password))
	}
	s.nc = dialTCP(t, s.b, login...)

	scheme := "http"
	if wo.Secure != nil {
		scheme = "https"
	}
	s.load(browser, scheme+"://"+s.addr+"/")
	return s
}

// load opens a URL in a tab of its own.
func (s *site) load(browser context.Context, url string) {
	s.t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	s.t.Cleanup(cancel)
	s.tab, cancel = context.WithTimeout(tab, time.Minute)
	s.t.Cleanup(cancel)
	must(s.t, chromedp.Listen(s.tab, s.event))
	must(s.t, chromedp.Do(s.tab, chromedp.EmulateViewport(1280, 800), chromedp.Navigate(url)))
	s.t.Cleanup(s.verdict)
}

// dialTCP connects a client to b over a TCP listener of its own.
func dialTCP(t *testing.T, b *broker.Broker, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("nats://"+serve(t, b, "127.0.0.1:0"), options...)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func (s *site) event(ev any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		details, _ := json.Marshal(ev.ExceptionDetails)
		s.problems = append(s.problems, "exception: "+string(details))
	case *devlog.EventEntryAdded:
		// A broker that is away is what some tests are about.
		if !strings.Contains(ev.Entry.Text, "ERR_CONNECTION_REFUSED") {
			s.problems = append(s.problems, ev.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		s.requests = append(s.requests, ev.Request.URL)
	}
}

// verdict fails the test when the browser complained or went elsewhere.
func (s *site) verdict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.problems {
		s.t.Errorf("in the browser: %s", p)
	}
	for _, url := range s.requests {
		if !strings.Contains(url, "://"+s.addr+"/") {
			s.t.Errorf("the page asked for %s", url)
		}
	}
}

// eval returns the value of a JavaScript expression.
func eval[T any](s *site, expr string) T {
	s.t.Helper()
	v, err := chromedp.Run(s.tab, chromedp.Evaluate[T](expr))
	if err != nil {
		s.t.Fatalf("%s: %v", expr, err)
	}
	return v
}

// until waits for a JavaScript condition.
func (s *site) until(cond string) {
	s.t.Helper()
	expr := fmt.Sprintf(`new Promise((ok) => {
		const end = performance.now() + %d;
		const look = () => { const v = Boolean(%s); v || performance.now() > end ? ok(v) : setTimeout(look, 5); };
		look();
	})`, soon.Milliseconds(), cond)
	ok, err := chromedp.Run(s.tab, chromedp.Evaluate[bool](expr, chromedp.EvalAwaitPromise))
	if err != nil || !ok {
		s.t.Fatalf("not so in %v: %s (%v)\nthe page says: %s", soon, cond, err, eval[string](s, "document.body.innerText"))
	}
}

// text is the JavaScript expression of an element's text.
func text(selector string) string {
	return fmt.Sprintf(`(document.querySelector(%s)?.textContent ?? "")`, strconv.Quote(selector))
}

// has waits until an element's text contains want.
func (s *site) has(selector, want string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%s.includes(%s)", text(selector), strconv.Quote(want)))
}

// fill replaces what is in fields: selector, text, ...
func (s *site) fill(pairs ...string) {
	s.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		must(s.t, chromedp.Do(s.tab, chromedp.WaitVisible(chromedp.CSS(pairs[i]))))
		eval[any](s, fmt.Sprintf(`(() => {
			const e = document.querySelector(%q), text = %q;
			e.focus();
			e.select();
			if (text !== "" || e.value !== "") document.execCommand(text === "" ? "delete" : "insertText", false, text);
		})()`, pairs[i], pairs[i+1]))
		if got := eval[string](s, fmt.Sprintf("document.querySelector(%q).value", pairs[i])); got != pairs[i+1] {
			s.t.Fatalf("%s holds %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

func (s *site) click(css string) {
	s.t.Helper()
	selector := chromedp.CSS(css)
	must(s.t, chromedp.Do(s.tab, chromedp.ScrollIntoView(selector), chromedp.Click(selector)))
}

// connected waits for the page's connection.
func (s *site) connected() {
	s.t.Helper()
	s.until(text("#status-text") + ` === "Connected"`)
}

// subscribe subscribes in the page and waits until the broker knows.
func (s *site) subscribe(subject string) {
	s.t.Helper()
	s.connected()
	s.fill("#sub-subject", subject)
	s.click("#sub-form button")
	s.has("#subs", subject)
	// The page's session handles what it is sent in order.
	probe := fmt.Sprintf("probe.%s", nats.NewInbox())
	sub, err := s.nc.SubscribeSync(probe)
	must(s.t, err)
	must(s.t, s.nc.Flush())
	defer sub.Unsubscribe()
	s.publish(probe, "")
	nextMsg(s.t, sub)
}

// publish publishes in the page.
func (s *site) publish(subject, payload string) {
	s.t.Helper()
	s.fill("#pub-subject", subject, "#pub-payload", payload)
	s.click("#publish")
}

func nextMsg(t *testing.T, sub *nats.Subscription) *nats.Msg {
	t.Helper()
	m, err := sub.NextMsg(soon)
	must(t, err)
	return m
}

// shot leaves a screenshot when somebody wants to see it.
func (s *site) shot(name string) {
	s.t.Helper()
	dir := os.Getenv("GANGLION_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(s.tab, chromedp.FullScreenshot(100))
	must(s.t, err)
	must(s.t, os.MkdirAll(dir, 0o755))
	must(s.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644))
}
