package brokertest_test

import (
	"net/url"
	"testing"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/leaf"
)

// TestLeafLimits: what a link is given above its limit is dropped and counted; what
// comes above it waits, and nothing of it is lost.
func TestLeafLimits(t *testing.T) {
	t.Parallel()
	_, clients, leafs := hubBroker(t, broker.Options{})
	r := remoteTo(t, leafs)
	r.Limits = leaf.Limits{OutMessages: 20, InMessages: 300}
	b, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{r}}})
	at, far := dial(t, tcpAt(addr)), dial(t, tcpAt(clients))
	up, err := far.SubscribeSync("up")
	must(t, err)
	must(t, far.Flush())
	down := newCounter(t, at, "down")
	reaches(t, at, far)
	reaches(t, far, at)
	const n = 500
	for range n {
		must(t, at.Publish("up", nil))
		must(t, far.Publish("down", nil))
	}
	must(t, at.Flush())
	must(t, far.Flush())
	poll(t, "everything that came in", func() bool { return down.Load() == n })
	crossed, _, err := up.Pending()
	must(t, err)
	dropped := b.Leafs().Links()[0].Dropped()
	if dropped < n/2 || int64(crossed)+dropped < n {
		t.Errorf("of %d messages %d crossed and %d were dropped", n, crossed, dropped)
	}
}

// TestLeafReload adds an account and a link for it to a broker that has neither.
func TestLeafReload(t *testing.T) {
	t.Parallel()
	const accounts = `accounts { N { users [ {user: n, password: n} ] } }`
	core, leafs := hub(t, "", accounts)
	b, addr := edgeOf(t, broker.Options{})
	c := loadConfig(t, accounts)
	r := remoteTo(t, leafs)
	r.Account, r.URLs[0].User = "N", url.UserPassword("n", "n")
	c.Broker.Leaf.Remotes = []*leaf.Remote{r}
	commit, _, err := b.Prepare(c.Broker)
	must(t, err)
	commit()
	linksUp(t, b, 1)
	crossings(t, dial(t, tcpAt(addr), nats.UserInfo("n", "n")), dial(t, tcpAt(core), nats.UserInfo("n", "n")))
	r.Account = "NOBODY"
	if _, _, err := b.Prepare(c.Broker); err == nil {
		t.Error("a link for an account that there is not was taken")
	}
}
