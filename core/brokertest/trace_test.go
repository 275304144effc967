package brokertest_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/brokertest/natstest"
)

const traceConfig = `
server_name: n1
accounts {
  A: { users: [{user: a, password: p}, {user: lim, password: p, permissions: {publish: {deny: ["no.>"]}, subscribe: {deny: "news.d"}}}]
       exports: [{service: "svc", allow_trace: true}, {service: "svc2"}, {stream: "news.>"},
                 {service: "lat", latency: {sampling: 100, subject: "metrics"}},
                 {service: "lath", latency: {sampling: headers, subject: "metrics"}},
                 {service: "late", latency: {sampling: 100, subject: "metrics"}, threshold: "1s"}]
       mappings: {"m.src": "m.dst"} }
  B: { users: [{user: b, password: p}]
       msg_trace: "tr.acc"
       imports: [{service: {account: A, subject: "svc"}, to: plus}, {service: {account: A, subject: "svc2"}},
                 {service: {account: A, subject: "lat"}}, {service: {account: A, subject: "lath"}, share: true}, {service: {account: A, subject: "late"}}] }
  C: { users: [{user: c, password: p}]
       imports: [{stream: {account: A, subject: "news.>"}, prefix: imp, allow_trace: true}] }
  D: { users: [{user: d, password: p}]
       imports: [{stream: {account: A, subject: "news.>"}}] }
}
`

// dialUser connects as one of the users of a configuration.
func dialUser(t *testing.T, addr, user string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(addr, nats.UserInfo(user, "p"), nats.Name("n"+user), nats.NoReconnect())
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// normal takes out of JSON what differs from run to run, and brings the events of
// several receivers into an order.
func normal(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var v map[string]any
	must(t, json.Unmarshal(data, &v))
	var walk func(any)
	walk = func(x any) {
		switch x := x.(type) {
		case map[string]any:
			for k, e := range x {
				switch k {
				case "id", "ts", "time", "timestamp", "start", "seq", "cid", "rtt", "service", "system", "total", "host", "server":
					x[k] = fmt.Sprintf("%T", e)
				default:
					walk(e)
				}
			}
		case []any:
			for _, e := range x {
				walk(e)
			}
		}
	}
	walk(v)
	if events, ok := v["events"].([]any); ok {
		// Who comes first of several receivers is chance.
		slices.SortFunc(events, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return v
}

// onBoth runs f against a nats-server and against Ganglion and compares what it
// returns.
func onBoth(t *testing.T, conf string, f func(t *testing.T, addr string) []map[string]any) {
	t.Helper()
	want := f(t, "nats://"+natstest.StartNATS(t, conf))
	got := f(t, "nats://"+startGanglion(t, conf))
	if len(got) != len(want) {
		t.Fatalf("%d messages, nats-server sends %d\nGanglion    %v\nnats-server %v", len(got), len(want), got, want)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			g, _ := json.Marshal(got[i])
			w, _ := json.Marshal(want[i])
			t.Errorf("message %d\nGanglion    %s\nnats-server %s", i, g, w)
		}
	}
}

// TestMessageTracing: what a trace says of a message's way through mappings,
// accounts and permissions is what nats-server says.
func TestMessageTracing(t *testing.T) {
	type header = map[string]string
	dest := header{"Nats-Trace-Dest": "tr.x"}
	with := func(more ...string) header {
		h := header{"Nats-Trace-Dest": "tr.x"}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"
	rows := []struct {
		name, user, subject string
		header              header
		delivered           bool // to somebody
		trace               bool
	}{
		{"mapping and queue group", "a", "m.src", dest, true, true},
		{"only a trace", "a", "m.src", with("Nats-Trace-Only", "true"), false, true},
		{"nobody", "a", "none", dest, false, true},
		{"service that allows traces", "b", "plus", dest, true, true},
		{"service, only a trace", "b", "plus", with("Nats-Trace-Only", "1"), false, true},
		{"service that does not", "b", "svc2", dest, true, true},
		{"streams with and without", "a", "news.x", dest, true, true},
		{"denied receiver", "a", "news.d", dest, true, true},
		{"denied publisher", "lim", "no.way", dest, false, true},
		{"trace parent, sampled", "b", "plus", header{"traceparent": parent + "1"}, true, true},
		{"trace parent, not sampled", "b", "plus", header{"traceparent": parent + "0"}, true, false},
		{"trace parent where the account has no destination", "a", "m.src", header{"traceparent": parent + "1"}, true, false},
		{"disabled", "a", "m.src", header{"Nats-Trace-Dest": "trace disabled"}, true, false},
	}
	onBoth(t, traceConfig, func(t *testing.T, addr string) (all []map[string]any) {
		conns := map[string]*nats.Conn{}
		for _, u := range []string{"a", "b", "c", "d", "lim"} {
			conns[u] = dialUser(t, addr, u)
		}
		got := make(chan *nats.Msg, 100)
		for _, s := range [][3]string{{"a", "m.*"}, {"a", "m.*", "q"}, {"a", "svc"}, {"a", "svc2"}, {"c", "imp.>"}, {"d", "news.>"}, {"lim", "news.*"}} {
			_, err := conns[s[0]].ChanQueueSubscribe(s[1], s[2], got)
			must(t, err)
		}
		traces := map[string]*nats.Subscription{}
		for _, u := range []string{"a", "b", "lim"} {
			if u == "lim" { // in the account of a
				traces[u] = traces["a"]
				continue
			}
			sub, err := conns[u].SubscribeSync("tr.>")
			must(t, err)
			traces[u] = sub
		}
		for _, nc := range conns {
			must(t, nc.Flush())
		}
		for _, r := range rows {
			m := nats.NewMsg(r.subject)
			m.Data = []byte("hi")
			for k, v := range r.header {
				m.Header[k] = []string{v}
			}
			must(t, conns[r.user].PublishMsg(m))
			must(t, conns[r.user].Flush())
			for _, nc := range conns {
				must(t, nc.Flush())
			}
			tr := map[string]any{"row": r.name}
			if r.trace {
				msg, err := traces[r.user].NextMsg(5 * time.Second)
				if err != nil {
					t.Fatalf("%s on %s: no trace: %v", r.name, addr, err)
				}
				tr["subject"], tr["trace"] = msg.Subject, normal(t, msg.Data)
			}
			for _, s := range traces {
				if n, _, err := s.Pending(); err != nil || n > 0 {
					t.Fatalf("%s on %s: %d traces too many", r.name, addr, n)
				}
			}
			var seen []string
			for len(got) > 0 {
				x := <-got
				d := x.Header.Get("Nats-Trace-Dest")
				if strings.HasPrefix(d, "_R_.") {
					d = "_R_"
				}
				seen = append(seen, x.Subject+" "+d)
			}
			slices.Sort(seen)
			if (len(seen) > 0) != r.delivered {
				t.Errorf("%s on %s: delivered %v", r.name, addr, seen)
			}
			tr["seen"] = seen
			all = append(all, tr)
		}
		return all
	})
}

// TestServiceLatency: how long a service took is published as nats-server does,
// sampled always, by header, and for answers that don't come.
func TestServiceLatency(t *testing.T) {
	onBoth(t, traceConfig, func(t *testing.T, addr string) (all []map[string]any) {
		a, b := dialUser(t, addr, "a"), dialUser(t, addr, "b")
		for _, s := range []string{"lat", "lath"} {
			_, err := a.Subscribe(s, func(m *nats.Msg) { m.Respond([]byte("ok")) })
			must(t, err)
		}
		_, err := a.Subscribe("late", func(*nats.Msg) {})
		must(t, err)
		metrics, err := a.SubscribeSync("metrics")
		must(t, err)
		must(t, a.Flush())
		for _, r := range []struct {
			subject, header, value string
			answered               bool
			metric                 bool
		}{
			{"lat", "", "", true, true},
			{"lath", "X-B3-Sampled", "1", true, true},
			{"lath", "X-B3-Sampled", "0", true, false},
			{"lath", "Uber-Trace-Id", "479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:1", true, true},
			{"lath", "Uber-Trace-Id", "479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:0", true, false},
			{"lath", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true, true},
			{"lath", "", "", true, false},
			{"late", "", "", false, true},
		} {
			m := nats.NewMsg(r.subject)
			if r.header != "" {
				m.Header[r.header] = []string{r.value}
			}
			wait := 5 * time.Second
			if !r.answered {
				wait = 100 * time.Millisecond
			}
			if _, err := b.RequestMsg(m, wait); (err == nil) != r.answered {
				t.Fatalf("%s %s on %s: %v", r.subject, r.header, addr, err)
			}
			must(t, a.Flush())
			row := map[string]any{"row": r.subject + " " + r.header + " " + r.value}
			if r.metric {
				msg, err := metrics.NextMsg(10 * time.Second)
				if err != nil {
					t.Fatalf("%s %s on %s: no metric: %v", r.subject, r.header, addr, err)
				}
				row["metric"] = normal(t, msg.Data)
			} else if n, _, _ := metrics.Pending(); n > 0 {
				t.Errorf("%s %s on %s: a metric", r.subject, r.header, addr)
			}
			all = append(all, row)
		}
		return all
	})
}
