package brokertest_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

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
	// silent requests have no answer, not even that nobody is there to give one.
	silent bool
	// packed requests have several answers, of which the last is empty.
	packed bool
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
	more := func() bool {
		n := len(all)
		return n == 0 && !q.silent || n > 0 && q.packed && len(all[n-1].Data) > 0
	}
	for ended := false; !ended || more(); {
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
			for i := range w {
				if g[i].Header.Get("Status") != w[i].Header.Get("Status") || len(g[i].Header) != len(w[i].Header) {
					t.Errorf("header %v, want %v", g[i].Header, w[i].Header)
				}
				sameShape(t, what, shapeOf(t, g[i].Data), shapeOf(t, w[i].Data))
				if strings.HasSuffix(q.subject, ".NSUBS") && string(g[i].Data) != string(w[i].Data) {
					t.Errorf("counts %s, want %s", g[i].Data, w[i].Data)
				}
				sameValues(t, what, g[i].Data, w[i].Data)
				sameOrder(t, what, g[i].Data, w[i].Data)
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
			sameValues(t, path, wrap(g.body), wrap(w.body))
			sameOrder(t, path, g.body, w.body)
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
		sameShape(t, subj, shapeOf(t, g[subj]), shapeOf(t, w[subj]))
		sameOrder(t, subj, g[subj], w[subj])
	}
	for subj := range g {
		if w[subj] == nil {
			t.Errorf("an event on %s, want none", subj)
		}
	}
}

// events has clients come and go, and returns what is told of it by subject.
func (s *systemSide) events(t *testing.T) map[string][]byte {
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
	bodies := map[string][]byte{}
	for end := time.After(soon); len(need) > 0; {
		select {
		case m := <-told:
			subj := strings.ReplaceAll(m.Subject, s.id, "{id}")
			if strings.Contains(subj, ".SYS.") { // of the watchers themselves
				continue
			}
			delete(need, subj)
			bodies[subj] = m.Data
		case <-end:
			t.Fatalf("%s: these events did not come: %v", s.name, slices.Collect(maps.Keys(need)))
		}
	}
	return bodies
}
