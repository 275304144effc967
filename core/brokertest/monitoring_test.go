package brokertest_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/monitor"
)

// watched is a server with monitoring and what the test did to it.
type watched struct {
	name, addr, url string
	conns           []*watchedConn
}

// watchedConn is a raw connection. Its reader answers PINGs, which servers send
// to measure, and passes on PONGs.
type watchedConn struct {
	net.Conn
	cid   uint64
	pongs chan struct{}
	ended chan struct{}
}

// connect opens a connection that sends text and has an answer to it.
func (w *watched) connect(t *testing.T, text string) {
	t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	must(t, err)
	c := &watchedConn{Conn: nc, pongs: make(chan struct{}, 1), ended: make(chan struct{})}
	t.Cleanup(func() {
		nc.Close()
		<-c.ended
	})
	r := bufio.NewReader(nc)
	line, err := r.ReadString('\n')
	if err != nil {
		close(c.ended)
		t.Fatal(err)
	}
	go c.read(r)
	var info struct {
		CID uint64 `json:"client_id"`
	}
	must(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	c.cid = info.CID
	w.conns = append(w.conns, c)
	c.say(t, text)
	c.sync(t)
}

func (c *watchedConn) read(r *bufio.Reader) {
	defer close(c.ended)
	for {
		switch line, err := r.ReadString('\n'); {
		case err != nil:
			return
		case line == "PING\r\n":
			io.WriteString(c, "PONG\r\n")
		case line == "PONG\r\n":
			c.pongs <- struct{}{}
		}
	}
}

func (c *watchedConn) say(t *testing.T, text string) {
	t.Helper()
	_, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n"))
	must(t, err)
}

// sync returns when the server has answered everything that was said.
func (c *watchedConn) sync(t *testing.T) {
	t.Helper()
	c.say(t, "PING\n")
	receive(t, c.pongs, "PONG")
}

// use makes the connections and messages that all requests are about: three
// open connections, one that its client closed and one that the server did.
func (w *watched) use(t *testing.T, auth string) {
	t.Helper()
	connect := func(options string) string {
		return "CONNECT {" + strings.TrimPrefix(options+auth, ",") + "}\n"
	}
	w.connect(t, connect(`"verbose":false,"name":"alpha","lang":"go","version":"1.2.3"`)+
		"SUB a.* 1\nSUB jobs workers 2\nSUB limited 3\nUNSUB 3 5\n")
	w.connect(t, connect(`"verbose":false,"name":"beta"`)+"SUB jobs 7\n")
	w.connect(t, connect(`"verbose":false`)+"SUB > all\nSUB x y 2\n")
	w.connect(t, connect(`"verbose":false,"name":"gone","lang":"c"`)+"SUB gone 1\nPUB gone 3\nabc\n")
	w.connect(t, connect(`"verbose":false,"name":"bad"`))
	w.conns[1].say(t, "PUB a.1 5\nhello\nPUB limited 2\nhi\nPUB jobs 1\nj\nPUB jobs 1\nj\n")
	w.conns[1].sync(t)
	w.conns[0].say(t, "PUB x 100\n"+strings.Repeat("x", 100)+"\n")
	w.conns[0].sync(t)
	w.conns[2].say(t, "PUB nobody 0\n\nPUB nobody 0\n\n")
	w.conns[2].sync(t)
	gone, bad := w.conns[3], w.conns[4]
	bad.say(t, "NONSENSE\n") // the younger ends first: its uptime is less for sure
	<-bad.ended
	w.waitClosed(t, 1)
	gone.Close()
	<-gone.ended
	w.waitClosed(t, 2)
	// What was delivered is counted after this. Ganglion counts a PING as
	// activity, nats-server doesn't: hence the order they published in.
	for _, i := range []int{1, 0, 2} {
		w.conns[i].sync(t)
	}
}

// waitClosed asks until n connections are shown as closed; there is nothing on
// the wire to wait for.
func (w *watched) waitClosed(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(soon); ; {
		var z struct {
			Total int `json:"total"`
		}
		must(t, json.Unmarshal(w.get(t, "/connz?state=closed").body, &z))
		if z.Total == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d connections shown as closed, want %d", w.name, z.Total, n)
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// get fetches path, in which {0} stands for the id of the first connection.
func (w *watched) get(t *testing.T, path string) answer {
	t.Helper()
	for i, c := range w.conns {
		path = strings.ReplaceAll(path, fmt.Sprintf("{%d}", i), fmt.Sprint(c.cid))
	}
	r, err := http.Get(w.url + path)
	must(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	must(t, err)
	return answer{r.StatusCode, r.Header, body}
}

// decode returns an answer's JSON in which connection ids are places in conns
// and lists without an order are sorted. What nats-server has and we don't is
// left out: subscriptions of its own services, and those that a closed
// connection once had. An unknown account has null connections there, none here.
func (w *watched) decode(t *testing.T, a answer) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s: %v in %s", w.name, err, a.body)
	}
	w.normalize(v)
	return v
}

func (w *watched) normalize(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			w.normalize(e)
		}
	case map[string]any:
		if v["stop"] != nil {
			delete(v, "subscriptions_list")
			delete(v, "subscriptions_list_detail")
		}
		if e, ok := v["connections"]; ok && e == nil {
			v["connections"] = []any{}
		}
		for k, e := range v {
			w.normalize(e)
			if id, ok := e.(float64); ok && k == "cid" {
				v[k] = float64(slices.IndexFunc(w.conns, func(c *watchedConn) bool { return c.cid == uint64(id) }))
			}
			if list, ok := e.([]any); ok && strings.HasPrefix(k, "subscriptions_list") {
				list = slices.DeleteFunc(list, func(e any) bool {
					sub, ok := e.(map[string]any)
					return ok && sub["cid"] == float64(-1)
				})
				slices.SortFunc(list, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
				v[k] = list
			}
		}
	}
}

// ours are the keys that only Ganglion has.
var ours = []string{"ganglion_version", "pending_bytes", "max_pending_total", "max_pending_total_cuts", "listener"}

// volatile are keys whose values are a matter of time, place or product; their
// types must be the same. Everything else must be equal.
var volatile = []string{
	"server_id", "server_name", "pending_bytes", "now", "start", "uptime", "idle", "rtt", "port", "last_activity", "stop", // everywhere
	"go", "git_commit", "mem", "cpu", "http_host", "http_port", "config_load_time", "config_digest", "http_req_stats", // varz
	"num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout", // subsz
}

// compare reports where got differs from want.
func compare(t *testing.T, path, key string, got, want any) {
	t.Helper()
	if reflect.TypeOf(got) != reflect.TypeOf(want) {
		t.Errorf("%s is %T %v, want %T %v", path, got, got, want, want)
		return
	}
	switch want := want.(type) {
	case map[string]any:
		got := got.(map[string]any)
		if key == "http_req_stats" {
			return
		}
		for k, v := range want {
			if _, ok := got[k]; !ok {
				t.Errorf("%s.%s is missing, want %v", path, k, v)
				continue
			}
			compare(t, path+"."+k, k, got[k], v)
		}
		for k, v := range got {
			if _, ok := want[k]; !ok && !slices.Contains(ours, k) {
				t.Errorf("%s.%s is %v, want nothing", path, k, v)
			}
		}
	case []any:
		got := got.([]any)
		if len(got) != len(want) {
			t.Errorf("%s has %d elements, want %d:\n%v\n%v", path, len(got), len(want), got, want)
			return
		}
		for i := range want {
			compare(t, fmt.Sprintf("%s[%d]", path, i), "", got[i], want[i])
		}
	default:
		services := path == "/subsz.total" || path == "/varz.subscriptions" // nats-server's own are counted
		if got != want && !services && !slices.Contains(volatile, key) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

// startMonitored starts a Ganglion with monitoring.
func startMonitored(t *testing.T, text string) *watched {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	c := config.Default()
	must(t, c.Load(file))
	c.Broker.Host, c.Broker.Port = "127.0.0.1", 0
	b := newBroker(t, c.Broker)
	addr := serve(t, b, "127.0.0.1:0")
	web := httptest.NewServer(b.Monitor(monitor.Options{Host: "127.0.0.1"}))
	t.Cleanup(web.Close)
	return &watched{name: "ganglion", addr: addr, url: web.URL}
}

// TestMonitoring asks Ganglion and a nats-server that were used alike the same.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, config, auth string }{
		{"open", "", ""},
		{"user", "authorization { user: ann, password: pw }", `,"user":"ann","pass":"pw"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, want := startMonitored(t, tt.config), &watched{name: "nats-server"}
			want.addr, want.url = natstest.StartNATSMonitored(t, tt.config)
			got.use(t, tt.auth)
			want.use(t, tt.auth)
			for _, path := range monitoringPaths {
				t.Run(path, func(t *testing.T) { sameAnswer(t, got, want, path) })
			}
		})
	}
}

// sameAnswer fetches path from both and compares.
func sameAnswer(t *testing.T, got, want *watched, path string) {
	g, w := got.get(t, path), want.get(t, path)
	if g.status != w.status {
		t.Errorf("status %d, want %d", g.status, w.status)
	}
	for _, h := range []string{"Content-Type", "Access-Control-Allow-Origin"} {
		if g, w := g.header.Get(h), w.header.Get(h); g != w {
			t.Errorf("%s is %q, want %q", h, g, w)
		}
	}
	if w.status == http.StatusBadRequest || !json.Valid(w.body) {
		if string(g.body) != string(w.body) {
			t.Errorf("got %q, want %q", g.body, w.body)
		}
		return
	}
	gv, wv := got.decode(t, g), want.decode(t, w)
	if strings.Contains(path, "sort=rtt") { // nobody knows that order
		for _, v := range []any{gv, wv} {
			slices.SortFunc(v.(map[string]any)["connections"].([]any), func(a, b any) int {
				return cmp.Compare(a.(map[string]any)["cid"].(float64), b.(map[string]any)["cid"].(float64))
			})
		}
	}
	endpoint, _, _ := strings.Cut(strings.Replace(path, "/subscriptionsz", "/subsz", 1), "?")
	compare(t, endpoint, "", gv, wv)
	if lay := layout(g.body); lay != layout(w.body) {
		t.Errorf("laid out as %q, want %q", lay, layout(w.body))
	}
}

// layout returns what stands before the first key: how the JSON is indented.
func layout(body []byte) string {
	s, _, _ := strings.Cut(string(body), `"`)
	return s
}

var monitoringPaths = []string{
	"/varz", "/varz?x=y",
	"/connz", "/connz?subs=1", "/connz?subs=true", "/connz?subs=0", "/connz?subs=detail", "/connz?subs=DETAIL",
	"/connz?auth=1", "/connz?auth=true&subs=detail", "/connz?auth=0",
	"/connz?state=open", "/connz?state=closed", "/connz?state=any", "/connz?state=all", "/connz?state=CLOSED",
	"/connz?state=closed&subs=1", "/connz?state=closed&subs=detail", "/connz?state=closed&auth=1", "/connz?state=any&auth=1&subs=1",
	"/connz?sort=cid", "/connz?sort=start", "/connz?sort=subs", "/connz?sort=msgs_to", "/connz?sort=msgs_from",
	"/connz?sort=bytes_to", "/connz?sort=bytes_from", "/connz?sort=last", "/connz?sort=idle", "/connz?sort=uptime",
	"/connz?sort=rtt", "/connz?state=closed&sort=stop", "/connz?state=closed&sort=reason", "/connz?state=any&sort=uptime",
	"/connz?state=any&sort=start", "/connz?state=any&sort=last", "/connz?state=any&sort=msgs_from",
	"/connz?state=closed&sort=uptime", "/connz?state=closed&sort=idle", "/connz?state=any&sort=rtt",
	"/connz?limit=1", "/connz?limit=2&offset=1", "/connz?offset=2", "/connz?offset=100", "/connz?limit=0", "/connz?limit=-1",
	"/connz?offset=-1", "/connz?limit=1&state=any", "/connz?limit=2&offset=4&state=any", "/connz?limit=1&sort=msgs_from",
	"/connz?cid={0}", "/connz?cid={1}&subs=detail", "/connz?cid={3}", "/connz?cid={3}&state=closed", "/connz?cid={3}&state=any",
	"/connz?cid={0}&state=any", "/connz?cid={0}&state=closed", "/connz?cid=999999", "/connz?cid={0}&offset=1",
	"/connz?cid={0}&user=ann", "/connz?cid={0}&user=bob", "/connz?cid={3}&state=any&user=bob", "/connz?cid={0}&acc=$G",
	"/connz?user=ann", "/connz?user=bob", "/connz?user=ann&state=any", "/connz?user=bob&state=closed", "/connz?user=ann&auth=1&limit=1",
	// not state=closed or any: nats-server forgets that a closed connection was in $G
	"/connz?acc=$G", "/connz?acc=NOPE", "/connz?acc=$SYS", "/connz?acc=$SYS&state=any", "/connz?acc=$G&auth=1&subs=detail", "/connz?mqtt_client=x", "/connz?mqtt_client=x&state=any",
	"/connz?filter_subject=a.1", "/connz?acc=$G&filter_subject=jobs",
	"/connz?sort=bad", "/connz?sort=stop", "/connz?sort=reason", "/connz?state=any&sort=stop", "/connz?state=any&sort=reason",
	"/connz?state=bad", "/connz?state=1", "/connz?subs=bad", "/connz?auth=bad", "/connz?offset=bad", "/connz?limit=bad",
	"/connz?cid=bad", "/connz?cid=-1", "/connz?sort=bad&limit=bad", "/connz?sort=bad&state=bad", "/connz?limit=1.5",
	"/connz?limit=99999999999999999999",
	"/subsz", "/subsz?subs=0", "/subsz?acc=$G", "/subsz?acc=NOPE", "/subsz?acc=$G&subs=1", "/subsz?acc=$G&subs=true&limit=100",
	"/subsz?acc=NOPE&subs=1", "/subsz?acc=$G&subs=1&test=a.1", "/subsz?acc=$G&subs=1&test=jobs", "/subsz?acc=$G&test=jobs",
	"/subsz?acc=$G&subs=1&offset=100", "/subsz?acc=$G&subs=1&offset=-1&limit=-1", "/subsz?acc=$G&subs=1&test=z.z",
	"/subsz?subs=bad", "/subsz?subs=detail", "/subsz?limit=bad", "/subsz?offset=bad", "/subsz?test=a.*", "/subsz?test=a..b",
	"/subscriptionsz?acc=$G&subs=1",
	"/healthz", "/healthz?js-enabled-only=false", "/healthz?js-enabled-only=true", "/healthz?js-server-only=true",
	"/healthz?js-enabled=true", "/healthz?details=true", "/healthz?js-enabled-only=bad", "/healthz?js-server-only=bad",
	"/healthz?js-meta-only=bad", "/healthz?details=bad", "/healthz?stream=S", "/healthz?account=A", "/healthz?account=$G",
	"/healthz?account=A&stream=S&consumer=C", "/healthz?consumer=C", "/healthz?stream=S&details=1", "/healthz?consumer=C&details=1",
	"/nothing", "/varz/", "/connz/",
}
