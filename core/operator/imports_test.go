package operator

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/account"
)

func TestSpec(t *testing.T) {
	w := newWorld(t, nil)
	end := w.now.Add(time.Hour).Truncate(time.Second)
	w.account(func(c *jwt.AccountClaims) {
		c.Expires = end.Unix()
		c.Limits.Conn, c.Limits.LeafNodeConn, c.Limits.Subs, c.Limits.Payload = 1, 0, -1, -5
		c.Trace = &jwt.MsgTrace{Destination: "trace.dest"}
		c.Mappings = jwt.Mapping{
			"m.*":   {{Subject: "n.$1", Weight: 40}, {Subject: "o.$1", Weight: 60}, {Subject: "east.$1", Cluster: "EAST"}},
			"bad.*": {{Subject: "n.$2"}},
		}
		c.Exports.Add(
			&jwt.Export{Subject: "s.>", Type: jwt.Stream, TokenReq: true, Revocations: jwt.RevocationList{"*": 5}, Info: jwt.Info{Description: "about s"}},
			&jwt.Export{Subject: "q.*.x", Type: jwt.Service, AccountTokenPosition: 2, AllowTrace: true, ResponseType: jwt.ResponseTypeStream,
				ResponseThreshold: time.Second, Latency: &jwt.ServiceLatency{Sampling: 50, Results: "lat"}},
			&jwt.Export{Subject: "r", Type: jwt.Service, ResponseType: jwt.ResponseTypeChunked, Latency: &jwt.ServiceLatency{Results: "lat.h"}},
			&jwt.Export{Subject: "tab\tbed", Type: jwt.Service},
		)
	})
	acc, err := w.trust.Account(t.Context(), w.acc.pub)
	if err != nil {
		t.Fatal(err)
	}
	s := acc.Spec
	if len(s.Mappings) != 1 || string(s.Mappings[0].Append(nil, []byte("m.1"), 39)) != "n.1" ||
		string(s.Mappings[0].Append(nil, []byte("m.1"), 99)) != "o.1" || string(s.Mappings[0].For("EAST").Append(nil, []byte("m.1"), 99)) != "east.1" {
		t.Errorf("mappings: %+v", s.Mappings)
	}
	s.Mappings = nil
	want := account.Spec{
		Name: w.acc.pub, NameTag: "ACC",
		Exports: []account.Export{
			{Kind: account.Stream, Subject: "s.>", Token: true, Revoked: map[string]int64{"*": 5}, Description: "about s"},
			{Kind: account.Service, Subject: "q.*.x", TokenPosition: 2, AllowTrace: true, Response: account.Streamed, Threshold: time.Second,
				Latency: &account.Latency{Subject: "lat", Sampling: 50}},
			{Kind: account.Service, Subject: "r", Response: account.Chunked, Latency: &account.Latency{Subject: "lat.h"}},
		},
		Limits: account.Limits{Conns: 1, Leafs: 0, Subs: -1, Payload: -1},
		Trace:  account.Trace{Dest: "trace.dest", Sampling: 100},
		Issuer: w.op.pub, JWT: w.resolver.tokens[w.acc.pub],
		Updated: time.Unix(acc.Claims.IssuedAt, 0), Expires: end,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	if log := w.log.String(); strings.Count(log, "left out") != 2 {
		t.Errorf("the log should have one export and one mapping left out:\n%s", log)
	}
}

// TestRenaming has both forms of claims for both kinds.
func TestRenaming(t *testing.T) {
	st, sv := jwt.Stream, jwt.Service
	for _, tt := range []struct {
		kind                 jwt.ExportType
		subject, to, local   string
		there, here, problem string
	}{
		{st, "a.*", "", "", "a.*", "", ""},
		{st, "a.*.>", "pre", "", "a.*.>", "pre.a.*.>", ""},
		{st, "a.*", "pre.", "", "a.*", "pre.a.*", ""},
		{st, "a.*.*", "", "b.$2.$1", "a.*.*", "b.$2.$1", ""},
		{st, "a.*", "", "b.*", "a.*", "b.*", ""},
		{st, "a.*", "", "a.*", "a.*", "", ""},
		{sv, "a", "", "", "a", "", ""},
		{sv, "mine", "theirs", "", "theirs", "mine", ""},
		{sv, "mine.*", "theirs.*", "", "theirs.*", "mine.*", ""},
		{sv, "mine.>", "theirs.>", "", "theirs.>", "mine.>", ""},
		{sv, "mine.*.*", "theirs.$2.x.$1", "", "theirs.*.x.*", "mine.$2.$1", ""},
		{sv, "mine.*.*.*", "t.$2.$3.$1", "", "t.*.*.*", "mine.$3.$1.$2", ""},
		{sv, "theirs.*", "", "mine.$1", "theirs.*", "mine.$1", ""},
		{sv, "same", "same", "", "same", "", ""},
		{sv, "mine.*", "theirs", "", "", "", "wildcards"},
		{sv, "mine", "theirs.*", "", "", "", "doesn't go"},
		{sv, "mine.*", "theirs.$1.$1", "", "", "", "twice"},
		{sv, "mine.>", "theirs", "", "", "", "doesn't go"},
		{sv, "a", "b", "c", "", "", "both"},
		{st, "a.*", "", "b.$2", "", "", "doesn't go"},
		{st, "a.*", "", "b", "", "", "doesn't go"},
		{st, "a..b", "", "", "", "", "not valid"},
		{st, "a", "", "b c", "", "", "doesn't go"},
		{st, "", "", "", "", "", "not valid"},
	} {
		i := &jwt.Import{Type: tt.kind, Subject: jwt.Subject(tt.subject), LocalSubject: jwt.RenamingSubject(tt.local)}
		i.To = jwt.Subject(tt.to) //lint:ignore SA1019 old claims have it
		there, here, err := renaming(i)
		if tt.problem != "" {
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("%+v: got %q, %q, %v", tt, there, here, err)
			}
		} else if there != tt.there || here != tt.here || err != nil {
			t.Errorf("%+v: got %q, %q, %v", tt, there, here, err)
		}
	}
}

// TestActivation has imports with tokens of every kind; only good ones are kept.
func TestActivation(t *testing.T) {
	exporter, signing, scopeKey, stranger := accountKey(), accountKey(), accountKey(), accountKey()
	const at = 1_700_000_000
	for _, tt := range []struct {
		name   string
		by     key
		change func(*jwt.ActivationClaims)
		iat    int64
		reason string // "" is kept
	}{
		{"the account", exporter, nil, at, ""},
		{"its signing key", signing, func(a *jwt.ActivationClaims) { a.IssuerAccount = exporter.pub }, at, ""},
		{"wider", exporter, func(a *jwt.ActivationClaims) { a.ImportSubject = ">" }, at, ""},
		{"signing key without issuer account", signing, nil, at, "not trusted"},
		{"scoped key", scopeKey, func(a *jwt.ActivationClaims) { a.IssuerAccount = exporter.pub }, at, "unscoped"},
		{"a stranger", stranger, nil, at, "not trusted"},
		{"a stranger for the account", stranger, func(a *jwt.ActivationClaims) { a.IssuerAccount = exporter.pub }, at, "signing key"},
		{"the account for another", exporter, func(a *jwt.ActivationClaims) { a.IssuerAccount = stranger.pub }, at, "not trusted"},
		{"an operator", operatorKey(), nil, at, "not trusted"},
		{"forged", key{stranger.KeyPair, exporter.pub}, nil, at, "signature"},
		{"replayed by another importer", exporter, func(a *jwt.ActivationClaims) { a.Subject = stranger.pub }, at, "for account"},
		{"another subject", exporter, func(a *jwt.ActivationClaims) { a.ImportSubject = "other.>" }, at, "doesn't cover"},
		{"narrower", exporter, func(a *jwt.ActivationClaims) { a.ImportSubject = "s.one.only" }, at, "doesn't cover"},
		{"another kind", exporter, func(a *jwt.ActivationClaims) { a.ImportType = jwt.Service }, at, "another type"},
		{"expired", exporter, func(a *jwt.ActivationClaims) { a.Expires = at + 1 }, at, "expired"},
		{"not yet valid", exporter, func(a *jwt.ActivationClaims) { a.NotBefore = 1 << 40 }, at, "not yet valid"},
		{"no date", exporter, nil, -1, "no date"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			ec := jwt.NewAccountClaims(exporter.pub)
			ec.SigningKeys.Add(signing.pub)
			s := jwt.NewUserScope()
			s.Key = scopeKey.pub
			ec.SigningKeys.AddScopedSigner(s)
			// They import from each other: neither may wait for the other.
			ec.Imports.Add(&jwt.Import{Subject: "x", Account: w.acc.pub, Type: jwt.Stream})
			w.resolver.put(exporter.pub, sign(w.op, ec, 0))
			a := jwt.NewActivationClaims(w.acc.pub)
			a.ImportSubject, a.ImportType = "s.*", jwt.Stream
			if tt.change != nil {
				tt.change(a)
			}
			token := sign(tt.by, a, tt.iat)
			w.account(func(c *jwt.AccountClaims) {
				c.Imports.Add(&jwt.Import{Subject: "s.one", Account: exporter.pub, Type: jwt.Stream, Token: token, AllowTrace: true})
			})
			acc, err := w.trust.Account(t.Context(), w.acc.pub)
			if err != nil {
				t.Fatal(err)
			}
			noSecret(t, w.log.String(), token)
			if tt.reason != "" {
				if len(acc.Spec.Imports) != 0 || !strings.Contains(w.log.String(), tt.reason) {
					t.Errorf("got %+v, log %s", acc.Spec.Imports, w.log)
				}
				return
			}
			want := []account.Import{{Kind: account.Stream, Account: exporter.pub, Subject: "s.one", AllowTrace: true, Activated: time.Unix(at, 0)}}
			if !reflect.DeepEqual(acc.Spec.Imports, want) {
				t.Errorf("got %+v, want %+v; log %s", acc.Spec.Imports, want, w.log)
			}
		})
	}
}

func TestImportsLeftOut(t *testing.T) {
	w := newWorld(t, nil)
	w.account(func(c *jwt.AccountClaims) {
		c.Imports.Add(
			&jwt.Import{Subject: "self", Account: w.acc.pub, Type: jwt.Stream},
			&jwt.Import{Subject: "nobody", Account: "NOBODY", Type: jwt.Stream},
			&jwt.Import{Subject: "tab\tbed", Account: w.sys.pub, Type: jwt.Stream},
			&jwt.Import{Subject: "garbage", Account: w.sys.pub, Type: jwt.Stream, Token: "x.y.z"},
			&jwt.Import{Subject: "good", Account: w.sys.pub, Type: jwt.Service, Share: true},
		)
	})
	acc, err := w.trust.Account(t.Context(), w.acc.pub)
	if err != nil {
		t.Fatal(err)
	}
	want := []account.Import{{Kind: account.Service, Account: w.sys.pub, Subject: "good", Share: true}}
	if !reflect.DeepEqual(acc.Spec.Imports, want) || strings.Count(w.log.String(), "left out") != 4 {
		t.Errorf("got %+v; log %s", acc.Spec.Imports, w.log)
	}
}

// TestDependents has an exporter take a signing key back, and give it again.
func TestDependents(t *testing.T) {
	w := newWorld(t, nil)
	exporter, signing := accountKey(), accountKey()
	ec := jwt.NewAccountClaims(exporter.pub)
	ec.SigningKeys.Add(signing.pub)
	push := func(iat int64) {
		t.Helper()
		if _, changed, err := w.trust.Load(t.Context(), sign(w.op, ec, iat)); err != nil || !changed {
			t.Fatal(changed, err)
		}
	}
	push(100)
	a := jwt.NewActivationClaims(w.acc.pub)
	a.ImportSubject, a.ImportType, a.IssuerAccount = "s", jwt.Stream, exporter.pub
	token := sign(signing, a, 0)
	w.account(func(c *jwt.AccountClaims) {
		c.Imports.Add(&jwt.Import{Subject: "s", Account: exporter.pub, Type: jwt.Stream, Token: token})
	})
	if acc, err := w.trust.Account(t.Context(), w.acc.pub); err != nil || len(acc.Spec.Imports) != 1 {
		t.Fatal(acc, err)
	}
	if got := w.trust.Dependents(t.Context(), exporter.pub); len(got) != 0 {
		t.Errorf("nothing changed, got %v", got)
	}
	ec.SigningKeys.Remove(signing.pub)
	push(200)
	if got := w.trust.Dependents(t.Context(), exporter.pub); len(got) != 1 || len(got[0].Spec.Imports) != 0 {
		t.Errorf("key taken back: got %v", got)
	}
	ec.SigningKeys.Add(signing.pub)
	push(300)
	if got := w.trust.Dependents(t.Context(), exporter.pub); len(got) != 1 || len(got[0].Spec.Imports) != 1 {
		t.Errorf("key given again: got %v", got)
	}
}

// TestUnresolved has the exporter's token missing at first, and the caller give
// up while it is asked for.
func TestUnresolved(t *testing.T) {
	var g *gate
	w := newWorld(t, func(o *Options) {
		g = &gate{Resolver: o.Resolver, open: make(chan struct{}), in: make(chan struct{}, 100)}
		o.Resolver = g
	})
	exporter, signing := accountKey(), accountKey()
	ec := jwt.NewAccountClaims(exporter.pub)
	ec.SigningKeys.Add(signing.pub)
	a := jwt.NewActivationClaims(w.acc.pub)
	a.ImportSubject, a.ImportType, a.IssuerAccount = ">", jwt.Stream, exporter.pub
	token := sign(signing, a, 0)
	w.account(func(c *jwt.AccountClaims) {
		for _, s := range []jwt.Subject{"s", "t"} {
			c.Imports.Add(&jwt.Import{Subject: s, Account: exporter.pub, Type: jwt.Stream, Token: token})
		}
	})

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := w.trust.Load(ctx, w.resolver.tokens[w.acc.pub])
		done <- err
	}()
	<-g.in
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || len(w.trust.Accounts()) != 0 {
		t.Errorf("given up: %v, in use are %v", err, w.trust.Accounts())
	}

	close(g.open)
	before := g.calls.Load()
	acc, err := w.trust.Account(t.Context(), w.acc.pub)
	if err != nil || len(acc.Spec.Imports) != 0 || !slices.Equal(acc.Unresolved, []string{exporter.pub}) {
		t.Fatalf("exporter missing: %+v, %v", acc, err)
	}
	if n := g.calls.Load() - before; n != 2 {
		t.Errorf("the resolver was asked %d times, want once for each account", n)
	}
	w.resolver.put(exporter.pub, sign(w.op, ec, 0))
	if got := w.trust.Dependents(t.Context(), exporter.pub); len(got) != 1 || len(got[0].Spec.Imports) != 2 || got[0].Unresolved != nil {
		t.Errorf("exporter there: %+v", got)
	}
}
