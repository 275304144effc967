package brokertest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/brokertest/natstest"
)

// systemConfig has accounts of every kind for the system account to tell of.
const systemConfig = `
server_name: probe
server_tags: ["a:b", "c"]
server_metadata: { k: v }
accounts {
  SYS { users: [{ user: sys, password: pw }] }
  A {
    users: [{ user: ann, password: pw, permissions: { publish: ">", subscribe: { deny: "never" }, allow_responses: { max: 3, expires: "1m" } } }]
    exports: [{ service: "svc", response: stream, threshold: "1s" }, { stream: "st.>", accounts: [B] }, { service: "timed", latency: { sampling: 50, subject: "lat" } }]
    mappings: { foo: bar }
  }
  B {
    users: [{ user: bob, password: pw }]
    imports: [{ service: { account: A, subject: "svc" }, to: "my.svc" }, { stream: { account: A, subject: "st.>" }, prefix: "p" }]
  }
  C { users: [{ user: cat, password: pw }] }
  D { users: [{ nkey: "{nkey}" }] }
}
system_account: SYS
`

// systemSide is a server with a system account and clients in several accounts.
type systemSide struct {
	name, url, web, id string
	clients            map[string]*nats.Conn
	cids               map[string]uint64
}

// startSystems returns a nats-server and a Ganglion, used alike.
func startSystems(t *testing.T) (want, got *systemSide) {
	t.Helper()
	want, got = &systemSide{name: "nats-server"}, &systemSide{name: "ganglion"}
	key, err := nkeys.CreateUser()
	must(t, err)
	pub, err := key.PublicKey()
	must(t, err)
	text := strings.Replace(systemConfig, "{nkey}", pub, 1)
	addr, web := natstest.StartNATSMonitored(t, text)
	want.url, want.web = "nats://"+addr, web
	g := startMonitored(t, text)
	got.url, got.web = "nats://"+g.addr, g.url
	for _, s := range []*systemSide{want, got} {
		s.clients, s.cids = map[string]*nats.Conn{}, map[string]uint64{}
		for _, c := range []struct{ key, user, name string }{{"sys", "sys", "sysc"}, {"ann", "ann", "anna"}, {"bob", "bob", ""}} {
			s.connect(t, c.key, c.user, c.name)
		}
		c, err := nats.Connect(s.url, nats.Nkey(pub, key.Sign))
		must(t, err)
		t.Cleanup(c.Close)
		s.clients["key"] = c
		_, err = s.clients["ann"].SubscribeSync("svc")
		must(t, err)
		_, err = s.clients["ann"].QueueSubscribeSync("jobs", "w")
		must(t, err)
		_, err = s.clients["bob"].SubscribeSync("p.st.x")
		must(t, err)
		must(t, s.clients["ann"].Publish("x", []byte("hello")))
		for _, c := range s.clients {
			must(t, c.Flush())
		}
		s.id = s.clients["sys"].ConnectedServerId()
	}
	return want, got
}

func (s *systemSide) connect(t *testing.T, key, user, name string) *nats.Conn {
	t.Helper()
	c, err := nats.Connect(s.url, nats.UserInfo(user, "pw"), nats.Name(name), nats.NoReconnect())
	must(t, err)
	t.Cleanup(c.Close)
	s.clients[key] = c
	cid, err := c.GetClientID()
	must(t, err)
	s.cids[key] = cid
	return c
}

// systemRequest is a request, and what may differ in the answers.
type systemRequest struct {
	who, subject, body string
	// silent requests have no answer.
	silent bool
	// apart says that the answer comes from elsewhere: what is asked afterwards
	// may be answered before.
	apart bool
}

// ask sends q and returns the answers to it. A request that is answered for sure
// goes after it, and ends the wait.
func (s *systemSide) ask(t *testing.T, q systemRequest) []*nats.Msg {
	t.Helper()
	fill := strings.NewReplacer("{id}", s.id, "{ann}", fmt.Sprint(s.cids["ann"]), "{victim}", fmt.Sprint(s.cids["victim"]))
	c := s.clients[q.who]
	inbox := nats.NewInbox()
	sub, err := c.SubscribeSync(inbox + ".*")
	must(t, err)
	defer sub.Unsubscribe()
	must(t, c.PublishRequest(fill.Replace(q.subject), inbox+".answer", []byte(fill.Replace(q.body))))
	must(t, c.PublishRequest("$SYS.REQ.USER.INFO", inbox+".end", nil))
	var all []*nats.Msg
	for ended := false; !ended || len(all) == 0 && !q.silent; {
		m, err := sub.NextMsg(soon)
		if errors.Is(err, nats.ErrNoResponders) {
			all = append(all, &nats.Msg{Header: nats.Header{"Status": {"503"}}})
			continue
		}
		if err != nil {
			t.Fatalf("%s: %s %s: no answer: %v", s.name, q.subject, q.body, err)
		}
		if strings.HasSuffix(m.Subject, ".end") {
			ended = true
			continue
		}
		all = append(all, m)
	}
	return all
}

// shape collects the types of all values of v by their paths. Elements of a list
// have one path together.
func shape(v any, path string, into map[string]string) {
	kind := fmt.Sprintf("%T", v)
	switch v := v.(type) {
	case map[string]any:
		kind = "object"
		for k, e := range v {
			shape(e, path+"."+k, into)
		}
	case []any:
		kind = "list"
		for _, e := range v {
			shape(e, path+"[]", into)
		}
	}
	if old, ok := into[path]; ok && old != kind {
		kind = old + "|" + kind
	}
	into[path] = kind
}

// nullConns is what nats-server says of an account that is not there; we say that
// there are none.
var nullConns = regexp.MustCompile(`"connections": ?null`)

func shapeOf(t *testing.T, body []byte) map[string]string {
	t.Helper()
	into := map[string]string{}
	if len(body) == 0 {
		return into
	}
	body = nullConns.ReplaceAll(body, []byte(`"connections":[]`))
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		into[""] = "text"
		return into
	}
	shape(v, "", into)
	return into
}

// allowed are the differences between our answers and a nats-server's, and why.
var allowed = map[string]string{
	".data.ganglion_version":            "ours",
	".data.pending_bytes":               "ours",
	".data.max_pending_total":           "ours",
	".data.max_pending_total_cuts":      "ours",
	".data.listeners":                   "ours",
	".data.connections[].listener":      "ours",
	".data.git_commit":                  "the build's",
	".data.http_req_stats":              "the paths that were asked for",
	".data.memstats.BySize":             "depends on the Go release",
	".data.System recvQ.in_progress":    "queues are the implementation's",
	".data.SendQ":                       "queues are the implementation's",
	".data.System recvQ Pings":          "queues are the implementation's",
	".data.System recvQ Slow":           "queues are the implementation's",
	".data.delayed API responses":       "queues are the implementation's",
	".data.subscriptions_list[].qgroup": "a page of two has others of them",
}

func allowedAt(path string) bool {
	for p, why := range allowed {
		if why != "" && (path == p || strings.HasPrefix(path, p+".") || strings.HasPrefix(path, p+"[")) {
			return true
		}
	}
	return false
}

// sameShape reports where got differs from want.
func sameShape(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] && !allowedAt(path) {
			t.Errorf("%s: %s is %q, want %q", what, path, got[path], want[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[path]; !ok && !allowedAt(path) {
			t.Errorf("%s: %s is %q, want nothing", what, path, got[path])
		}
	}
}

// verdict is what of an answer must be equal and not just of one type.
func verdict(body []byte) string {
	var v struct {
		Error *struct {
			Code int    `json:"code"`
			Text string `json:"description"`
		} `json:"error"`
		Data struct {
			Num     *int     `json:"num_connections"`
			Total   *int     `json:"total"`
			Limit   *int     `json:"limit"`
			Offset  *int     `json:"offset"`
			Status  string   `json:"status"`
			Code    int      `json:"status_code"`
			Account string   `json:"account"`
			User    string   `json:"user"`
			Names   []string `json:"accounts"`
			Stats   []struct {
				Account string `json:"acc"`
			} `json:"account_statz"`
			Conns []struct {
				Name, User, Account, Tag string
			} `json:"connections"`
		} `json:"data"`
	}
	json.Unmarshal(nullConns.ReplaceAll(body, []byte(`"connections":[]`)), &v)
	if v.Data.Names != nil {
		slices.Sort(v.Data.Names)
	}
	slices.SortFunc(v.Data.Stats, func(a, b struct {
		Account string `json:"acc"`
	}) int {
		return strings.Compare(a.Account, b.Account)
	})
	if v.Error != nil && v.Error.Code == 400 {
		v.Error.Text = "" // names Go types
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// TestSystemRequests asks a nats-server and Ganglion the same.
func TestSystemRequests(t *testing.T) {
	t.Parallel()
	want, got := startSystems(t)
	for _, q := range systemRequests {
		what := strings.TrimSpace(q.who + " " + q.subject + " " + q.body)
		t.Run(what, func(t *testing.T) {
			for _, s := range []*systemSide{want, got} {
				if strings.Contains(q.body, "{victim}") {
					s.connect(t, "victim", "cat", "victim")
				}
			}
			w, g := want.ask(t, q), got.ask(t, q)
			if len(g) != len(w) {
				t.Fatalf("%d answers, want %d: %q", len(g), len(w), bodies(g))
			}
			if q.silent && len(w) > 0 && w[0].Header.Get("Status") != "503" {
				t.Fatalf("nats-server answers %q", bodies(w))
			}
			for i := range w {
				if g[i].Header.Get("Status") != w[i].Header.Get("Status") || len(g[i].Header) != len(w[i].Header) {
					t.Errorf("header %v, want %v", g[i].Header, w[i].Header)
				}
				sameShape(t, what, shapeOf(t, g[i].Data), shapeOf(t, w[i].Data))
				if strings.HasSuffix(q.subject, ".NSUBS") && string(g[i].Data) != string(w[i].Data) {
					t.Errorf("counts %s, want %s", g[i].Data, w[i].Data)
				}
				if gv, wv := verdict(g[i].Data), verdict(w[i].Data); gv != wv && !strings.Contains(q.subject, "SUBSZ") {
					t.Errorf("says\n%s, want\n%s", gv, wv)
				}
			}
		})
	}
}

func bodies(ms []*nats.Msg) (all []string) {
	for _, m := range ms {
		all = append(all, string(m.Data))
	}
	return all
}

// systemPaths are those of /accountz and its kin.
var systemPaths = []string{
	"/accountz", "/accountz?acc=A", "/accountz?acc=B", "/accountz?acc=C", "/accountz?acc=SYS", "/accountz?acc=NOPE",
	"/accstatz", "/accstatz?unused=1", "/accstatz?unused=x",
	"/connz?auth=1", "/connz?acc=A&auth=1&subs=detail", "/connz?acc=B", "/connz?acc=NOPE&auth=1", "/subsz?acc=A", "/subsz?acc=B&subs=1", "/varz",
}

// TestSystemMonitoring asks for accounts over HTTP.
func TestSystemMonitoring(t *testing.T) {
	t.Parallel()
	want, got := startSystems(t)
	for _, path := range systemPaths {
		t.Run(path, func(t *testing.T) {
			w, g := (&watched{name: want.name, url: want.web}).get(t, path), (&watched{name: got.name, url: got.web}).get(t, path)
			if g.status != w.status {
				t.Fatalf("status %d, want %d: %s", g.status, w.status, g.body)
			}
			if w.status != http.StatusOK {
				if string(g.body) != string(w.body) {
					t.Errorf("got %q, want %q", g.body, w.body)
				}
				return
			}
			wrap := func(b []byte) []byte { return []byte(`{"data":` + string(b) + `}`) }
			sameShape(t, path, shapeOf(t, wrap(g.body)), shapeOf(t, wrap(w.body)))
			if gv, wv := verdict(wrap(g.body)), verdict(wrap(w.body)); gv != wv && !strings.HasPrefix(path, "/subsz") {
				t.Errorf("says\n%s, want\n%s", gv, wv)
			}
		})
	}
}

// TestSystemEvents has both servers tell of the same sessions.
func TestSystemEvents(t *testing.T) {
	t.Parallel()
	want, got := startSystems(t)
	w, g := want.events(t), got.events(t)
	for _, subj := range slices.Sorted(maps.Keys(w)) {
		if g[subj] == nil {
			t.Errorf("no event on %s, want one", subj)
			continue
		}
		sameShape(t, subj, g[subj], w[subj])
	}
	for subj := range g {
		if w[subj] == nil {
			t.Errorf("an event on %s, want none", subj)
		}
	}
}

// events has clients come and go, and returns the shapes of what is told of it by
// subject.
func (s *systemSide) events(t *testing.T) map[string]map[string]string {
	t.Helper()
	told := make(chan *nats.Msg, 1000)
	ev := s.connect(t, "watch", "sys", "watch")
	for _, subj := range []string{"$SYS.ACCOUNT.>", "$SYS.SERVER.>"} {
		_, err := ev.ChanSubscribe(subj, told)
		must(t, err)
	}
	must(t, ev.Flush())
	c := s.connect(t, "tmp", "cat", "tmp")
	must(t, c.Publish("y", []byte("z")))
	must(t, c.Flush())
	c.Close()
	if _, err := nats.Connect(s.url, nats.UserInfo("ann", "wrong"), nats.Name("bad")); err == nil {
		t.Fatal("a wrong password was let in")
	}
	need := map[string]bool{"$SYS.ACCOUNT.C.DISCONNECT": true, "$SYS.ACCOUNT.$G.DISCONNECT": true, "$SYS.SERVER.{id}.STATSZ": true, "$SYS.SERVER.{id}.CLIENT.AUTH.ERR": true}
	shapes := map[string]map[string]string{}
	for end := time.After(soon); len(need) > 0; {
		select {
		case m := <-told:
			subj := strings.ReplaceAll(m.Subject, s.id, "{id}")
			if strings.Contains(subj, ".SYS.") { // of the watchers themselves
				continue
			}
			delete(need, subj)
			shapes[subj] = shapeOf(t, m.Data)
		case <-end:
			t.Fatalf("%s: these events did not come: %v", s.name, slices.Collect(maps.Keys(need)))
		}
	}
	return shapes
}

// systemRequests is every row of wire/monitoring.md, section 2, with bodies that
// make sense and bodies that don't.
var systemRequests = []systemRequest{
	{who: "sys", subject: "$SYS.REQ.SERVER.PING"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.STATSZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.VARZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true,"subscriptions":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true,"subscriptions_detail":true,"acc":"A"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ROUTEZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.GATEWAYZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.LEAFZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.SUBSZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.SUBSZ", body: `{"subscriptions":true,"account":"A"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"account":"A"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"account":"NOPE"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.JSZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"details":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"account":"X"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"stream":"X"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IPQUEUESZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.RAFTZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.PROFILEZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.PROFILEZ", body: `{"name":"goroutine","debug":0}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.PROFILEZ", body: `{"name":"nope"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.EXPVARZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.NOPE", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.STATZ", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCSTATZ", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.RELOAD", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.KICK", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING", body: `{"server_name":"zzz"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING", body: `{"server_name":"pro"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING", body: `{"server_name":"rob"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING", body: `{"server_name":"pro","exact_match":true}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING", body: `{"server_name":"probe","exact_match":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"server_name":"zzz"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"host":"127"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"host":"128"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"tags":["c"]}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"tags":["C","A:B"]}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"tags":["d"]}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"tags":["c","d"]}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"cluster":"x"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"domain":"x"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: "not json"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.VARZ", body: "not json"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"limit":"x"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: "[]"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"sort":"bad"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"sort":"stop"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"state":1}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"state":2,"limit":1}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"state":7,"limit":1}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"state":"closed"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"cid":99}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"user":"ann"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true,"user":"ann"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"filter_subject":"svc","limit":1}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"acc":"A","filter_subject":"svc"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"unknown":"A","limit":-1,"offset":100}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.VARZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.STATSZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.IDZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.HEALTHZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.CONNZ", body: `{"limit":1}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.PROFILEZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.EXPVARZ"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.NOPE", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.NOPE.VARZ", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.KICK", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.KICK", body: `{"cid":99}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.KICK", body: "{}"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.KICK", body: "zzz", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.LDM", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.LDM", body: `{"cid":99}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNZ", body: `{"auth":true,"limit":1}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNZ", body: `{"acc":"B"}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.LEAFZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.JSZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.SUBSZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.SUBSZ", body: `{"subscriptions":true}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.INFO"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.B.INFO"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.C.INFO"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.STATZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNS"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.C.STATZ", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.C.STATZ", body: `{"include_unused":true}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.STATZ", body: `{"accounts":["B"]}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.C.CONNS", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.CONNZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.STATZ", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.INFO"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.SUBSZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.CONNS", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.JSZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.LEAFZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.NOPE", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CLAIMS.LOOKUP", silent: true},
	{who: "sys", subject: "$SYS.REQ.CLAIMS.LIST", silent: true},
	{who: "sys", subject: "$SYS.REQ.CLAIMS.PACK", silent: true},
	{who: "sys", subject: "$SYS.REQ.CLAIMS.UPDATE", body: "xx", silent: true},
	{who: "sys", subject: "$SYS.REQ.CLAIMS.DELETE", body: "xx", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.STATZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.STATZ", body: `{"accounts":["A","C"]}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.STATZ", body: `{"accounts":["A","C","NOPE"],"include_unused":true}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.STATZ", body: `{"include_unused":true}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ", body: `{"limit":1}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.INFO"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.CONNS", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.SUBSZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: "A", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A"}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"svc"}`},
	{who: "sys", subject: "$SYS.REQ.USER.INFO"},
	{who: "sys", subject: "$SYS.REQ.USER.SYS.INFO"},
	{who: "sys", subject: "$SYS.REQ.USER.A.INFO"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.STATZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.STATZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNZ", body: "zz"},
	{who: "ann", subject: "$SYS.REQ.USER.INFO"},
	{who: "ann", subject: "$SYS.REQ.USER.INFO", body: `{"x":1}`},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.STATZ"},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.STATZ", body: `{"accounts":["B"]}`},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.STATZ", body: `{"accounts":["A","B"],"include_unused":true}`},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ"},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ", body: `{"acc":"B"}`},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ", body: `{"auth":true,"subscriptions":true,"limit":1}`},
	{who: "ann", subject: "$SYS.REQ.SERVER.PING.CONNZ"},
	{who: "ann", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"acc":"B"}`},
	{who: "ann", subject: "$SYS.REQ.SERVER.PING", silent: true},
	{who: "ann", subject: "$SYS.REQ.SERVER.PING.STATSZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.SERVER.PING.VARZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.A.CONNZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.B.CONNZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.A.INFO", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.B.INFO", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.A.STATZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.A.CONNS", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.A.SUBSZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.INFO", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.SUBSZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.JSZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.LEAFZ", silent: true},
	{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.CONNS", silent: true},
	{who: "ann", subject: "$SYS.REQ.USER.A.INFO", silent: true},
	{who: "ann", subject: "$SYS.REQ.USER.B.INFO", silent: true},
	{who: "bob", subject: "$SYS.REQ.USER.INFO"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IDZ", body: `{"host":"127","exact_match":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.STATSZ", body: "not json"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.STATSZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.VARZ", body: `{"server_name":"zzz"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.RELOAD", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.SHUTDOWN", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.PING", silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.SUBSZ", body: `{"subscriptions":true,"limit":2}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.SUBSZ", body: `{"subscriptions":true,"account":"NOPE"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.SUBSZ", body: `{"subscriptions":true,"test":"svc","account":"A"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.SUBSZ", body: `{"test":"a.*"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"js-enabled-only":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"js-enabled":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"js-server-only":true,"js-enabled-only":true,"js-meta-only":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"account":"A","stream":"S"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: `{"stream":"S","details":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.HEALTHZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.JSZ", body: `{"accounts":true,"config":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.JSZ", body: `{"account":"A"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ROUTEZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ROUTEZ", body: `{"subscriptions":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.PROFILEZ", body: `{"name":"cmdline"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.PROFILEZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.IPQUEUESZ", body: `{"all":true}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.EXPVARZ", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNS", body: "zz", silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.CONNS", body: `{"acc":"B"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.A.INFO", body: "zz"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.SYS.INFO"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.SYS.CONNS"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.SYS.STATZ"},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.$G.STATZ", body: `{"include_unused":true}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"jobs","queue":"w"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"jobs","queue":"dw=="}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"jobs","queue":"eA=="}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"svc","queue":"dw=="}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"*"}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"A","subject":"jobs"}`},
	{who: "sys", subject: "$SYS.REQ.ACCOUNT.NSUBS", body: `{"acc":"NOPE","subject":"jobs"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.KICK", body: `{"cid":{victim}}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.{id}.LDM", body: `{"cid":{victim}}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"tags":["C","A:B"]}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"tags":["d"]}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"tags":["c","d"]}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"cluster":"x"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"domain":"x"}`, silent: true},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"host":"127.0"}`},
	{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"host":"127.0","exact_match":true}`, silent: true},
}

// operatorSystem is a configuration in operator mode, and who may join.
type operatorSystem struct {
	config          string
	system, accA    string // public keys
	systemKey, aKey nkeys.KeyPair
}

func newOperatorSystem(t *testing.T) *operatorSystem {
	t.Helper()
	create := func(f func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		k, err := f()
		must(t, err)
		pub, err := k.PublicKey()
		must(t, err)
		return k, pub
	}
	o := &operatorSystem{}
	op, opKey := create(nkeys.CreateOperator)
	o.systemKey, o.system = create(nkeys.CreateAccount)
	o.aKey, o.accA = create(nkeys.CreateAccount)
	oc := jwt.NewOperatorClaims(opKey)
	oc.SystemAccount = o.system
	oj, err := oc.Encode(op)
	must(t, err)
	sc, ac := jwt.NewAccountClaims(o.system), jwt.NewAccountClaims(o.accA)
	sc.Name, ac.Name = "SYS", "account a"
	ac.Tags.Add("tagged")
	ac.Exports.Add(&jwt.Export{Name: "e", Subject: "svc", Type: jwt.Service}, &jwt.Export{Subject: "st.>", Type: jwt.Stream, TokenReq: true, Info: jwt.Info{Description: "d"}})
	ac.Mappings = map[jwt.Subject][]jwt.WeightedMapping{"foo": {{Subject: "bar", Weight: 50}}}
	sj, err := sc.Encode(op)
	must(t, err)
	aj, err := ac.Encode(op)
	must(t, err)
	o.config = fmt.Sprintf("server_name: probe\noperator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }\n", oj, o.system, o.system, sj, o.accA, aj)
	return o
}

// user is a login as a new user of an account.
func (o *operatorSystem) user(t *testing.T, acc nkeys.KeyPair, name string, expires time.Time) nats.Option {
	t.Helper()
	k, err := nkeys.CreateUser()
	must(t, err)
	pub, err := k.PublicKey()
	must(t, err)
	c := jwt.NewUserClaims(pub)
	c.Name = name
	c.Tags.Add("ut")
	c.Pub.Allow.Add(">")
	c.Sub.Deny.Add("never")
	if !expires.IsZero() {
		c.Expires = expires.Unix()
	}
	token, err := c.Encode(acc)
	must(t, err)
	return nats.UserJWT(func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return k.Sign(nonce) })
}

// TestSystemOperator compares what both servers show of accounts and users that
// come as JWTs.
func TestSystemOperator(t *testing.T) {
	t.Parallel()
	o := newOperatorSystem(t)
	want, got := &systemSide{name: "nats-server"}, &systemSide{name: "ganglion"}
	want.url = "nats://" + natstest.StartNATS(t, o.config)
	file := filepath.Join(t.TempDir(), "server.conf")
	must(t, os.WriteFile(file, []byte(o.config), 0o600))
	c := config.Default()
	must(t, c.Load(file))
	c.Broker.Host, c.Broker.Port = "127.0.0.1", 0
	trust, _, err := c.Operator.Open(c.Broker.SystemAccount, slog.New(slog.DiscardHandler))
	must(t, err)
	c.Broker.Auth.Operator = trust
	got.url = "nats://" + serve(t, newBroker(t, c.Broker), "127.0.0.1:0")

	told := map[*systemSide]map[string]map[string]string{}
	for _, s := range []*systemSide{want, got} {
		s.clients, s.cids = map[string]*nats.Conn{}, map[string]uint64{}
		events := make(chan *nats.Msg, 1000)
		for _, u := range []struct {
			key string
			acc nkeys.KeyPair
		}{{"sys", o.systemKey}, {"ann", o.aKey}, {"gone", o.aKey}} {
			c, err := nats.Connect(s.url, o.user(t, u.acc, u.key, time.Time{}), nats.Name(u.key))
			must(t, err)
			t.Cleanup(c.Close)
			s.clients[u.key] = c
			if u.key == "sys" {
				for _, subj := range []string{"$SYS.ACCOUNT.>", "$SYS.SERVER.*.CLIENT.>"} {
					_, err := c.ChanSubscribe(subj, events)
					must(t, err)
				}
				must(t, c.Flush())
			}
		}
		s.id = s.clients["sys"].ConnectedServerId()
		s.clients["gone"].Close()
		_, err := nats.Connect(s.url, o.user(t, o.aKey, "late", time.Now().Add(-time.Hour)))
		if err == nil {
			t.Fatalf("%s lets an expired user in", s.name)
		}
		told[s] = map[string]map[string]string{}
		need := map[string]bool{"$SYS.ACCOUNT." + o.accA + ".DISCONNECT": true, "$SYS.SERVER.{id}.CLIENT.AUTH.ERR": true}
		for end := time.After(soon); len(need) > 0; {
			select {
			case m := <-events:
				subj := strings.ReplaceAll(m.Subject, s.id, "{id}")
				delete(need, subj)
				told[s][subj] = shapeOf(t, m.Data)
			case <-end:
				t.Fatalf("%s: these events did not come: %v", s.name, slices.Collect(maps.Keys(need)))
			}
		}
	}
	for subj, w := range told[want] {
		g := told[got][subj]
		switch {
		case strings.Contains(subj, "AUTH.ERR"):
			delete(w, ".client.jwt") // what was refused we don't repeat
			sameShape(t, subj, g, w)
		case strings.Contains(subj, o.accA) && g != nil:
			sameShape(t, subj, g, w)
		}
	}
	if told[got]["$SYS.ACCOUNT."+o.accA+".CONNECT"] == nil {
		t.Errorf("no event of a connection")
	}
	for _, q := range []systemRequest{
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true}`},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true,"state":1,"acc":"` + o.accA + `","limit":1}`},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ"},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"account":"` + o.accA + `"}`},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT." + o.accA + ".INFO"},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.VARZ"},
		{who: "sys", subject: "$SYS.REQ.USER.INFO"},
		{who: "ann", subject: "$SYS.REQ.USER.INFO"},
		{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.STATZ"},
		{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ", body: `{"auth":true}`},
	} {
		w, g := want.ask(t, q), got.ask(t, q)
		if len(w) != 1 || len(g) != 1 {
			t.Errorf("%s %s: %d answers, want %d", q.subject, q.body, len(g), len(w))
			continue
		}
		sameShape(t, q.who+" "+q.subject+" "+q.body, shapeOf(t, g[0].Data), shapeOf(t, w[0].Data))
	}
}
