package brokertest_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/leaf"
)

const leafEventAccounts = `accounts { SYS { users [ {user: s, password: s} ] }, A { users [ {user: a, password: a} ] } }
system_account: SYS`

// TestLeafEvents: the system account hears of leafs that come and go as on a
// nats-server, and at the edge of what was missed.
func TestLeafEvents(t *testing.T) {
	t.Parallel()
	heard := func(t *testing.T, clients, leafs string) map[string]map[string]any {
		sys := dial(t, tcpAt(clients), nats.UserInfo("s", "s"))
		ch := make(chan *nats.Msg, 16)
		for _, s := range []string{"$SYS.ACCOUNT.A.CONNECT", "$SYS.ACCOUNT.A.DISCONNECT"} {
			_, err := sys.ChanSubscribe(s, ch)
			must(t, err)
		}
		must(t, sys.Flush())
		edge := newBroker(t, broker.Options{ServerName: "LEAF", Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{func() *leaf.Remote {
			r := remoteTo(t, leafs)
			r.URLs[0].User = url.UserPassword("a", "a")
			return r
		}()}}})
		linksUp(t, edge, 1)
		got := map[string]map[string]any{}
		take := func() {
			m := receive(t, ch, "an event")
			var v map[string]any
			must(t, json.Unmarshal(m.Data, &v))
			got[m.Subject] = v
		}
		take()
		shutDown(t, edge)
		take()
		return got
	}
	core, leafs := hub(t, "", leafEventAccounts)
	theirs := heard(t, core, leafs)
	c := loadConfig(t, leafEventAccounts)
	_, clients, ourLeafs := hubBroker(t, c.Broker)
	ours := heard(t, clients, ourLeafs)
	for subj, want := range theirs {
		got := ours[subj]
		a, b := keysOf("", want, nil), keysOf("", got, nil)
		if strings.Join(a, " ") != strings.Join(b, " ") {
			t.Errorf("%s: keys of nats-server's event\n%v\nours\n%v", subj, a, b)
		}
		w, g := want["client"].(map[string]any), got["client"].(map[string]any)
		for _, k := range []string{"acc", "user", "name", "kind", "ver"} {
			if w[k] != g[k] {
				t.Errorf("%s: client.%s is %v, nats-server's %v", subj, k, g[k], w[k])
			}
		}
	}
}

// keysOf lists the keys of v, but for what servers say of themselves.
func keysOf(path string, v map[string]any, list []string) []string {
	for _, k := range []string{"type", "id", "timestamp", "client", "sent", "received", "reason"} {
		x, ok := v[k]
		if !ok {
			continue
		}
		list = append(list, path+k)
		if m, ok := x.(map[string]any); ok && k == "client" {
			for _, c := range []string{"start", "host", "id", "acc", "user", "name", "ver", "stop", "name_tag", "kind", "lang", "client_type"} {
				if _, ok := m[c]; ok {
					list = append(list, "client."+c)
				}
			}
		}
	}
	return list
}

// TestLeafMissedEvent: when the hub is back, the system account of the edge is told
// how much only the hub had wanted meanwhile.
func TestLeafMissedEvent(t *testing.T) {
	t.Parallel()
	first, clients, leafs := hubBroker(t, broker.Options{})
	c := loadConfig(t, leafEventAccounts+"\nno_auth_user: a")
	r := remoteTo(t, leafs)
	r.Account = "A"
	c.Broker.Leaf = broker.LeafOptions{Remotes: []*leaf.Remote{r}, Reconnect: 20 * time.Millisecond}
	b, addr := edgeOf(t, c.Broker)
	sys, at, far := dial(t, tcpAt(addr), nats.UserInfo("s", "s")), dial(t, tcpAt(addr)), dial(t, tcpAt(clients), nats.NoReconnect())
	sub, err := sys.SubscribeSync("$SYS.ACCOUNT.A.LEAFNODE.MISSED")
	must(t, err)
	must(t, sys.Flush())
	_, err = far.SubscribeSync("wanted")
	must(t, err)
	must(t, far.Flush())
	reaches(t, at, far)
	shutDown(t, first)
	poll(t, "the cut to be noticed", func() bool { return len(b.Leafs().Links()) == 0 })
	for range 3 {
		must(t, at.Publish("wanted", nil))
	}
	must(t, at.Flush())
	natstest.StartNATS(t, "server_name: HUB2\nleafnodes { listen: \""+leafs+"\" }")
	m, err := sub.NextMsg(soon)
	must(t, err)
	var v struct{ Missed int }
	must(t, json.Unmarshal(m.Data, &v))
	if v.Missed != 3 {
		t.Errorf("%s: want 3 missed", m.Data)
	}
}
