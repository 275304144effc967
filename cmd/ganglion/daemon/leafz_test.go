package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"testing"

	"ganglion/core/brokertest/natstest"
)

// TestLeafzShape compares what the two ends of a link say of it, a nats-server and
// us: every key of nats-server's, with the same kind of value.
func TestLeafzShape(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	leafs := ln.Addr().String()
	ln.Close()
	_, url := natstest.StartNATSMonitored(t, `server_name: CORE, leafnodes { listen: "`+leafs+`" }`)
	edge := launch(t, t.TempDir(), `server_name: EDGE, host: "127.0.0.1", port: -1, http: "127.0.0.1:-1", leafnodes { remotes: [ { url: "nats-leaf://`+leafs+`", request_isolation: true } ] }`)
	fetch := func(base, page string) (v map[string]any) {
		t.Helper()
		r, err := http.Get(base + page)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	own := "http://" + edge.MonitorAddr().String()
	ready := func(base string) bool {
		list := fetch(base, "/leafz?subs=1")["leafs"].([]any)
		if len(list) != 1 {
			return false
		}
		l := list[0].(map[string]any)
		return l["rtt"] != nil && l["subscriptions_list"] != nil
	}
	until(t, "both ends to know the link", func() bool { return ready(url) && ready(own) })
	same(t, "leafz", fetch(url, "/leafz?subs=1"), fetch(own, "/leafz?subs=1"))
	if n := fetch(own, "/varz")["leafnodes"]; n != 1.0 {
		t.Errorf("/varz says %v leafnodes", n)
	}
}

// same reports keys of want that got lacks, or has another kind of value for.
func same(t *testing.T, path string, want, got any) {
	t.Helper()
	if x, y := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); x != y {
		t.Errorf("%s is of type %s, nats-server's of %s", path, y, x)
		return
	}
	switch w := want.(type) {
	case map[string]any:
		for k, v := range w {
			same(t, path+"."+k, v, got.(map[string]any)[k])
		}
	case []any:
		if g := got.([]any); len(w) > 0 && len(g) > 0 {
			same(t, path+"[0]", w[0], g[0])
		}
	}
}
