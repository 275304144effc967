package brokertest_test

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/brokertest/natstest"
)

// operatorSystem is a configuration in operator mode, and who may join.
type operatorSystem struct {
	config          string
	system, accA    string // public keys
	systemKey, aKey nkeys.KeyPair

	tokenA, tokenB, operatorToken string
	accB                          string
	deletion                      string // of account B
}

func newOperatorSystem(t *testing.T) *operatorSystem {
	t.Helper()
	create := func(f func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		k, err := f()
		must(t, err)
		pub, err := k.PublicKey()
		must(t, err)
		return k, pub
	}
	o := &operatorSystem{}
	op, opKey := create(nkeys.CreateOperator)
	o.systemKey, o.system = create(nkeys.CreateAccount)
	o.aKey, o.accA = create(nkeys.CreateAccount)
	oc := jwt.NewOperatorClaims(opKey)
	oc.SystemAccount = o.system
	oj, err := oc.Encode(op)
	must(t, err)
	sc, ac := jwt.NewAccountClaims(o.system), jwt.NewAccountClaims(o.accA)
	sc.Name, ac.Name = "SYS", "account a"
	ac.Tags.Add("tagged")
	ac.Exports.Add(&jwt.Export{Name: "e", Subject: "svc", Type: jwt.Service}, &jwt.Export{Subject: "st.>", Type: jwt.Stream, TokenReq: true, Info: jwt.Info{Description: "d"}})
	ac.Mappings = map[jwt.Subject][]jwt.WeightedMapping{"foo": {{Subject: "bar", Weight: 50}}}
	sj, err := sc.Encode(op)
	must(t, err)
	aj, err := ac.Encode(op)
	must(t, err)
	o.config = fmt.Sprintf("server_name: probe\noperator: %s\nsystem_account: %s\nresolver: { type: full, dir: %%q, allow_delete: true }\nresolver_preload: { %s: %s, %s: %s }\n", oj, o.system, o.system, sj, o.accA, aj)
	_, o.accB = create(nkeys.CreateAccount)
	o.tokenA, o.operatorToken = aj, oj
	o.tokenB, err = jwt.NewAccountClaims(o.accB).Encode(op)
	must(t, err)
	del := jwt.NewGenericClaims(opKey)
	del.Data["accounts"] = []string{o.accB}
	o.deletion, err = del.Encode(op)
	must(t, err)
	return o
}

// user is a login as a new user of an account.
func (o *operatorSystem) user(t *testing.T, acc nkeys.KeyPair, name string, expires time.Time) nats.Option {
	t.Helper()
	k, err := nkeys.CreateUser()
	must(t, err)
	pub, err := k.PublicKey()
	must(t, err)
	c := jwt.NewUserClaims(pub)
	c.Name = name
	c.Tags.Add("ut")
	c.Pub.Allow.Add(">")
	c.Sub.Deny.Add("never")
	if !expires.IsZero() {
		c.Expires = expires.Unix()
	}
	token, err := c.Encode(acc)
	must(t, err)
	return nats.UserJWT(func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return k.Sign(nonce) })
}

// TestSystemOperator compares what both servers show of accounts and users that
// come as JWTs.
func TestSystemOperator(t *testing.T) {
	t.Parallel()
	o := newOperatorSystem(t)
	want, got := &systemSide{name: "nats-server"}, &systemSide{name: "ganglion"}
	want.url = "nats://" + natstest.StartNATS(t, fmt.Sprintf(o.config, t.TempDir()))
	file := filepath.Join(t.TempDir(), "server.conf")
	must(t, os.WriteFile(file, []byte(fmt.Sprintf(o.config, t.TempDir())), 0o600))
	c := config.Default()
	must(t, c.Load(file))
	c.Broker.Host, c.Broker.Port = "127.0.0.1", 0
	trust, store, err := c.Operator.Open(c.Broker.SystemAccount, slog.New(slog.DiscardHandler))
	must(t, err)
	c.Broker.Auth.Operator, c.Broker.AccountStore = trust, store
	got.url = "nats://" + serve(t, newBroker(t, c.Broker), "127.0.0.1:0")

	users := map[string]nats.Option{
		"sys": o.user(t, o.systemKey, "sys", time.Time{}), "ann": o.user(t, o.aKey, "ann", time.Time{}), "gone": o.user(t, o.aKey, "gone", time.Time{}),
	}
	told := map[*systemSide]map[string]map[string]string{}
	for _, s := range []*systemSide{want, got} {
		s.clients, s.cids = map[string]*nats.Conn{}, map[string]uint64{}
		events := make(chan *nats.Msg, 1000)
		for _, key := range []string{"sys", "ann", "gone"} {
			c, err := nats.Connect(s.url, users[key], nats.Name(key))
			must(t, err)
			t.Cleanup(c.Close)
			s.clients[key] = c
			if key == "sys" {
				for _, subj := range []string{"$SYS.ACCOUNT.>", "$SYS.SERVER.*.CLIENT.>"} {
					_, err := c.ChanSubscribe(subj, events)
					must(t, err)
				}
				must(t, c.Flush())
			}
		}
		s.id = s.clients["sys"].ConnectedServerId()
		s.clients["gone"].Close()
		_, err := nats.Connect(s.url, o.user(t, o.aKey, "late", time.Now().Add(-time.Hour)))
		if err == nil {
			t.Fatalf("%s lets an expired user in", s.name)
		}
		told[s] = map[string]map[string]string{}
		need := map[string]bool{"$SYS.ACCOUNT." + o.accA + ".DISCONNECT": true, "$SYS.SERVER.{id}.CLIENT.AUTH.ERR": true}
		for end := time.After(soon); len(need) > 0; {
			select {
			case m := <-events:
				subj := strings.ReplaceAll(m.Subject, s.id, "{id}")
				delete(need, subj)
				told[s][subj] = shapeOf(t, m.Data)
			case <-end:
				t.Fatalf("%s: these events did not come: %v", s.name, slices.Collect(maps.Keys(need)))
			}
		}
	}
	for subj, w := range told[want] {
		g := told[got][subj]
		switch {
		case strings.Contains(subj, "AUTH.ERR"):
			delete(w, ".client.jwt") // what was refused we don't repeat
			sameShape(t, subj, g, w)
		case strings.Contains(subj, o.accA) && g != nil:
			sameShape(t, subj, g, w)
		}
	}
	if told[got]["$SYS.ACCOUNT."+o.accA+".CONNECT"] == nil {
		t.Errorf("no event of a connection")
	}
	for _, q := range []systemRequest{
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true}`},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.CONNZ", body: `{"auth":true,"state":1,"acc":"` + o.accA + `","limit":1}`},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ"},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.ACCOUNTZ", body: `{"account":"` + o.accA + `"}`},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT." + o.accA + ".INFO"},
		{who: "sys", subject: "$SYS.REQ.SERVER.PING.VARZ"},
		{who: "sys", subject: "$SYS.REQ.USER.INFO"},
		{who: "ann", subject: "$SYS.REQ.USER.INFO"},
		{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.STATZ"},
		{who: "ann", subject: "$SYS.REQ.ACCOUNT.PING.CONNZ", body: `{"auth":true}`},
		{who: "ann", subject: "$SYS.REQ.CLAIMS.LIST"},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.LIST"},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.UPDATE", body: o.tokenB},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.UPDATE", body: o.tokenB},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.UPDATE", body: "bad"},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.UPDATE", body: o.operatorToken},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT." + o.accA + ".CLAIMS.UPDATE", body: o.tokenA},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT." + o.accA + ".CLAIMS.UPDATE", body: o.tokenB},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT." + o.accA + ".CLAIMS.LOOKUP"},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT." + o.accB + ".CLAIMS.LOOKUP"},
		{who: "sys", subject: "$SYS.REQ.ACCOUNT.NOPE.CLAIMS.LOOKUP", silent: true},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.LIST"},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.PACK", packed: true},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.DELETE", body: "bad"},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.DELETE", body: o.deletion},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.DELETE", body: o.deletion},
		{who: "sys", subject: "$SYS.REQ.CLAIMS.LIST"},
	} {
		what := q.who + " " + q.subject + " " + q.body
		w, g := want.ask(t, q), got.ask(t, q)
		if len(w) != len(g) {
			t.Errorf("%s: %d answers, want %d: %q", what, len(g), len(w), bodies(w))
			continue
		}
		for i := range w {
			sameShape(t, what, shapeOf(t, g[i].Data), shapeOf(t, w[i].Data))
			sameValues(t, what, g[i].Data, w[i].Data)
			sameOrder(t, what, g[i].Data, w[i].Data)
		}
	}
}
