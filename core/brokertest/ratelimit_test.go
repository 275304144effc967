package brokertest_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/core/auth"
	"ganglion/core/broker"
	"ganglion/core/limit"
	oper "ganglion/core/operator"
)

// A throttled client loses nothing and keeps its order, whatever way it came and
// wherever in a read, a TLS record or a frame it was stopped.
func TestThrottleTransports(t *testing.T) {
	for _, tr := range transports(t) {
		t.Run(tr.name, func(t *testing.T) {
			if tr.url == nil || tr.url("") == "" {
				t.Skip("nats.go can't")
			}
			b := newBroker(t, broker.Options{RateLimits: limit.Limits{
				Connection: limit.Rates{Messages: 4000, Bytes: 8 << 20, Burst: 20 * time.Millisecond},
				Account:    limit.Rates{Messages: 4000, Burst: 10 * time.Millisecond},
			}})
			ln, e := tr.listen(t)
			go b.Serve(ln, e)
			to, err := nats.Connect("", nats.InProcessServer(b))
			must(t, err)
			defer to.Close()
			sub, err := to.SubscribeSync("flood")
			must(t, err)
			must(t, to.Flush())

			nc, err := nats.Connect(tr.url(ln.Addr().String()), tr.options...)
			must(t, err)
			defer nc.Close()
			data := bytes.Repeat([]byte("ganglion "), 40_000) // 360 kB
			size := func(i int) int {
				if i%500 == 250 {
					return len(data)
				}
				return i % 97
			}
			const n = 2000
			go func() {
				for i := range n {
					nc.Publish("flood", fmt.Appendf(data[:0:0], "%d %s", i, data[:size(i)]))
				}
			}()
			for i := range n {
				m, err := sub.NextMsg(soon)
				must(t, err)
				if want := fmt.Appendf(nil, "%d %s", i, data[:size(i)]); !bytes.Equal(m.Data, want) {
					t.Fatalf("message %d is %d bytes: %.40q...", i, len(m.Data), m.Data)
				}
			}
			if b.RateCounters().Throttled == 0 {
				t.Error("it was never throttled")
			}
			if nc.Stats().Reconnects != 0 {
				t.Error("it lost its connection")
			}
		})
	}
}

// tokens are account JWTs by account.
type tokens map[string]string

func (r tokens) Fetch(_ context.Context, name string) (string, error) {
	if r[name] == "" {
		return "", fmt.Errorf("%w: %s", oper.ErrNotFound, name)
	}
	return r[name], nil
}

// The tags of a user's JWT, made by the jwt library, limit that user and no other,
// also on two connections at once.
func TestRateLimitJWT(t *testing.T) {
	pair := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		must(t, err)
		public, err := kp.PublicKey()
		must(t, err)
		return kp, public
	}
	op, opKey := pair(nkeys.CreateOperator())
	acc, accKey := pair(nkeys.CreateAccount())
	_, sysKey := pair(nkeys.CreateAccount())
	store := tokens{}
	for _, name := range []string{accKey, sysKey} {
		token, err := jwt.NewAccountClaims(name).Encode(op)
		must(t, err)
		store[name] = token
	}
	trust, err := oper.New(oper.Options{TrustedKeys: []string{opKey}, SystemAccount: sysKey, Resolver: store})
	must(t, err)
	b := newBroker(t, broker.Options{Auth: auth.Options{Operator: trust}})
	url := "nats://" + serve(t, b, "127.0.0.1:0")
	login := func(tags ...string) nats.Option {
		kp, name := pair(nkeys.CreateUser())
		c := jwt.NewUserClaims(name)
		c.Tags.Add(tags...)
		token, err := c.Encode(acc)
		must(t, err)
		return nats.UserJWT(func() (string, error) { return token, nil }, kp.Sign)
	}
	publish := func(n int, o nats.Option) {
		t.Helper()
		nc, err := nats.Connect(url, o, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		must(t, err)
		defer nc.Close()
		for range n {
			must(t, nc.Publish("a", nil))
		}
		must(t, nc.Flush())
	}
	limited := login("rate-msgs:5/h", "rate-burst:1h", "rate-action:drop", "dept:sales")
	publish(3, limited)
	publish(3, limited)
	if n := b.RateCounters(); n != (broker.RateCounters{Dropped: 1}) {
		t.Errorf("counted %+v, want one that is dropped", n)
	}
	publish(100, login("dept:sales"))
	if n := b.RateCounters(); n.Dropped != 1 {
		t.Errorf("counted %+v: the limit is another user's", n)
	}
}
