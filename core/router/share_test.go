package router

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// counting is a receiver that counts what it is given, and how many give to it
// at the same time.
type counting struct {
	inside    atomic.Int32
	commits   int
	delivered int
	bytes     int
	wrong     string
}

func (*counting) AppendRequestor(b []byte, _ string, _ bool) []byte { return b }
func (*counting) RTT() time.Duration                                { return 0 }
func (c *counting) Origin() *hook.Origin                            { return &hook.Origin{} }

func (c *counting) Stage(st *account.Stage, sub *account.Subscription, m *wire.Msg) bool {
	st.Append(m.Data)
	st.Delivered(sub, len(m.Data))
	return true
}

func (c *counting) Commit(st *account.Stage) {
	if c.inside.Add(1) != 1 {
		c.wrong = "two commits at once"
	}
	c.commits++
	c.delivered += len(st.Deliveries)
	c.bytes += st.Len()
	c.inside.Add(-1)
}

// TestSharedFlush: a flush to many is done by several goroutines; each receiver
// gets its stage once, and Flush returns when the last has it.
func TestSharedFlush(t *testing.T) {
	for _, receivers := range []int{1, shareReceivers - 1, shareReceivers, shareReceivers + 1, 100, 1001} {
		t.Run(fmt.Sprint(receivers), func(t *testing.T) {
			acc := account.New("A")
			sinks := make([]*counting, receivers)
			for i := range sinks {
				sinks[i] = &counting{}
				acc.Subscribe(account.NewSubscription(sinks[i], "s", "", "1"))
			}
			var from counting
			b := New(0, &Counters{})
			data := make([]byte, 2*shareBytes/receivers+1)
			const rounds = 50
			for round := 1; round <= rounds; round++ {
				for range 2 {
					m := wire.Msg{Subject: []byte("s"), Data: data}
					if out := b.Publish(&from, acc, nil, &m); out.Receivers != receivers {
						t.Fatalf("%d receivers, want %d", out.Receivers, receivers)
					}
				}
				b.Flush()
				for i, s := range sinks {
					if s.commits != round || s.delivered != 2*round || s.bytes != 2*round*len(data) || s.wrong != "" {
						t.Fatalf("round %d, receiver %d: %d commits, %d deliveries, %d bytes %s", round, i, s.commits, s.delivered, s.bytes, s.wrong)
					}
				}
			}
		})
	}
}
