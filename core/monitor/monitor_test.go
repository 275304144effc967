package monitor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ganglion/core/monitor"
)

// fake is a Source with four connections in two accounts.
type fake struct{ ill error }

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (fake) ID() string          { return "NX" }
func (fake) Varz() *monitor.Varz { return &monitor.Varz{ID: "NX", Connections: 3} }

func (fake) Conns(q monitor.ConnQuery) (list []monitor.ConnInfo) {
	stop := began.Add(time.Minute)
	for _, c := range []monitor.ConnInfo{
		{CID: 1, Account: "A", User: "ann", JWT: "eyJ", IssuerKey: "AK", Tags: []string{"t"}, NameTag: "acc a", InMsgs: 5,
			AllSubs: []monitor.SubDetail{{Subject: "a.>", Account: "A", SID: "2"}, {Subject: "a", Account: "A", SID: "1"}}},
		{CID: 2, Account: "A", User: "abe", InMsgs: 9},
		{CID: 3, Account: "$G", InMsgs: 1},
		{CID: 4, Account: "B", Stop: &stop, Reason: "Client Closed"},
	} {
		c.Start = began
		if (q.Open && c.Stop == nil || q.Closed && c.Stop != nil) && (q.Account == "" || q.Account == c.Account) && (q.CID == 0 || q.CID == c.CID) {
			list = append(list, c)
		}
	}
	return list
}

func (f fake) NumConns(q monitor.ConnQuery) int { q.CID = 0; return len(f.Conns(q)) }

func (fake) SublistStats(acc string) *monitor.Subsz {
	return &monitor.Subsz{NumSubs: map[string]int{"": 3, "A": 2}[acc]}
}

func (fake) Subscriptions(acc, test string) (list []monitor.SubDetail) {
	for _, s := range []monitor.SubDetail{{Account: "B", Subject: "b"}, {Account: "A", Subject: "a.>"}, {Account: "A", Subject: "a"}} {
		if (acc == "" || acc == s.Account) && (test == "" || test == s.Subject) {
			list = append(list, s)
		}
	}
	return list
}

func (fake) ValidLiteral(s string) bool { return !strings.ContainsAny(s, "*>") }
func (fake) Links(subs bool) []monitor.LeafInfo {
	list := []monitor.LeafInfo{{CID: 9, Name: "L2", Account: "B"}, {CID: 7, Name: "L1", Account: "A", IsSpoke: true}}
	if subs {
		list[1].Subs = []string{"b", "a"}
	}
	return list
}

func (fake) Remotes() []monitor.LeafRemote {
	return []monitor.LeafRemote{{URL: "nats-leaf://h:7422", Account: "A", State: "waiting", LastError: "no"}}
}
func (f fake) Healthy() error       { return f.ill }
func (fake) SystemAccount() string  { return "SYS" }
func (fake) AccountNames() []string { return []string{"$G", "A", "B", "SYS"} }

func (fake) Account(name string) *monitor.AccountInfo {
	if name != "A" {
		return nil
	}
	return &monitor.AccountInfo{Name: name, Complete: true}
}

func (fake) AccountStats(names []string) (list []monitor.AccountStat) {
	for name, n := range map[string]int{"A": 2, "B": 0} {
		if names == nil || slices.Contains(names, name) {
			list = append(list, monitor.AccountStat{Account: name, Conns: n, TotalConns: n})
		}
	}
	return list
}

// cids returns which connections z shows.
func cids(z *monitor.Connz) string {
	var ids []string
	for _, c := range z.Conns {
		ids = append(ids, fmt.Sprint(c.CID))
	}
	return strings.Join(ids, " ")
}

func TestConnz(t *testing.T) {
	v := monitor.NewViews(fake{})
	for _, tt := range []struct{ options, want string }{
		{`{}`, "1 2 3 of 3"},
		{`{"sort":"msgs_from"}`, "2 1 3 of 3"},
		{`{"state":1}`, "4 of 1"},
		{`{"state":2}`, "1 2 3 4 of 4"},
		{`{"state":7}`, " of 0"},
		{`{"acc":"A"}`, "1 2 of 2"},
		{`{"acc":"NOPE"}`, " of 0"},
		{`{"acc":"A","user":"abe"}`, "2 of 2"},
		{`{"user":"abe"}`, "2 of 3"},
		{`{"cid":3}`, "3 of 3"},
		{`{"offset":1,"limit":1}`, "2 of 3"},
		{`{"offset":-1,"limit":-1}`, "1 2 3 of 3"},
		{`{"mqtt_client":"x"}`, " of 3"},
		{`{"acc":"A","filter_subject":"a.b"}`, "1 of 2"},
		{`{"acc":"A","filter_subject":"b"}`, " of 2"},
		{`{"acc":"A","filter_subject":"b..c"}`, " of 2"},
		{`{"filter_subject":"a"}`, "filter by subject only valid with account filtering"},
		{`{"sort":"nope"}`, "invalid sorting option: nope"},
		{`{"sort":"stop"}`, "sort by stop only valid on closed connections"},
		{`{"sort":"reason","state":2}`, "sort by reason only valid on closed connections"},
	} {
		var o monitor.ConnzOptions
		if err := json.Unmarshal([]byte(tt.options), &o); err != nil {
			t.Fatal(err)
		}
		got := ""
		if z, err := v.Connz(o); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s of %d", cids(z), z.Total)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.options, got, tt.want)
		}
	}
}

// TestAuthShown says who is told who the connections are.
func TestAuthShown(t *testing.T) {
	v := monitor.NewViews(fake{})
	z, err := v.Connz(monitor.ConnzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(z.Conns)
	for _, secret := range []string{"ann", "eyJ", `"AK"`, "tags", "name_tag", "account"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("without auth %s is shown: %s", secret, b)
		}
	}
	if z, err = v.Connz(monitor.ConnzOptions{Auth: true, State: monitor.ConnAll, SubsDetail: true}); err != nil {
		t.Fatal(err)
	}
	b, _ = json.Marshal(z.Conns[0])
	const want = `"authorized_user":"ann","account":"A","subscriptions_list_detail":[{"subject":"a","sid":"1","msgs":0,"cid":0},{"subject":"a.\u003e","sid":"2","msgs":0,"cid":0}],"jwt":"eyJ","issuer_key":"AK","name_tag":"acc a","tags":["t"]`
	if !strings.Contains(string(b), want) {
		t.Errorf("got %s, want %s", b, want)
	}
	for i, tag := range []string{"acc a", "A", "$G", "B"} {
		if c := z.Conns[i]; c.NameTag != tag || (c.Account == "") != (tag == "$G") {
			t.Errorf("connection %d has name tag %q and account %q, want tag %q", c.CID, c.NameTag, c.Account, tag)
		}
	}
}

func TestAccountz(t *testing.T) {
	v := monitor.NewViews(fake{})
	z, err := v.Accountz(monitor.AccountzOptions{})
	if err != nil || z.SystemAccount != "SYS" || len(z.Accounts) != 4 || z.Account != nil {
		t.Errorf("all: %+v %v", z, err)
	}
	if z, err = v.Accountz(monitor.AccountzOptions{Account: "A"}); err != nil || z.Account == nil || z.Accounts != nil {
		t.Errorf("A: %+v %v", z, err)
	}
	if _, err = v.Accountz(monitor.AccountzOptions{Account: "NOPE"}); err == nil || err.Error() != "Account NOPE does not exist" {
		t.Errorf("NOPE: %v", err)
	}
	for _, tt := range []struct {
		o monitor.AccountStatzOptions
		n int
	}{
		{monitor.AccountStatzOptions{}, 1}, {monitor.AccountStatzOptions{IncludeUnused: true}, 2},
		{monitor.AccountStatzOptions{Accounts: []string{"B"}}, 0}, {monitor.AccountStatzOptions{Accounts: []string{"B"}, IncludeUnused: true}, 1},
	} {
		if z := v.AccountStatz(tt.o); len(z.Accounts) != tt.n || z.Accounts == nil {
			t.Errorf("%+v: %d accounts, want %d", tt.o, len(z.Accounts), tt.n)
		}
	}
}

func TestSubsz(t *testing.T) {
	v := monitor.NewViews(fake{})
	for _, tt := range []struct {
		o           monitor.SubszOptions
		num, total  int
		shown, fail string
	}{
		{o: monitor.SubszOptions{}, num: 3},
		{o: monitor.SubszOptions{Account: "A"}, num: 2},
		{o: monitor.SubszOptions{Subs: true}, num: 3, total: 3, shown: "a a.> b"},
		{o: monitor.SubszOptions{Subs: true, Account: "A", Offset: 1, Limit: 5}, num: 2, total: 2, shown: "a.>"},
		{o: monitor.SubszOptions{Subs: true, Test: "b"}, num: 3, total: 1, shown: "b"},
		{o: monitor.SubszOptions{Test: "b.*"}, fail: "invalid test subject, must be valid publish subject: b.*"},
	} {
		z, err := v.Subsz(tt.o)
		if err != nil {
			if err.Error() != tt.fail {
				t.Errorf("%+v: %v, want %q", tt.o, err, tt.fail)
			}
			continue
		}
		var shown []string
		for _, s := range z.Subs {
			shown = append(shown, s.Subject)
		}
		if got := strings.Join(shown, " "); z.NumSubs != tt.num || z.Total != tt.total || got != tt.shown || tt.fail != "" {
			t.Errorf("%+v: %d, %d of them %q", tt.o, z.NumSubs, z.Total, got)
		}
	}
}

// TestHealthz asks with and without HTTP: the status code is shown without.
func TestHealthz(t *testing.T) {
	for _, tt := range []struct {
		ill    error
		query  string
		o      monitor.HealthzOptions
		status int
		want   string
	}{
		{nil, "", monitor.HealthzOptions{}, 200, `{"status":"ok"}`},
		{errors.New("down"), "", monitor.HealthzOptions{}, 503, `{"status":"unavailable","error":"down"}`},
		{errors.New("down"), "?details=1", monitor.HealthzOptions{Details: true}, 503, `{"status":"error","errors":[{"type":"CONNECTION","error":"down"}]}`},
		{nil, "?stream=S", monitor.HealthzOptions{Stream: "S"}, 400, `{"status":"error","error":"\"account\" must not be empty when checking stream health"}`},
	} {
		w := httptest.NewRecorder()
		h := monitor.New(fake{tt.ill}, monitor.Options{})
		h.ServeHTTP(w, httptest.NewRequest("GET", "/healthz"+tt.query, nil))
		if w.Code != tt.status || w.Body.String() != tt.want {
			t.Errorf("/healthz%s: %d %s, want %d %s", tt.query, w.Code, w.Body, tt.status, tt.want)
		}
		b, _ := json.Marshal(h.Healthz(tt.o))
		want := strings.Replace(tt.want, `,"e`, fmt.Sprintf(`,"status_code":%d,"e`, tt.status), 1)
		if tt.status == 200 {
			want = `{"status":"ok","status_code":200}`
		}
		if string(b) != want {
			t.Errorf("%+v: %s, want %s", tt.o, b, want)
		}
	}
}

// TestAuthorize has everything closed to those who may not see it.
func TestAuthorize(t *testing.T) {
	h := monitor.New(fake{}, monitor.Options{BasePath: "/m", Authorize: func(r *http.Request) bool {
		user, pass, ok := r.BasicAuth()
		return ok && user == "ann" && pass == "pw"
	}})
	for _, path := range []string{"/m/", "/m/varz", "/m/connz?auth=1", "/m/accountz", "/m/accstatz", "/m/healthz", "/m/metrics", "/m/stacksz", "/other"} {
		for _, tt := range []struct {
			pass string
			want bool
		}{{"", false}, {"wrong", false}, {"pw", true}} {
			r := httptest.NewRequest("GET", path, nil)
			if tt.pass != "" {
				r.SetBasicAuth("ann", tt.pass)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if in := w.Code != http.StatusUnauthorized; in != tt.want {
				t.Errorf("%s with password %q: status %d", path, tt.pass, w.Code)
			}
			if !tt.want && (!strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") || strings.Contains(w.Body.String(), "NX")) {
				t.Errorf("%s: header %v, body %s", path, w.Header(), w.Body)
			}
		}
	}
}

// TestParameters has HTTP parameters and options say the same.
func TestParameters(t *testing.T) {
	h := monitor.New(fake{}, monitor.Options{})
	web := httptest.NewServer(h)
	defer web.Close()
	for path, want := range map[string]string{
		"/connz?acc=A&auth=1&subs=detail&limit=1": `"authorized_user": "ann"`,
		"/connz?state=closed":                     `"cid": 4`,
		"/connz?sort=x":                           "invalid sorting option: x",
		"/connz?limit=x":                          "Error decoding int for 'limit'",
		"/subsz?acc=A":                            `"num_subscriptions": 2`,
		"/leafz":                                  `"leafnodes": 2`,
		"/leafz?acc=B":                            `"leafnodes": 1`,
		"/leafz?acc=NOPE":                         `"leafs": []`,
		"/leafz?acc=A":                            `"last_error": "no"`,
		"/leafz?subs=1":                           "\"subscriptions_list\": [\n        \"a\",\n        \"b\"\n      ]",
		"/leafz?subs=x":                           "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"x\": invalid syntax",
		"/accountz":                               `"system_account": "SYS"`,
		"/accountz?acc=A":                         `"account_name": "A"`,
		"/accountz?acc=NOPE":                      "Account NOPE does not exist",
		"/accstatz?unused=1":                      `"acc": "B"`,
		"/accstatz?unused=x":                      `Error decoding boolean for 'unused': strconv.ParseBool: parsing "x": invalid syntax`,
	} {
		r, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if !strings.Contains(string(b), want) {
			t.Errorf("%s: %s, want %s", path, b, want)
		}
	}
	if n := h.Varz().HTTPReqStats["/accountz"]; n != 3 {
		t.Errorf("/accountz was asked for %d times, want 3", n)
	}
}
