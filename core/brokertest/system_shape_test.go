package brokertest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

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
	".data.System sendQ":                "queues are the implementation's",
	".data.responses":                   "answers that are owed at that moment",
	".data.SendQ":                       "queues are the implementation's",
	".data.System recvQ Pings":          "queues are the implementation's",
	".data.System recvQ Accounts":       "queues are the implementation's",
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

// volatile values are a matter of time, place or product.
var volatileValues = []string{
	"server_id", "id", "now", "time", "seq", "start", "stop", "uptime", "idle", "rtt", "port", "last_activity", "cid", "mem", "cpu", "go", "jwt", "http_host",
	"timestamp", "update_time", "config_load_time", "config_digest", "http_port", "http_req_stats", "git_commit", "iat", "jti", "profile", "expires",
	"pending_bytes", "num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches", "cache_hit_rate", "max_fanout", "avg_fanout",
	"in_msgs", "out_msgs", "in_bytes", "out_bytes", "in_client_msgs", "out_client_msgs", "in_client_bytes", "out_client_bytes", "msgs", "bytes",
	"subscriptions", "total_connections", "memstats", "cmdline", "subscriptions_list", "System recvQ", "authorized_user",
	"weight", // nats-server shows running sums
}

// values collects the values of v by their paths, as lists in order.
func values(v any, path string, into map[string][]string) {
	key := path[strings.LastIndexByte(path, '.')+1:]
	if slices.Contains(volatileValues, strings.TrimSuffix(key, "[]")) {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			values(e, path+"."+k, into)
		}
	case []any:
		for _, e := range v {
			values(e, path+"[]", into)
		}
	default:
		into[path] = append(into[path], fmt.Sprint(v))
		slices.Sort(into[path])
	}
}

// debugExport is a service of nats-server's that we don't have.
var debugExport = regexp.MustCompile(`\{\s*"subject": ?"\$SYS.DEBUG.SUBSCRIBERS",[^}]*\},?`)

// sameValues reports where the values of got and want, both JSON, differ.
func sameValues(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var g, w any
	for _, ours := range []*[]byte{&got, &want} {
		*ours = nullConns.ReplaceAll(*ours, []byte(`"connections":[]`))
	}
	if json.Unmarshal(got, &g) != nil || json.Unmarshal(debugExport.ReplaceAll(want, nil), &w) != nil {
		return
	}
	gv, wv := map[string][]string{}, map[string][]string{}
	values(g, "", gv)
	values(w, "", wv)
	for _, path := range slices.Sorted(maps.Keys(wv)) {
		if code, ok := wv[".error.code"]; ok && code[0] == "400" && path == ".error.description" {
			continue // names Go types
		}
		if path == ".data.total" && strings.Contains(strings.ToLower(what), "subsz") {
			continue // nats-server counts its own
		}
		if !slices.Equal(gv[path], wv[path]) && !allowedAt(path) {
			t.Errorf("%s: %s is %q, want %q", what, path, gv[path], wv[path])
		}
	}
}

// keyOrder returns the keys of the objects in body in the order in which they
// stand, by path; of a list's elements, those of the first.
func keyOrder(t *testing.T, body []byte) map[string][]string {
	t.Helper()
	orders := map[string][]string{}
	d := json.NewDecoder(bytes.NewReader(body))
	var walk func(path string)
	walk = func(path string) {
		tok, err := d.Token()
		must(t, err)
		switch tok {
		case json.Delim('{'):
			_, seen := orders[path]
			for d.More() {
				k, err := d.Token()
				must(t, err)
				if !seen {
					orders[path] = append(orders[path], k.(string))
				}
				walk(path + "." + k.(string))
			}
		case json.Delim('['):
			for d.More() {
				walk(path + "[]")
			}
		default:
			return
		}
		_, err = d.Token()
		must(t, err)
	}
	walk("")
	return orders
}

// sameOrder reports where keys that both have stand in another order.
func sameOrder(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !json.Valid(got) || !json.Valid(want) {
		return
	}
	g, w := keyOrder(t, got), keyOrder(t, want)
	for path, keys := range w {
		both := func(in, other []string) (common []string) {
			for _, k := range in {
				if slices.Contains(other, k) {
					common = append(common, k)
				}
			}
			return common
		}
		if gk, wk := both(g[path], keys), both(keys, g[path]); !slices.Equal(gk, wk) {
			t.Errorf("%s: at %q the order is %q, want %q", what, path, gk, wk)
		}
	}
}
