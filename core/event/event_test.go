package event_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ganglion/core/account"
	"ganglion/core/event"
	"ganglion/core/local"
	"ganglion/core/monitor"
	"ganglion/core/router"
	"ganglion/core/wire"
)

const id = "NSERVER"

// fake is a server's state.
type fake struct {
	mu      sync.Mutex
	accs    map[string]int // connections by account
	counted int            // calls of AccountStatz
	kicked  []uint64
	ducked  []uint64
	reloads int
	hold    chan struct{} // keeps AccountStatz waiting
}

func (f *fake) Varz() *monitor.Varz { return &monitor.Varz{ID: id, Connections: 3} }

func (f *fake) Connz(o monitor.ConnzOptions) (*monitor.Connz, error) {
	if o.Sort == "bad" {
		return nil, errors.New("invalid sorting option: bad")
	}
	return &monitor.Connz{ID: id, Conns: []monitor.ConnInfo{{Account: o.Account}}}, nil
}

func (f *fake) Leafz(o monitor.LeafzOptions) *monitor.Leafz {
	return &monitor.Leafz{ID: id, Leafs: []monitor.LeafInfo{{Account: o.Account}}}
}

func (f *fake) Subsz(o monitor.SubszOptions) (*monitor.Subsz, error) {
	return &monitor.Subsz{ID: id, Subs: []monitor.SubDetail{{Account: o.Account, Subject: "a.b"}, {Subject: "a.c", Queue: "q"}}}, nil
}

func (f *fake) Accountz(o monitor.AccountzOptions) (*monitor.Accountz, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	z := &monitor.Accountz{ID: id}
	if o.Account == "" {
		for name := range f.accs {
			z.Accounts = append(z.Accounts, name)
		}
		return z, nil
	}
	if _, ok := f.accs[o.Account]; !ok {
		return nil, fmt.Errorf("Account %s does not exist", o.Account)
	}
	z.Account = &monitor.AccountInfo{Name: o.Account}
	return z, nil
}

func (f *fake) AccountStatz(o monitor.AccountStatzOptions) *monitor.AccountStatz {
	if f.hold != nil {
		<-f.hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counted++
	z := &monitor.AccountStatz{ID: id}
	for name, n := range f.accs {
		if (len(o.Accounts) == 0 || slices.Contains(o.Accounts, name)) && (n > 0 || o.IncludeUnused) {
			z.Accounts = append(z.Accounts, monitor.AccountStat{Account: name, Conns: n, TotalConns: n})
		}
	}
	return z
}

func (f *fake) Healthz(monitor.HealthzOptions) *monitor.Health {
	return &monitor.Health{Status: "ok", Code: 200}
}

func (f *fake) Reload() error { f.reloads++; return nil }

func (f *fake) Kick(cid uint64) error {
	if cid != 7 {
		return event.ErrNoClient
	}
	f.kicked = append(f.kicked, cid)
	return nil
}

func (f *fake) LameDuck(cid uint64) error {
	if cid != 7 {
		return event.ErrNoClient
	}
	f.ducked = append(f.ducked, cid)
	return nil
}

// house is a Service with its accounts.
type house struct {
	*fake
	t        *testing.T
	service  *event.Service
	registry *account.Registry
	counters router.Counters
	system   *local.Peer
}

func newHouse(t *testing.T, specs ...string) *house {
	t.Helper()
	h := &house{t: t, fake: &fake{accs: map[string]int{"A": 1, "B": 2, "C": 0, "SYS": 1}}, registry: account.NewRegistry("SYS")}
	list := []account.Spec{{Name: "SYS", Limits: account.NoLimits}}
	for _, name := range append([]string{"A", "B", "C"}, specs...) {
		list = append(list, account.Spec{Name: name, Limits: account.NoLimits})
	}
	commit, err := h.registry.Prepare(list, "SYS")
	if err != nil {
		t.Fatal(err)
	}
	commit()
	h.registry.SetImplicit(event.Imports())
	h.system = h.peer("SYS")
	h.service, err = event.New(event.Options{
		Identity: event.Identity{ID: id, Name: "probe", Host: "127.0.0.1", Version: "2", Tags: []string{"a:b", "c"}},
		System:   h.registry.System(), Peer: h.peer("SYS"), Source: h.fake, Admin: h.fake,
		User: func(acc string, cid uint64) *event.UserInfo {
			return &event.UserInfo{User: fmt.Sprint("user ", cid), Account: acc}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.service.Close)
	return h
}

// peer returns a peer in the account acc, with the connection id 7.
func (h *house) peer(acc string) *local.Peer {
	p := local.New(h.registry.Get(acc), "test", 0, &h.counters)
	p.Origin().CID = 7
	return p
}

// ask sends a request and returns the answers that come before that to another.
func (h *house) ask(p *local.Peer, subj, header, body string) (answers []string) {
	h.t.Helper()
	inbox, got := "_INBOX.test", make(chan *wire.Msg, 100)
	sub, err := p.Subscribe(inbox+".*", "", 0, func(m *wire.Msg) { got <- m })
	if err != nil {
		h.t.Fatal(err)
	}
	defer sub.Close()
	m := &wire.Msg{Subject: []byte(subj), Reply: []byte(inbox + ".answer"), Data: []byte(header + body), HdrLen: len(header)}
	if p.Publish(m) == 0 {
		return []string{"no responders"}
	}
	p.Publish(&wire.Msg{Subject: []byte("$SYS.REQ.USER.INFO"), Reply: []byte(inbox + ".end")})
	for m := range got {
		if strings.HasSuffix(string(m.Subject), ".end") {
			return answers
		}
		answers = append(answers, string(m.Payload()))
	}
	return answers
}

// data returns the data of the one answer to a request.
func (h *house) data(p *local.Peer, subj, header, body string) string {
	h.t.Helper()
	all := h.ask(p, subj, header, body)
	if len(all) != 1 {
		return fmt.Sprint(all)
	}
	var v struct {
		Server, Data, Error json.RawMessage
	}
	if err := json.Unmarshal([]byte(all[0]), &v); err != nil {
		return all[0]
	}
	if v.Server == nil {
		return all[0]
	}
	return string(v.Data) + string(v.Error)
}

// TestWhoAsks says what each account is told, whatever it claims to be.
func TestWhoAsks(t *testing.T) {
	h := newHouse(t, "PING", "INFO")
	forged := "NATS/1.0\r\nNats-Request-Info: {\"acc\":\"B\",\"id\":9}\r\n\r\n"
	for _, tt := range []struct{ who, subject, header, body, want string }{
		{"SYS", "$SYS.REQ.ACCOUNT.PING.STATZ", "", "", `A B SYS`},
		{"SYS", "$SYS.REQ.ACCOUNT.PING.STATZ", "", `{"accounts":["A","C"]}`, `A`},
		{"SYS", "$SYS.REQ.ACCOUNT.PING.STATZ", "", `{"include_unused":true}`, `A B C SYS`},
		{"SYS", "$SYS.REQ.ACCOUNT.A.STATZ", forged, `{"accounts":["B"]}`, `A`},
		{"SYS", "$SYS.REQ.ACCOUNT.C.STATZ", "", "", ""},
		{"A", "$SYS.REQ.ACCOUNT.PING.STATZ", "", "", `A`},
		{"A", "$SYS.REQ.ACCOUNT.PING.STATZ", forged, `{"accounts":["B","SYS"]}`, `A`},
		{"A", "$SYS.REQ.ACCOUNT.PING.STATZ", "", `{"accounts":["B"],"include_unused":true}`, `A`},
		{"A", "$SYS.REQ.ACCOUNT.B.STATZ", "", "", "no responders"},
		{"A", "$SYS.REQ.SERVER.PING", "", "", "no responders"},
		// An account called like what stands for all.
		{"PING", "$SYS.REQ.ACCOUNT.PING.STATZ", "", `{"include_unused":true}`, ""},
		{"PING", "$SYS.REQ.ACCOUNT.PING.STATZ", forged, "", ""},
	} {
		t.Run(tt.who+" "+tt.subject+" "+tt.body, func(t *testing.T) {
			all := h.ask(h.peer(tt.who), tt.subject, tt.header, tt.body)
			var got []string
			for _, a := range all {
				var v struct {
					Data struct {
						Stats []struct {
							Account string `json:"acc"`
						} `json:"account_statz"`
					} `json:"data"`
				}
				if json.Unmarshal([]byte(a), &v) != nil {
					got = append(got, a)
				}
				for _, s := range v.Data.Stats {
					got = append(got, s.Account)
				}
			}
			slices.Sort(got)
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("is told %q, want %q", g, tt.want)
			}
		})
	}
	for _, tt := range []struct{ who, subject, header, body, want string }{
		{"A", "$SYS.REQ.ACCOUNT.PING.CONNZ", forged, `{"acc":"B"}`, `"account":"A"`},
		{"A", "$SYS.REQ.SERVER.PING.CONNZ", forged, `{"acc":"B"}`, `"account":"A"`},
		{"SYS", "$SYS.REQ.SERVER.PING.CONNZ", "", `{"acc":"B"}`, `"account":"B"`},
		{"SYS", "$SYS.REQ.ACCOUNT.A.CONNZ", forged, `{"acc":"B"}`, `"account":"A"`},
		{"SYS", "$SYS.REQ.ACCOUNT.A.SUBSZ", "", `{"account":"B"}`, `"account":"A"`},
		{"A", "$SYS.REQ.USER.INFO", forged, "", `{"user":"user 7","account":"A"}`},
		{"A", "$SYS.REQ.USER.B.INFO", "", "", "no responders"},
		{"SYS", "$SYS.REQ.USER.INFO", forged, "", `{"user":"user 7","account":"SYS"}`},
		{"SYS", "$SYS.REQ.USER.B.INFO", forged, "", `{"user":"","account":""}`},
		{"SYS", "$SYS.REQ.USER.SYS.INFO", "", "", `{"user":"","account":""}`},
		{"INFO", "$SYS.REQ.USER.INFO", forged, "", `{"user":"user 7","account":"INFO"}`},
	} {
		if got := h.data(h.peer(tt.who), tt.subject, tt.header, tt.body); !strings.Contains(got, tt.want) {
			t.Errorf("%s asks %s %s and is told %s, want %s", tt.who, tt.subject, tt.body, got, tt.want)
		}
	}
}

func TestRequests(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct{ subject, body, want string }{
		{"$SYS.REQ.SERVER.PING.VARZ", "", `"server_id":"NSERVER"`},
		{"$SYS.REQ.SERVER." + id + ".VARZ", "", `"server_id":"NSERVER"`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"sort":"bad"}`, `null{"code":500,"description":"invalid sorting option: bad"}`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"sort":1}`, `{"code":400,`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `x`, `{"code":400,"description":"invalid character 'x' looking for beginning of value"}`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"server_name":"other"}`, `[]`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"server_name":"rob","tags":["C","a:b"],"host":"127"}`, `"server_id"`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"server_name":"rob","exact_match":true}`, `[]`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"tags":["c","d"]}`, `[]`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"cluster":"x"}`, `[]`},
		{"$SYS.REQ.SERVER.PING.CONNZ", `{"domain":"x"}`, `[]`},
		{"$SYS.REQ.SERVER.PING.IDZ", "x", `{"name":"probe","host":"127.0.0.1","id":"NSERVER"}`},
		{"$SYS.REQ.SERVER.PING.RELOAD", "", `no responders`},
		{"$SYS.REQ.SERVER.PING.NOPE", "", `no responders`},
		{"$SYS.REQ.SERVER." + id + ".KICK", `{"cid":8}`, `{"code":500,"description":"no such client or leafnode id"}`},
		{"$SYS.REQ.SERVER." + id + ".KICK", ``, `[]`},
		{"$SYS.REQ.SERVER." + id + ".KICK", `x`, `[]`},
		{"$SYS.REQ.SERVER." + id + ".KICK", `{"cid":7}`, ``},
		{"$SYS.REQ.SERVER." + id + ".LDM", `{"cid":8}`, `{"code":500,"description":"no such client id"}`},
		{"$SYS.REQ.SERVER." + id + ".LDM", `{"cid":7}`, ``},
		{"$SYS.REQ.ACCOUNT.NOPE.INFO", "", `null{"code":500,"description":"Account NOPE does not exist"}`},
		{"$SYS.REQ.ACCOUNT.A.JSZ", "", `null{"code":500,"description":"jetstream not enabled"}`},
		{"$SYS.REQ.ACCOUNT.NSUBS", `{"acc":"A","subject":"a.*"}`, `2`},
		{"$SYS.REQ.ACCOUNT.NSUBS", `{"acc":"A","subject":"a.*","queue":"cQ=="}`, `1`},
		{"$SYS.REQ.ACCOUNT.NSUBS", `{"acc":"NOPE","subject":"a.*"}`, `[]`},
		{"$SYS.REQ.ACCOUNT.NSUBS", `x`, `[]`},
		{"$SYS.REQ.ACCOUNT.C.CONNS", ``, `[]`},
		{"$SYS.REQ.CLAIMS.LIST", ``, `no responders`},
	} {
		if got := h.data(h.system, tt.subject, "", tt.body); got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s %s: %s, want %s", tt.subject, tt.body, got, tt.want)
		}
	}
	if !slices.Equal(h.kicked, []uint64{7}) || !slices.Equal(h.ducked, []uint64{7}) || h.reloads != 0 {
		t.Errorf("kicked %v, lame duck to %v, %d reloads", h.kicked, h.ducked, h.reloads)
	}
}

// TestReload has the configuration loaded anew, once: another body than JSON is
// refused, and another server may be meant.
func TestReload(t *testing.T) {
	h := newHouse(t)
	got := make(chan string, 10)
	sub, err := h.system.Subscribe("_INBOX.reload", "", 0, func(m *wire.Msg) { got <- string(m.Payload()) })
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for _, body := range []string{`x`, `{"server_name":"other"}`, ``} {
		h.system.Publish(&wire.Msg{Subject: []byte("$SYS.REQ.SERVER." + id + ".RELOAD"), Reply: []byte("_INBOX.reload"), Data: []byte(body)})
	}
	if a := <-got; !strings.Contains(a, `"code":400`) {
		t.Errorf("a body that is no JSON is answered with %s", a)
	}
	if a := <-got; strings.Contains(a, "error") || strings.Contains(a, "data") || !strings.Contains(a, `"id":"NSERVER"`) {
		t.Errorf("a reload is answered with %s", a)
	}
	if h.reloads != 1 {
		t.Errorf("%d reloads, want 1", h.reloads)
	}
}

// TestReplyInSystem has answers asked for on subjects where they would be
// requests or events.
func TestReplyInSystem(t *testing.T) {
	h := newHouse(t)
	seen := make(chan string, 10)
	sub, err := h.system.Subscribe("$SYS.ACCOUNT.>", "", 0, func(m *wire.Msg) { seen <- string(m.Subject) })
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"$SYS.REQ.SERVER." + id + ".RELOAD", "$SYS.ACCOUNT.A.CONNECT"} {
		h.system.Publish(&wire.Msg{Subject: []byte("$SYS.REQ.SERVER.PING.IDZ"), Reply: []byte(reply)})
	}
	h.ask(h.system, "$SYS.REQ.SERVER.PING.IDZ", "", "") // all before it was answered
	h.service.Close()
	sub.Close()
	if len(seen) > 0 || h.reloads > 0 {
		t.Errorf("%d events and %d reloads came of it", len(seen), h.reloads)
	}
}

func described() event.Client { return event.Client{ID: 9, Account: "A", Kind: "Client"} }

func TestEventsAreFreeWithoutInterest(t *testing.T) {
	h := newHouse(t)
	told := func() { t.Error("a session was described for nobody") }
	h.service.Connected("A", func() event.Client { told(); return described() })
	h.service.Disconnected("A", true, func() event.Ended { told(); return event.Ended{} })
	h.service.Refused(func() event.Ended { told(); return event.Ended{} })
	h.service.Close()
	if h.counted > 0 {
		t.Errorf("accounts were counted %d times", h.counted)
	}
}

// TestEvents lets sessions come and go and reads what is published.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var mu sync.Mutex
		seen := map[string]map[string]any{}
		order := []string{}
		sub, err := h.system.Subscribe("$SYS.>", "", 0, func(m *wire.Msg) {
			mu.Lock()
			defer mu.Unlock()
			v := map[string]any{}
			json.Unmarshal(m.Payload(), &v)
			seen[string(m.Subject)] = v
			order = append(order, string(m.Subject))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		published := func() ([]string, map[string]map[string]any) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(order), maps.Clone(seen)
		}
		h.service.Connected("A", described)
		h.service.Disconnected("A", true, func() event.Ended {
			return event.Ended{Client: described(), Reason: "Client Closed", Sent: monitor.MsgBytes{Msgs: 1, Bytes: 2}}
		})
		h.service.Refused(func() event.Ended {
			return event.Ended{Client: event.Client{Account: "$G"}, Reason: "Authentication Failure"}
		})
		_, events := published()
		for subj, kind := range map[string]string{
			"$SYS.SERVER.ACCOUNT.A.CONNS":            "account_connections",
			"$SYS.ACCOUNT.A.SERVER.CONNS":            "account_connections",
			"$SYS.ACCOUNT.A.CONNECT":                 "client_connect",
			"$SYS.ACCOUNT.A.DISCONNECT":              "client_disconnect",
			"$SYS.SERVER." + id + ".CLIENT.AUTH.ERR": "client_disconnect",
		} {
			if got := events[subj]["type"]; got != "io.nats.server.advisory.v1."+kind {
				t.Errorf("%s is of type %v, want %s", subj, got, kind)
			}
		}
		time.Sleep(2 * time.Second) // of the bubble's clock
		h.service.LameDuck()
		h.service.Shutdown()
		all, _ := published()
		want := map[string]int{"$SYS.SERVER." + id + ".STATSZ": 2, "$SYS.SERVER." + id + ".LAMEDUCK": 1, "$SYS.SERVER." + id + ".SHUTDOWN": 1}
		for subj, n := range want {
			count := 0
			for _, o := range all {
				if o == subj {
					count++
				}
			}
			if count != n {
				t.Errorf("%d on %s, want %d", count, subj, n)
			}
		}
		time.Sleep(time.Minute) // STATSZ at 3.25, 7.25, 15.25, 25.25, ... 55.25; accounts at 30 and 60
		later, _ := published()
		statsz, conns := 0, 0
		for _, o := range later[len(all):] {
			switch {
			case strings.HasSuffix(o, ".STATSZ"):
				statsz++
			case strings.HasSuffix(o, ".SERVER.CONNS"):
				conns++
			}
		}
		if statsz != 7 || conns != 2*3 { // A, B and SYS are in use
			t.Errorf("%d STATSZ and %d CONNS within a minute, want 7 and 6", statsz, conns)
		}
		h.service.Close()
	})
}

// TestEventsDontBlock floods a service whose publisher is held up.
func TestEventsDontBlock(t *testing.T) {
	h := newHouse(t)
	h.hold = make(chan struct{})
	sub, err := h.system.Subscribe("$SYS.ACCOUNT.A.>", "", 0, func(*wire.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for range 10_000 {
		h.service.Connected("A", described)
	}
	if h.service.Dropped() == 0 {
		t.Error("nothing was dropped although nothing was published")
	}
	close(h.hold)
	h.service.Close()
	h.service.Connected("A", described) // after the end nothing happens
}

func TestNewRefuses(t *testing.T) {
	r := account.NewRegistry("SYS")
	var c router.Counters
	p := local.New(r.System(), "x", 0, &c)
	good := event.Options{Identity: event.Identity{ID: id}, System: r.System(), Peer: p, Source: &fake{}}
	for name, spoil := range map[string]func(*event.Options){
		"no system account": func(o *event.Options) { o.System = nil },
		"no peer":           func(o *event.Options) { o.Peer = nil },
		"no source":         func(o *event.Options) { o.Source = nil },
		"no id":             func(o *event.Options) { o.Identity.ID = "" },
		"negative interval": func(o *event.Options) { o.StatszInterval = -1 },
	} {
		o := good
		spoil(&o)
		if s, err := event.New(o); err == nil {
			s.Close()
			t.Errorf("%s is accepted", name)
		}
	}
}

// BenchmarkUnheard is what a session costs when nobody wants to know of it.
func BenchmarkUnheard(b *testing.B) {
	r := account.NewRegistry("SYS")
	var c router.Counters
	s, err := event.New(event.Options{Identity: event.Identity{ID: id}, System: r.System(), Peer: local.New(r.System(), "x", 0, &c), Source: &fake{}})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		s.Connected("A", described)
	}
}

// TestGuestsWait has an ordinary account ask more than can be answered: the
// system account does not notice.
func TestGuestsWait(t *testing.T) {
	h := newHouse(t)
	h.hold = make(chan struct{})
	guest := h.peer("A")
	for range 5000 {
		guest.Publish(&wire.Msg{Subject: []byte("$SYS.REQ.ACCOUNT.PING.STATZ"), Reply: []byte("_INBOX.x")})
	}
	if h.service.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	if got := h.data(h.system, "$SYS.REQ.SERVER.PING.VARZ", "", ""); !strings.Contains(got, id) {
		t.Errorf("the system account is told %q", got)
	}
	close(h.hold)
}
