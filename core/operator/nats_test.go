package operator

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"ganglion/core/brokertest/natstest"
	"ganglion/core/permission"
)

// natsCase is an account and a user of it that a nats-server and we are shown.
type natsCase struct {
	name    string
	account func(*jwt.AccountClaims)
	user    func(w *world, c *jwt.UserClaims)
	by      func(w *world) key // nil is the account
	iat     int64
}

// TestAsNATS shows the same tokens to a nats-server, which must let in the same
// users with the same permissions.
func TestAsNATS(t *testing.T) {
	account := func(w *world, c *jwt.UserClaims) { c.IssuerAccount = w.acc.pub }
	scoped := func(w *world, c *jwt.UserClaims) {
		c.SetScoped(true)
		c.IssuerAccount, c.Name = w.acc.pub, "bob"
		c.Tags.Add("t:1", "t:2")
	}
	template := func(allow, deny jwt.StringList) func(*jwt.AccountClaims) {
		return func(a *jwt.AccountClaims) {
			for k := range a.SigningKeys {
				s := jwt.NewUserScope()
				s.Key = k
				s.Template.Pub.Allow.Add(append(jwt.StringList{"$SYS.REQ.USER.INFO"}, allow...)...)
				s.Template.Pub.Deny.Add(deny...)
				s.Template.Sub.Allow.Add("_INBOX.>")
				a.SigningKeys[k] = s
			}
		}
	}
	signing := func(w *world) key { return w.signing }
	now := time.Now()
	hours := func(from, to time.Duration) func(*world, *jwt.UserClaims) {
		return func(_ *world, c *jwt.UserClaims) {
			c.Times = []jwt.TimeRange{{Start: now.UTC().Add(from).Format(time.TimeOnly), End: now.UTC().Add(to).Format(time.TimeOnly)}}
			c.Locale = "UTC"
		}
	}
	cases := []natsCase{
		{name: "plain"},
		{name: "permissions", user: func(_ *world, c *jwt.UserClaims) { c.Pub.Deny.Add("x"); c.Sub.Allow.Add("_INBOX.>", "a q") }},
		{name: "default permissions", account: func(a *jwt.AccountClaims) { a.DefaultPermissions.Pub.Deny.Add("d") }},
		{name: "some permissions, some defaults", account: func(a *jwt.AccountClaims) { a.DefaultPermissions.Pub.Deny.Add("d") },
			user: func(_ *world, c *jwt.UserClaims) { c.Sub.Deny.Add("s") }},
		{name: "signing key", by: signing, user: account},
		{name: "signing key without issuer account", by: signing},
		{name: "account for itself", user: account},
		{name: "account for another", user: func(w *world, c *jwt.UserClaims) { c.IssuerAccount = w.sys.pub }},
		{name: "stranger", by: func(*world) key { return accountKey() }},
		{name: "stranger for the account", by: func(*world) key { return accountKey() }, user: account},
		{name: "signed by a user", by: func(*world) key { return userKey() }},
		{name: "signed by the operator", by: func(w *world) key { return w.op }},
		{name: "forged", by: func(w *world) key { return key{accountKey().KeyPair, w.acc.pub} }},
		{name: "expired", user: func(_ *world, c *jwt.UserClaims) { c.Expires = now.Add(-time.Hour).Unix() }},
		{name: "not yet valid", user: func(_ *world, c *jwt.UserClaims) { c.NotBefore = now.Add(time.Hour).Unix() }},
		{name: "revoked", account: func(a *jwt.AccountClaims) { a.Revocations = jwt.RevocationList{"*": 1000} }, iat: 1000},
		{name: "issued after the revocation", account: func(a *jwt.AccountClaims) { a.Revocations = jwt.RevocationList{"*": 1000} }, iat: 1001},
		{name: "another revoked", account: func(a *jwt.AccountClaims) { a.Revocations = jwt.RevocationList{userKey().pub: 1000} }, iat: 1000},
		{name: "account expired", account: func(a *jwt.AccountClaims) { a.Expires = now.Add(-time.Hour).Unix() }},
		{name: "account not yet valid", account: func(a *jwt.AccountClaims) { a.NotBefore = now.Add(time.Hour).Unix() }},
		{name: "overlapping exports", account: func(a *jwt.AccountClaims) {
			a.Exports.Add(&jwt.Export{Subject: "a.>", Type: jwt.Stream}, &jwt.Export{Subject: "a.b", Type: jwt.Stream})
		}},
		{name: "overlapping imports", account: func(a *jwt.AccountClaims) {
			from := accountKey().pub
			a.Imports.Add(&jwt.Import{Subject: "a.>", Account: from, Type: jwt.Service}, &jwt.Import{Subject: "a.b", Account: from, Type: jwt.Service})
		}},
		{name: "import of an unknown account", account: func(a *jwt.AccountClaims) {
			a.Imports.Add(&jwt.Import{Subject: "a.>", Account: accountKey().pub, Type: jwt.Service})
		}},
		{name: "import from itself", account: func(a *jwt.AccountClaims) {
			a.Imports.Add(&jwt.Import{Subject: "a", LocalSubject: "b", Account: a.Subject, Type: jwt.Stream})
		}},
		{name: "import that shares a stream", account: func(a *jwt.AccountClaims) {
			a.Imports.Add(&jwt.Import{Subject: "a", Account: accountKey().pub, Type: jwt.Stream, Share: true})
		}},
		{name: "too many exports", account: func(a *jwt.AccountClaims) {
			a.Limits.Exports = 0
			a.Exports.Add(&jwt.Export{Subject: "a", Type: jwt.Stream})
		}},
		{name: "wildcard export", account: func(a *jwt.AccountClaims) {
			a.Limits.Exports, a.Limits.WildcardExports = 5, false
			a.Exports.Add(&jwt.Export{Subject: "a.*", Type: jwt.Stream})
		}},
		{name: "bearer disallowed", account: func(a *jwt.AccountClaims) { a.Limits.DisallowBearer = true },
			user: func(_ *world, c *jwt.UserClaims) { c.BearerToken = true }},
		{name: "no date", iat: -1, account: func(a *jwt.AccountClaims) { a.Revocations = jwt.RevocationList{userKey().pub: 1000} }},
		{name: "a mapping that can't be", account: func(a *jwt.AccountClaims) { a.Mappings = jwt.Mapping{"m.*": {{Subject: "n.$2"}}} }},
		{name: "heavy mapping", account: func(a *jwt.AccountClaims) {
			a.Mappings = jwt.Mapping{"m": {{Subject: "n", Weight: 80}, {Subject: "o", Weight: 80}}}
		}},
		{name: "bad permission", user: func(_ *world, c *jwt.UserClaims) { c.Pub.Allow.Add("a..b") }},
		{name: "bad source", user: func(_ *world, c *jwt.UserClaims) { c.Src = jwt.CIDRList{"127.0.0.0/8", "x"} }},
		{name: "in hours", user: hours(-time.Hour, time.Hour)},
		{name: "out of hours", user: hours(time.Hour, 2*time.Hour)},
		{name: "hours over midnight", user: hours(-time.Hour, -2*time.Hour)},
		{name: "scope", by: signing, user: scoped, account: template(nil, nil)},
		{name: "empty scope", by: signing, user: scoped, account: func(a *jwt.AccountClaims) {
			a.DefaultPermissions.Pub.Deny.Add("d")
			for k := range a.SigningKeys {
				s := jwt.NewUserScope()
				s.Key = k
				a.SigningKeys[k] = s
			}
		}},
		{name: "scope and permissions", by: signing, account: template(nil, nil), user: func(w *world, c *jwt.UserClaims) {
			scoped(w, c)
			c.Pub.Allow.Add("more")
		}},
		{name: "templates", by: signing, user: scoped, account: template(jwt.StringList{"n.{{name()}}.{{tag(t)}}.{{account-name()}}", "z.{{subject()}}"}, jwt.StringList{"d.{{account-subject()}}"})},
		{name: "missing tag allowed", by: signing, user: scoped, account: template(jwt.StringList{"n.{{tag(none)}}"}, nil)},
		{name: "missing tag denied", by: signing, user: scoped, account: template(nil, jwt.StringList{"n.{{tag(none)}}"})},
		{name: "unknown template", by: signing, user: scoped, account: template(jwt.StringList{"n.{{nothing()}}"}, nil)},
		{name: "unclosed template", by: signing, user: scoped, account: template(jwt.StringList{"n.{{name()"}, nil)},
	}
	w := newWorld(t, nil)
	type shown struct {
		natsCase
		token string
		user  key
	}
	var all []shown
	for _, c := range cases {
		w.acc, w.signing = accountKey(), accountKey()
		w.account(c.account)
		s := shown{natsCase: c, user: userKey()}
		claims := jwt.NewUserClaims(s.user.pub)
		if c.user != nil {
			c.user(w, claims)
		}
		by := w.acc
		if c.by != nil {
			by = c.by(w)
		}
		s.token = sign(by, claims, c.iat)
		all = append(all, s)
	}
	var conf strings.Builder
	oc := jwt.NewOperatorClaims(w.op.pub)
	fmt.Fprintf(&conf, "operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload {\n", must(oc.Encode(w.op)), w.sys.pub)
	for _, name := range slices.Sorted(maps.Keys(w.resolver.tokens)) {
		fmt.Fprintf(&conf, "%s: %s\n", name, w.resolver.tokens[name])
	}
	conf.WriteString("}\n")
	addr := natstest.StartNATS(t, conf.String())
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			theirs, theirErr := ask(addr, s.token, s.user)
			u, err := w.trust.User(t.Context(), s.token)
			if (err == nil) != (theirErr == nil) {
				t.Fatalf("nats-server says %v, we %v", theirErr, err)
			}
			if err != nil {
				return
			}
			if ours := flatten(u.Permissions); !reflect.DeepEqual(ours, theirs) {
				t.Errorf("nats-server has the permissions %v, we %v", theirs, ours)
			}
		})
	}
}

// flatten is permissions as sorted text.
func flatten(s permission.Spec) (out []string) {
	for dir, r := range map[string]*permission.Rules{"pub": s.Publish, "sub": s.Subscribe} {
		if r != nil {
			for _, subj := range r.Allow {
				out = append(out, dir+" allow "+subj)
			}
			for _, subj := range r.Deny {
				out = append(out, dir+" deny "+subj)
			}
		}
	}
	slices.Sort(out)
	return out
}

// ask returns what a nats-server tells a user of its permissions, or why it
// doesn't let the user in.
func ask(addr, token string, user key) ([]string, error) {
	nc, err := nats.Connect("nats://"+addr, nats.NoReconnect(), nats.UserJWT(
		func() (string, error) { return token, nil },
		func(nonce []byte) ([]byte, error) { return user.Sign(nonce) },
	))
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	msg, err := nc.Request("$SYS.REQ.USER.INFO", nil, 5*time.Second)
	if err != nil {
		return nil, err
	}
	type rules struct{ Allow, Deny []string }
	var info struct {
		Data struct {
			Permissions struct{ Publish, Subscribe *rules }
		}
	}
	if err := json.Unmarshal(msg.Data, &info); err != nil {
		return nil, err
	}
	p := info.Data.Permissions
	return flatten(permission.Spec{Publish: (*permission.Rules)(p.Publish), Subscribe: (*permission.Rules)(p.Subscribe)}), nil
}

// TestDirAsNATS has a nats-server use a directory that a Dir wrote, and a Dir
// read what that server adds.
func TestDirAsNATS(t *testing.T) {
	w := newWorld(t, nil)
	dir := t.TempDir()
	d, _ := openDir(t, DirOptions{Dir: dir})
	for name, token := range w.resolver.tokens {
		if err := d.Store(name, token); err != nil {
			t.Fatal(err)
		}
	}
	addr := natstest.StartNATS(t, fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver { type: full, dir: %q }\n",
		must(jwt.NewOperatorClaims(w.op.pub).Encode(w.op)), w.sys.pub, dir))
	if _, err := ask(addr, w.user(w.acc, nil), userKey()); err == nil {
		t.Error("a user gets in without their key")
	}
	u := userKey()
	if _, err := ask(addr, sign(w.acc, jwt.NewUserClaims(u.pub), 0), u); err != nil {
		t.Errorf("the server doesn't find an account that we wrote: %v", err)
	}
	nc, err := nats.Connect("nats://"+addr, nats.NoReconnect(), nats.UserJWT(
		func() (string, error) { return sign(w.sys, jwt.NewUserClaims(u.pub), 0), nil },
		func(nonce []byte) ([]byte, error) { return u.Sign(nonce) },
	))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// It answers with its accounts, or with nothing to who has the same.
	same := func() bool {
		t.Helper()
		hash := d.Hash()
		msg, err := nc.Request("$SYS.REQ.CLAIMS.PACK", hash[:], 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return len(msg.Data) == 0
	}
	if !same() {
		t.Error("the server has another hash of the same accounts")
	}
	added := accountKey()
	if _, err := nc.Request("$SYS.REQ.CLAIMS.UPDATE", []byte(sign(w.op, jwt.NewAccountClaims(added.pub), 0)), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if same() {
		t.Error("the server has the same hash with one account more")
	}
	if got, err := d.Refresh(); !slices.Equal(got, []string{added.pub}) || err != nil {
		t.Errorf("the server added %s, found is %v, %v", added.pub, got, err)
	}
	if !same() {
		t.Error("the server has another hash after Refresh")
	}
}
