package brokertest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// relations are accounts and what they share. They can be written as a
// configuration file and as JWTs.
type relations []*relAccount

type relAccount struct {
	name     string
	users    []relUser
	exports  []relExport
	imports  []relImport
	mappings map[string][]jwt.WeightedMapping
	defaults *jwt.Permissions
	conns    int64 // limits; 0 is none
	subs     int64
	payload  int64
}

type relUser struct {
	name   string
	perms  *jwt.Permissions
	signer bool // in operator mode a signing key issues the user
	scoped bool // and its scope says what perms says
	bearer bool
}

type relExport struct {
	service   string // or
	stream    string
	accounts  []string // nil is everybody
	position  uint     // account_token_position
	response  string
	threshold string
}

type relImport struct {
	account         string
	service, stream string
	to, prefix      string
	share           bool
}

// An account's name between "@" in a subject is the name, or the public key in
// operator mode.
func named(subj string, id func(string) string) string {
	for {
		before, rest, ok := strings.Cut(subj, "@")
		name, after, ok2 := strings.Cut(rest, "@")
		if !ok || !ok2 {
			return subj
		}
		subj = before + id(name) + after
	}
}

func itself(name string) string { return name }

// config writes the relations as a configuration file.
func (rs relations) config() string {
	var b strings.Builder
	b.WriteString("accounts {\n")
	for _, a := range rs {
		fmt.Fprintf(&b, "%s {\n users: [\n", a.name)
		for _, u := range a.users {
			fmt.Fprintf(&b, "  { user: %s, password: pw%s }\n", u.name, permissionsConfig("permissions", u.perms))
		}
		b.WriteString(" ]\n exports: [\n")
		for _, e := range a.exports {
			fmt.Fprintf(&b, "  { %s", kindOf(e.service, e.stream))
			if e.accounts != nil {
				fmt.Fprintf(&b, ", accounts: [%s]", strings.Join(e.accounts, ", "))
			}
			option(&b, "response_type", e.response)
			option(&b, "response_threshold", e.threshold)
			if e.position > 0 {
				fmt.Fprintf(&b, ", account_token_position: %d", e.position)
			}
			b.WriteString(" }\n")
		}
		b.WriteString(" ]\n imports: [\n")
		for _, i := range a.imports {
			what, kind := i.service, "service"
			if i.stream != "" {
				what, kind = i.stream, "stream"
			}
			fmt.Fprintf(&b, "  { %s: { account: %s, subject: %q }", kind, i.account, named(what, itself))
			option(&b, "to", i.to)
			option(&b, "prefix", i.prefix)
			if i.share {
				b.WriteString(", share: true")
			}
			b.WriteString(" }\n")
		}
		b.WriteString(" ]\n")
		if len(a.mappings) > 0 {
			b.WriteString(" mappings: {\n")
			for src, dests := range a.mappings {
				fmt.Fprintf(&b, "  %q: [", src)
				for _, d := range dests {
					fmt.Fprintf(&b, "{ destination: %q, weight: %d%% }, ", d.Subject, d.GetWeight())
				}
				b.WriteString("]\n")
			}
			b.WriteString(" }\n")
		}
		b.WriteString(strings.TrimPrefix(permissionsConfig("default_permissions", a.defaults), ","))
		fmt.Fprintf(&b, "\n limits: { max_connections: %d, max_subscriptions: %d, max_payload: %d }\n}\n", orUnlimited(a.conns), orUnlimited(a.subs), orUnlimited(a.payload))
	}
	b.WriteString("}\n")
	return b.String()
}

func kindOf(service, stream string) string {
	if service != "" {
		return fmt.Sprintf("service: %q", service)
	}
	return fmt.Sprintf("stream: %q", stream)
}

func option(b *strings.Builder, key, value string) {
	if value != "" {
		fmt.Fprintf(b, ", %s: %q", key, value)
	}
}

func orUnlimited(n int64) int64 {
	if n == 0 {
		return jwt.NoLimit
	}
	return n
}

func permissionsConfig(key string, p *jwt.Permissions) string {
	if p == nil {
		return ""
	}
	list := func(s jwt.StringList) string {
		q := make([]string, len(s))
		for i := range s {
			q[i] = fmt.Sprintf("%q", s[i])
		}
		return "[" + strings.Join(q, ", ") + "]"
	}
	rules := func(p jwt.Permission) string {
		var kv []string
		if len(p.Allow) > 0 {
			kv = append(kv, "allow: "+list(p.Allow))
		}
		if len(p.Deny) > 0 {
			kv = append(kv, "deny: "+list(p.Deny))
		}
		return "{ " + strings.Join(kv, ", ") + " }"
	}
	var kv []string
	if !p.Pub.Empty() {
		kv = append(kv, "publish: "+rules(p.Pub))
	}
	if !p.Sub.Empty() {
		kv = append(kv, "subscribe: "+rules(p.Sub))
	}
	if p.Resp != nil {
		kv = append(kv, fmt.Sprintf("allow_responses: { max: %d, expires: %q }", p.Resp.MaxMsgs, p.Resp.Expires))
	}
	return fmt.Sprintf(", %s: { %s }", key, strings.Join(kv, ", "))
}

// directory is the relations in operator mode: a resolver's directory, and what
// users connect with.
type directory struct {
	dir    string
	config string            // without the resolver
	keys   map[string]string // public keys by account
	users  map[string]jwtUser
	pairs  map[string]nkeys.KeyPair // of accounts
	op     nkeys.KeyPair
	sys    nkeys.KeyPair
}

// jwtUser is a user's credentials in operator mode.
type jwtUser struct {
	token string
	key   nkeys.KeyPair // nil for bearers
}

// operator writes the relations as JWTs.
func (rs relations) operator(t *testing.T) *directory {
	t.Helper()
	op, sys := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount)
	opSigner := newKey(t, nkeys.CreateOperator)
	d := &directory{dir: t.TempDir(), keys: map[string]string{}, users: map[string]jwtUser{}}
	pairs, signers := map[string]nkeys.KeyPair{}, map[string]nkeys.KeyPair{}
	d.pairs, d.op, d.sys = pairs, op, sys
	for _, a := range rs {
		pairs[a.name], signers[a.name] = newKey(t, nkeys.CreateAccount), newKey(t, nkeys.CreateAccount)
		d.keys[a.name] = public(t, pairs[a.name])
	}
	key := func(name string) string { return d.keys[name] }
	oc := jwt.NewOperatorClaims(public(t, op))
	oc.SystemAccount = public(t, sys)
	oc.SigningKeys.Add(public(t, opSigner))
	d.config = fmt.Sprintf("operator: %s\nsystem_account: %s\n", encode(t, oc, op), oc.SystemAccount)
	store := func(c *jwt.AccountClaims, by nkeys.KeyPair) {
		must(t, os.WriteFile(filepath.Join(d.dir, c.Subject+".jwt"), []byte(encode(t, c, by)), 0o600))
	}
	store(jwt.NewAccountClaims(oc.SystemAccount), op)
	for n, a := range rs {
		c := jwt.NewAccountClaims(d.keys[a.name])
		c.Name = a.name
		for _, e := range a.exports {
			x := &jwt.Export{Subject: jwt.Subject(e.stream + e.service), Type: jwt.Stream, TokenReq: e.accounts != nil, AccountTokenPosition: e.position}
			if e.service != "" {
				x.Type, x.ResponseType = jwt.Service, jwt.ResponseType(e.response)
				if e.threshold != "" {
					x.ResponseThreshold, _ = time.ParseDuration(e.threshold)
				}
			}
			c.Exports.Add(x)
		}
		for _, i := range a.imports {
			x := &jwt.Import{Account: d.keys[i.account], Subject: jwt.Subject(named(i.stream+i.service, key)), Type: jwt.Stream, Share: i.share, LocalSubject: jwt.RenamingSubject(i.to)}
			if i.service != "" {
				x.Type = jwt.Service
			}
			if i.prefix != "" {
				x.LocalSubject = jwt.RenamingSubject(i.prefix + "." + string(x.Subject))
			}
			if rs.needsToken(i) {
				act := jwt.NewActivationClaims(d.keys[a.name])
				act.ImportSubject, act.ImportType = x.Subject, x.Type
				act.IssuerAccount = d.keys[i.account]
				x.Token = encode(t, act, signers[i.account])
			}
			c.Imports.Add(x)
		}
		for src, dests := range a.mappings {
			c.AddMapping(jwt.Subject(src), dests...)
		}
		if a.defaults != nil {
			c.DefaultPermissions = *a.defaults
		}
		c.Limits.Conn, c.Limits.Subs, c.Limits.Payload = orUnlimited(a.conns), orUnlimited(a.subs), orUnlimited(a.payload)
		c.SigningKeys.Add(public(t, signers[a.name]))
		for _, u := range a.users {
			if u.scoped {
				scope := jwt.NewUserScope()
				k := newKey(t, nkeys.CreateAccount)
				scope.Key, scope.Role, scope.Template.Permissions = public(t, k), u.name, *u.perms
				c.SigningKeys.AddScopedSigner(scope)
				d.user(t, u, k, c)
				continue
			}
			by := pairs[a.name]
			if u.signer {
				by = signers[a.name]
			}
			d.user(t, u, by, c)
		}
		// One that is revoked, and one that has expired.
		gone := d.user(t, relUser{name: "revoked-" + a.name}, pairs[a.name], c)
		c.RevokeAt(gone.Subject, time.Now().Add(time.Hour))
		gone = jwt.NewUserClaims(public(t, newKey(t, nkeys.CreateUser)))
		gone.Expires, gone.BearerToken = time.Now().Add(-time.Hour).Unix(), true
		d.users["expired-"+a.name] = jwtUser{token: encode(t, gone, pairs[a.name])}
		by := op
		if n%2 == 1 {
			by = opSigner
		}
		store(c, by)
	}
	return d
}

// needsToken reports whether i is of an export to certain accounts.
func (rs relations) needsToken(i relImport) bool {
	for _, a := range rs {
		for _, e := range a.exports {
			if a.name == i.account && e.service == i.service && e.stream == i.stream {
				return e.accounts != nil
			}
		}
	}
	return false
}

func (d *directory) user(t *testing.T, u relUser, by nkeys.KeyPair, c *jwt.AccountClaims) *jwt.UserClaims {
	t.Helper()
	k := newKey(t, nkeys.CreateUser)
	uc := jwt.NewUserClaims(public(t, k))
	uc.Name = u.name
	if public(t, by) != c.Subject {
		uc.IssuerAccount = c.Subject
	}
	if u.scoped {
		uc.UserPermissionLimits = jwt.UserPermissionLimits{}
	} else if u.perms != nil {
		uc.Permissions = *u.perms
	}
	uc.BearerToken = u.bearer
	cred := jwtUser{token: encode(t, uc, by), key: k}
	if u.bearer {
		cred.key = nil
	}
	d.users[u.name] = cred
	return uc
}

// copied returns the configuration with a copy of the directory for a server of
// its own.
func (d *directory) copied(t *testing.T) string {
	t.Helper()
	own := t.TempDir()
	must(t, os.CopyFS(own, os.DirFS(d.dir)))
	return d.config + fmt.Sprintf("resolver { type: full, dir: %q }\n", own)
}

// issue makes a user of an account.
func (d *directory) issue(t *testing.T, by nkeys.KeyPair, change func(*jwt.UserClaims)) jwtUser {
	t.Helper()
	k := newKey(t, nkeys.CreateUser)
	uc := jwt.NewUserClaims(public(t, k))
	if change != nil {
		change(uc)
	}
	u := jwtUser{token: encode(t, uc, by), key: k}
	if uc.BearerToken {
		u.key = nil
	}
	return u
}

// option has nats.go connect as the user.
func (u jwtUser) option() nats.Option {
	return nats.UserJWT(func() (string, error) { return u.token, nil }, func(nonce []byte) ([]byte, error) {
		if u.key == nil {
			return nil, nil
		}
		return u.key.Sign(nonce)
	})
}

// login returns what CONNECT says for a user: with a password, or with the JWT of
// operator mode.
func login(t *testing.T, d *directory, name, nonce string) map[string]any {
	t.Helper()
	if d == nil {
		return map[string]any{"user": name, "pass": "pw"}
	}
	u, ok := d.users[name]
	if !ok {
		t.Fatalf("there is no user %q", name)
	}
	f := map[string]any{"jwt": u.token}
	if u.key != nil {
		sig, err := u.key.Sign([]byte(nonce))
		must(t, err)
		f["sig"] = base64.RawURLEncoding.EncodeToString(sig)
	}
	return f
}

// connectLine is a CONNECT with these fields.
func connectLine(t *testing.T, fields map[string]any) string {
	t.Helper()
	j, err := json.Marshal(fields)
	must(t, err)
	return "CONNECT " + string(j) + "\r\n"
}
