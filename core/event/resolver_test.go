package event_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/event"
	"ganglion/core/local"
	"ganglion/core/operator"
	"ganglion/core/wire"
)

// trustHouse is a Service of operator mode.
type trustHouse struct {
	*house
	store             *operator.Dir
	operator          nkeys.KeyPair
	operatorKey       string
	a, b              string // account keys
	tokenA, tokenB    string
	applied, vanished []string
	acted             *local.Peer
}

func newTrustHouse(t *testing.T) *trustHouse {
	t.Helper()
	h := &trustHouse{house: newHouse(t)}
	h.house.service.Close() // its Claims come later
	h.operator, h.operatorKey = key(t, nkeys.CreateOperator)
	oc := jwt.NewOperatorClaims(h.operatorKey)
	oj := encode(t, oc, h.operator)
	_, h.a = key(t, nkeys.CreateAccount)
	_, h.b = key(t, nkeys.CreateAccount)
	h.tokenA, h.tokenB = encode(t, jwt.NewAccountClaims(h.a), h.operator), encode(t, jwt.NewAccountClaims(h.b), h.operator)
	var err error
	if h.store, err = operator.NewDir(operator.DirOptions{Dir: t.TempDir(), AllowDelete: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	trust, err := operator.New(operator.Options{Operators: []string{oj}, Resolver: h.store})
	if err != nil {
		t.Fatal(err)
	}
	h.service, err = event.New(event.Options{
		Identity: event.Identity{ID: id, Name: "probe"}, System: h.registry.System(), Peer: h.peer("SYS"), Source: h.fake,
		Claims: &event.Resolver{
			Store: h.store, Verify: trust.Verify, MayDelete: func(k string) bool { return k == h.operatorKey },
			Apply: func(_ context.Context, token string) error { h.applied = append(h.applied, token); return nil },
			Gone:  func(name string) { h.vanished = append(h.vanished, name) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.service.Close)
	h.acted = h.peer("SYS")
	return h
}

func key(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return k, pub
}

func encode(t *testing.T, c jwt.Claims, k nkeys.KeyPair) string {
	t.Helper()
	token, err := c.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// first returns the first answers to a request, up to the n-th. Answers about
// claims may come later than those to what is asked after them.
func (h *trustHouse) first(n int, subj, body string) (all []string) {
	h.t.Helper()
	got := make(chan *wire.Msg, 100)
	sub, err := h.acted.Subscribe("_INBOX.claims", "", 0, func(m *wire.Msg) { got <- m })
	if err != nil {
		h.t.Fatal(err)
	}
	defer sub.Close()
	h.acted.Publish(&wire.Msg{Subject: []byte(subj), Reply: []byte("_INBOX.claims"), Data: []byte(body)})
	for range n {
		all = append(all, string((<-got).Payload()))
	}
	return all
}

// TestClaims has the answers of a nats-server with a directory resolver.
func TestClaims(t *testing.T) {
	h := newTrustHouse(t)
	stranger, strange := key(t, nkeys.CreateOperator)
	del := func(k nkeys.KeyPair, subject string, accounts any) string {
		c := jwt.NewGenericClaims(subject)
		c.Data["accounts"] = accounts
		return encode(t, c, k)
	}
	forged := encode(t, jwt.NewAccountClaims(h.b), stranger)
	for _, tt := range []struct{ subject, body, want string }{
		{"$SYS.REQ.CLAIMS.LIST", "", `{"data":[],"server":{`},
		{"$SYS.REQ.CLAIMS.UPDATE", h.tokenA, `"data":{"account":"` + h.a + `","code":200,"message":"jwt updated"}}`},
		{"$SYS.REQ.CLAIMS.UPDATE", h.tokenA, `"data":{"account":"` + h.a + `","code":200,"message":"jwt updated"}}`},
		{"$SYS.REQ.CLAIMS.UPDATE", "bad", `"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - expected 3 chunks"}}`},
		{"$SYS.REQ.CLAIMS.UPDATE", "", `"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - expected 3 chunks"}}`},
		{"$SYS.REQ.CLAIMS.UPDATE", encode(t, jwt.NewOperatorClaims(h.operatorKey), h.operator), `"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - not account claim"}}`},
		{"$SYS.REQ.CLAIMS.UPDATE", forged, `"error":{"account":"` + h.b + `","code":500,"description":"jwt update resulted in error - operator: issuer is not trusted`},
		{"$SYS.REQ.ACCOUNT." + h.a + ".CLAIMS.UPDATE", h.tokenB, `"description":"jwt update resulted in error - subject does not match jwt content"}}`},
		{"$SYS.REQ.ACCOUNT." + h.b + ".CLAIMS.UPDATE", h.tokenB, `"data":{"account":"` + h.b + `","code":200,"message":"jwt updated"}}`},
		{"$SYS.REQ.ACCOUNT." + h.a + ".CLAIMS.LOOKUP", "", h.tokenA},
		{"$SYS.REQ.ACCOUNT." + h.operatorKey + ".CLAIMS.LOOKUP", "", ""},
		{"$SYS.REQ.CLAIMS.DELETE", "bad", `"error":{"code":500,"description":"delete accounts request by  failed - expected 3 chunks"}}`},
		{"$SYS.REQ.CLAIMS.DELETE", del(stranger, strange, []string{h.b}), `"description":"delete accounts request by ` + strange + ` failed - not trusted"}}`},
		{"$SYS.REQ.CLAIMS.DELETE", del(h.operator, h.operatorKey, "all"), `failed - malformed request"}}`},
		{"$SYS.REQ.CLAIMS.DELETE", del(h.operator, h.operatorKey, []int{1}), `failed - malformed request"}}`},
		{"$SYS.REQ.CLAIMS.DELETE", del(h.operator, h.operatorKey, []string{h.b}), `"data":{"code":200,"message":"deleted 1 accounts"}}`},
		{"$SYS.REQ.CLAIMS.DELETE", del(h.operator, h.operatorKey, []string{h.b}), `"data":{"code":200,"message":"deleted 1 accounts"}}`},
		{"$SYS.REQ.CLAIMS.LIST", "", `{"data":["` + h.a + `"],"server":{`},
	} {
		got := h.first(1, tt.subject, tt.body)[0]
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s %.40s: %s, want %s", tt.subject, tt.body, got, tt.want)
		}
	}
	if got := h.first(2, "$SYS.REQ.CLAIMS.PACK", "other"); !slices.Equal(got, []string{h.a + "|" + h.tokenA, ""}) {
		t.Errorf("packed %q", got)
	}
	sum := h.store.Hash()
	if got := h.first(1, "$SYS.REQ.CLAIMS.PACK", string(sum[:])); got[0] != "" {
		t.Errorf("packed %q for somebody who has it all", got)
	}
	if !slices.Equal(h.applied, []string{h.tokenA, h.tokenA, h.tokenB}) || !slices.Equal(h.vanished, []string{h.b}) {
		t.Errorf("applied %d tokens, %d accounts vanished", len(h.applied), len(h.vanished))
	}
}

// TestClaimsFromElsewhere: nobody but the system account reaches the resolver.
func TestClaimsFromElsewhere(t *testing.T) {
	h := newTrustHouse(t)
	h.registry.Update(account.Spec{Name: "A", Limits: account.NoLimits})
	for _, subj := range []string{"$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT." + h.a + ".CLAIMS.LOOKUP"} {
		if n := h.peer("A").Publish(&wire.Msg{Subject: []byte(subj), Reply: []byte("_INBOX.x")}); n != 0 {
			t.Errorf("%s of an ordinary account reaches %d", subj, n)
		}
	}
}
