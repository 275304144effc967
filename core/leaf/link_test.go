package leaf

import (
	"testing"

	"ganglion/core/account"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// TestAllocs: a message that goes over a link, to plain subscriptions and to groups
// there, allocates nothing.
func TestAllocs(t *testing.T) {
	acc := account.New("A")
	l := &sink{}
	for _, s := range []string{"a", ">"} {
		acc.Subscribe(account.NewSubscription(l, s, "", ""))
	}
	acc.Subscribe(account.NewSubscription(l, "a", "g", ""))
	b := router.New(0, &router.Counters{})
	from := &Link{}
	m := wire.Msg{}
	publish := func() {
		m = wire.Msg{Subject: subj, Data: data, Tail: tail}
		b.Publish(from, acc, nil, &m)
		b.Flush()
	}
	publish()
	publish()
	if l.n != 2 || l.groups != 2 {
		t.Fatalf("2 messages went over as %d, with %d names of groups", l.n, l.groups)
	}
	if n := testing.AllocsPerRun(1000, publish); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

var subj, data, tail = []byte("a"), []byte("hi"), []byte("2\r\nhi\r\n")

// sink is a link without a connection.
type sink struct{ n, groups int }

func (l *sink) Stage(st *account.Stage, sub *account.Subscription, m *wire.Msg) bool {
	l.n++
	l.groups += len(m.Queues)
	st.Set(wire.AppendLeafMsg(st.Reserve(64), m, m.Queues, true))
	st.Delivered(sub, len(m.Data))
	return true
}
func (*sink) Commit(*account.Stage)            {}
func (*sink) Takes(account.Sink) bool          { return true }
func (*sink) Weight(*account.Subscription) int { return 1 }
