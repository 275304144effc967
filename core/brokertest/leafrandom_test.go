package brokertest_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/conn"
	"ganglion/core/leaf"
	"ganglion/core/subject"
)

// wish is a subscription of the model.
type wish struct {
	side           int
	pattern, queue string
	sub            *nats.Subscription
	mu             sync.Mutex
	got            map[string]int // by message
}

// TestLeafRandom has clients on both sides of a link subscribe, unsubscribe and
// publish at random, and cuts the link at random, and compares with a model: while
// the link is up every message arrives exactly once, in each group at one member,
// and while it is cut never twice.
func TestLeafRandom(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (clients, leafs string){
		"nats-server": func(t *testing.T) (string, string) { return hub(t, "", "") },
		"ganglion": func(t *testing.T) (string, string) {
			_, clients, leafs := hubBroker(t, broker.Options{})
			return clients, leafs
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, leafs := start(t)
			b, addr := edgeOf(t, broker.Options{Leaf: broker.LeafOptions{Remotes: []*leaf.Remote{remoteTo(t, leafs)}, Reconnect: 20 * time.Millisecond}})
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			randomly(t, rand.New(rand.NewPCG(seed, 1)), b, dial(t, tcpAt(core)), dial(t, tcpAt(addr)))
		})
	}
}

func randomly(t *testing.T, rnd *rand.Rand, b *broker.Broker, sides ...*nats.Conn) {
	tokens := []string{"a", "b", "c"}
	subj := func(wild bool) string {
		n := 1 + rnd.IntN(3)
		var toks []string
		for i := range n {
			tok := tokens[rnd.IntN(len(tokens))]
			if wild && rnd.IntN(3) == 0 {
				tok = "*"
				if i == n-1 && rnd.IntN(2) == 0 {
					tok = ">"
				}
			}
			toks = append(toks, tok)
		}
		return "r." + strings.Join(toks, ".")
	}
	var wishes []*wish
	add := func() {
		w := &wish{side: rnd.IntN(len(sides)), pattern: subj(true), got: map[string]int{}}
		if rnd.IntN(3) == 0 {
			w.queue = fmt.Sprint("g", rnd.IntN(2))
		}
		h := func(m *nats.Msg) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.got[string(m.Data)]++
		}
		var err error
		if w.queue == "" {
			w.sub, err = sides[w.side].Subscribe(w.pattern, h)
		} else {
			w.sub, err = sides[w.side].QueueSubscribe(w.pattern, w.queue, h)
		}
		must(t, err)
		wishes = append(wishes, w)
	}
	settle := func() {
		linksUp(t, b, 1)
		for i := range sides {
			must(t, sides[i].Flush())
		}
		reaches(t, sides[0], sides[1])
		reaches(t, sides[1], sides[0])
	}
	total := func(data string) (n int) {
		for _, w := range wishes {
			w.mu.Lock()
			n += w.got[data]
			w.mu.Unlock()
		}
		return n
	}
	msg := 0
	for round := range leafRounds {
		for range 1 + rnd.IntN(8) {
			if len(wishes) > 0 && rnd.IntN(5) < 2 {
				at := rnd.IntN(len(wishes))
				must(t, wishes[at].sub.Unsubscribe())
				wishes = append(wishes[:at], wishes[at+1:]...)
				continue
			}
			add()
		}
		cut := rnd.IntN(3) == 0
		if cut {
			// Messages while it is cut: some get lost, none comes twice.
			for _, l := range b.Leafs().Links() {
				l.Close(conn.Shutdown)
			}
			for range 20 {
				msg++
				must(t, sides[rnd.IntN(2)].Publish(subj(false), []byte(fmt.Sprintf("cut %d", msg))))
			}
			add()
		}
		settle()
		type sent struct {
			data, subj string
			want       int
		}
		var all []sent
		for range 20 {
			msg++
			s := sent{data: fmt.Sprint(msg), subj: subj(false)}
			groups := map[string]bool{}
			for _, w := range wishes {
				if !subject.Match(w.pattern, s.subj) {
					continue
				}
				if w.queue == "" {
					s.want++
				} else if !groups[w.queue] {
					groups[w.queue] = true
					s.want++
				}
			}
			must(t, sides[rnd.IntN(2)].Publish(s.subj, []byte(s.data)))
			all = append(all, s)
		}
		settle()
		for _, s := range all {
			poll(t, fmt.Sprintf("round %d: %d copies of %s on %s, there are %d", round, s.want, s.data, s.subj, total(s.data)), func() bool { return total(s.data) >= s.want })
			if n := total(s.data); n != s.want {
				t.Fatalf("round %d: %d copies of %s on %s, want %d", round, n, s.data, s.subj, s.want)
			}
		}
		for _, w := range wishes {
			w.mu.Lock()
			for data, n := range w.got {
				if n > 1 {
					t.Fatalf("round %d: %s arrived %d times at %s %s", round, data, n, w.pattern, w.queue)
				}
			}
			clear(w.got)
			w.mu.Unlock()
		}
	}
}
