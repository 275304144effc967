package brokertest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"
)

// authKind is one way to say who one is.
type authKind struct {
	name   string
	config func(t *testing.T) string
	scheme string // "ws" or "tls"; "" is plain TCP
	prep   func(t *testing.T, s *authServer)
	good   []nats.Option
	bad    map[string][]nats.Option
}

func fixed(text string) func(*testing.T) string { return func(*testing.T) string { return text } }

func hashed(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must(t, err)
	return string(h)
}

// cookies has nats.go send a Cookie header.
func cookies(text string) nats.Option {
	return func(o *nats.Options) error {
		o.WebSocketConnectionHeaders = http.Header{"Cookie": {text}, "X-Plant": {"north"}}
		return nil
	}
}

func signed(t *testing.T, by, name nkeys.KeyPair) nats.Option {
	t.Helper()
	return nats.Nkey(public(t, name), func(nonce []byte) ([]byte, error) { return by.Sign(nonce) })
}

// creds writes a file as nsc does.
func creds(t *testing.T, token string, k nkeys.KeyPair) nats.Option {
	t.Helper()
	seed, err := k.Seed()
	must(t, err)
	text, err := jwt.FormatUserConfig(token, seed)
	must(t, err)
	file := filepath.Join(t.TempDir(), "user.creds")
	must(t, os.WriteFile(file, text, 0o600))
	return nats.UserCredentials(file)
}

// authority is a CA with a server's and clients' certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", "ca")
	a.issue(t, "server", "localhost")
	return a
}

// issue writes NAME.crt and NAME.key.
func (a *authority) issue(t *testing.T, name, cn string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, by := a.cert, a.key
	if parent == nil {
		tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage, tmpl.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
		parent, by = tmpl, k
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, k.Public(), by)
	must(t, err)
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	must(t, os.WriteFile(a.file(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kder}), 0o600))
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, k
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) config() string {
	return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }\n", a.file("server.crt"), a.file("server.key"), a.file("ca.crt"))
}

func (a *authority) client(name string) []nats.Option {
	o := []nats.Option{nats.RootCAs(a.file("ca.crt"))}
	if name != "" {
		o = append(o, nats.ClientCert(a.file(name+".crt"), a.file(name+".key")))
	}
	return o
}

// authKinds are all of them.
func authKinds(t *testing.T) []authKind {
	t.Helper()
	known, stranger := newKey(t, nkeys.CreateUser), newKey(t, nkeys.CreateUser)
	rs := relations{{name: "A", users: []relUser{{name: "ann"}, {name: "ben", bearer: true}}}}
	dir := rs.operator(t)
	ann, ben := dir.users["ann"], dir.users["ben"]
	forged := dir.issue(t, newKey(t, nkeys.CreateAccount), nil)
	soonGone := dir.issue(t, dir.pairs["A"], func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Minute).Unix() })
	body := strings.Split(ann.token, ".")
	unsigned := jwtUser{token: body[0] + "." + body[1] + ".", key: ann.key}
	ca := newAuthority(t)
	ca.issue(t, "ann", "ann")
	ca.issue(t, "mallory", "mallory")
	other := newAuthority(t)
	other.issue(t, "ann", "ann")
	ws := `websocket { listen: "127.0.0.1:<ws>", no_tls: true%s }` + "\n"
	plain, sealed := newCalloutService(t, false), newCalloutService(t, true)
	one := func(o ...nats.Option) []nats.Option { return o }
	return []authKind{
		{name: "token", config: fixed("authorization { token: tok-secret }"), good: one(nats.Token("tok-secret")),
			bad: map[string][]nats.Option{"wrong": one(nats.Token("x")), "none": nil, "as user": one(nats.UserInfo("tok-secret", ""))}},
		{name: "token bcrypt", config: fixed(fmt.Sprintf("authorization { token: %q }", hashed(t, "tok-secret"))), good: one(nats.Token("tok-secret")), bad: map[string][]nats.Option{"wrong": one(nats.Token("x"))}},
		{name: "user", config: fixed("authorization { user: ann, password: pw-secret }"), good: one(nats.UserInfo("ann", "pw-secret")),
			bad: map[string][]nats.Option{"wrong": one(nats.UserInfo("ann", "x")), "none": nil, "unknown": one(nats.UserInfo("bob", "pw-secret"))}},
		{name: "users bcrypt", config: fixed(fmt.Sprintf("authorization { users: [{ user: ann, password: %q }] }", hashed(t, "pw-secret"))), good: one(nats.UserInfo("ann", "pw-secret")),
			bad: map[string][]nats.Option{"wrong": one(nats.UserInfo("ann", "x")), "unknown": one(nats.UserInfo("bob", "pw-secret"))}},
		{name: "nkey", config: fixed(fmt.Sprintf("authorization { users: [{ nkey: %s }] }", public(t, known))), good: one(signed(t, known, known)),
			bad: map[string][]nats.Option{"unknown": one(signed(t, stranger, stranger)), "another's signature": one(signed(t, stranger, known)), "none": nil}},
		{name: "creds", config: dir.copied, good: one(creds(t, ann.token, ann.key)),
			bad: map[string][]nats.Option{"none": nil, "another's key": one(jwtUser{ann.token, stranger}.option()), "forged": one(forged.option()), "expired": one(soonGone.option()),
				"unsigned": one(unsigned.option()), "revoked": one(dir.users["revoked-A"].option()), "no signature": one(jwtUser{ann.token, nil}.option())}},
		{name: "bearer", config: dir.copied, good: one(ben.option()), bad: map[string][]nats.Option{"expired": one(dir.users["expired-A"].option())}},
		{name: "certificate", scheme: "tls", config: fixed(ca.config() + "authorization { users: [{ user: \"CN=ann\" }] }"), good: ca.client("ann"),
			bad: map[string][]nats.Option{"unknown": ca.client("mallory"), "none": ca.client(""), "another CA's": append(other.client("ann"), nats.RootCAs(ca.file("ca.crt")))}},
		{name: "cookies user and password", scheme: "ws", config: fixed("authorization { users: [{ user: ann, password: pw-secret }] }\n" + fmt.Sprintf(ws, ", user_cookie: u, pass_cookie: p")),
			good: one(cookies("u=ann; p=pw-secret")), bad: map[string][]nats.Option{"wrong": one(cookies("u=ann; p=x")), "none": nil}},
		{name: "cookie token", scheme: "ws", config: fixed("authorization { token: tok-secret }\n" + fmt.Sprintf(ws, ", token_cookie: t")), good: one(cookies("t=tok-secret")),
			bad: map[string][]nats.Option{"wrong": one(cookies("t=x")), "none": nil, "another cookie": one(cookies("x=tok-secret"))}},
		{name: "cookie JWT", scheme: "ws", config: func(t *testing.T) string { return dir.copied(t) + fmt.Sprintf(ws, ", jwt_cookie: j") }, good: one(cookies("j=" + ben.token)),
			bad: map[string][]nats.Option{"wrong": one(cookies("j=x")), "expired": one(cookies("j=" + dir.users["expired-A"].token)), "no bearer": one(cookies("j=" + ann.token))}},
		{name: "callout", config: fixed(plain.config()), prep: plain.serve, good: one(nats.UserInfo("ann", "pw-secret")), bad: map[string][]nats.Option{"wrong": one(nats.UserInfo("ann", "x")), "none": nil, "the service's user": one(nats.UserInfo("auth", "x"))}},
		{name: "callout encrypted", config: fixed(sealed.config()), prep: sealed.serve, good: one(nats.UserInfo("ann", "pw-secret")), bad: map[string][]nats.Option{"wrong": one(nats.UserInfo("ann", "x")), "none": nil}},
		{name: "no_auth_user", config: fixed("authorization { users: [{ user: ann, password: pw-secret }] }\nno_auth_user: ann"), bad: map[string][]nats.Option{"wrong": one(nats.UserInfo("ann", "x"))}},
	}
}

func (s *authServer) url(scheme string) string {
	switch scheme {
	case "ws":
		return "ws://127.0.0.1:" + s.ws
	case "tls":
		return "tls://" + s.addr
	}
	return "nats://" + s.addr
}

// TestAuthKinds: each kind gets in with what is right and not with what is wrong,
// here as there.
func TestAuthKinds(t *testing.T) {
	t.Parallel()
	for _, k := range authKinds(t) {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			said := map[string]string{}
			for _, s := range authServers(t, k.config(t)) {
				if k.prep != nil {
					k.prep(t, s)
				}
				nc, err := nats.Connect(s.url(k.scheme), k.good...)
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				sub, err := nc.SubscribeSync("foo")
				must(t, err)
				must(t, nc.Publish("foo", []byte("hi")))
				next(t, sub, "hi")
				nc.Close()
				for name, bad := range k.bad {
					nc, err := nats.Connect(s.url(k.scheme), bad...)
					if err == nil {
						nc.Close()
						t.Errorf("%s: %s gets in", s.name, name)
						continue
					}
					// Over others what nats.go writes may come after the close, and it tells of that.
					if k.scheme == "" && !errors.Is(err, nats.ErrAuthorization) {
						t.Errorf("%s: %s: %v, want %v", s.name, name, err, nats.ErrAuthorization)
					}
					text := strings.ReplaceAll(err.Error(), s.addr, "")
					if was, ok := said[name]; ok && was != text && k.scheme == "" {
						t.Errorf("%s: nats-server says %q, we %q", name, was, text)
					}
					said[name] = text
				}
			}
		})
	}
}

// TestAuthExpires: who is let in for a time is cut when it is over, and told why;
// a client with new credentials comes back.
func TestAuthExpires(t *testing.T) {
	t.Parallel()
	rs := relations{{name: "A", users: []relUser{{name: "ann"}}}}
	dir := rs.operator(t)
	service := newCalloutService(t, false)
	service.lifetime = time.Second
	short := func(t *testing.T, bearer bool) jwtUser {
		return dir.issue(t, dir.pairs["A"], func(c *jwt.UserClaims) { c.Expires, c.BearerToken = time.Now().Add(2*time.Second).Unix(), bearer })
	}
	for _, k := range []struct {
		name   string
		config func(t *testing.T) string
		scheme string
		prep   func(t *testing.T, s *authServer)
		option func(t *testing.T) nats.Option
		again  bool // the same credentials hold for another while
	}{
		{name: "creds", config: dir.copied, option: func(t *testing.T) nats.Option { u := short(t, false); return creds(t, u.token, u.key) }},
		{name: "bearer", config: dir.copied, option: func(t *testing.T) nats.Option { return short(t, true).option() }},
		{name: "cookie", scheme: "ws", config: func(t *testing.T) string {
			return dir.copied(t) + "websocket { listen: \"127.0.0.1:<ws>\", no_tls: true, jwt_cookie: j }\n"
		}, option: func(t *testing.T) nats.Option { return cookies("j=" + short(t, true).token) }},
		{name: "callout", config: fixed(service.config()), prep: service.serve, option: func(*testing.T) nats.Option { return nats.UserInfo("ann", "pw-secret") }, again: true},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range authServers(t, k.config(t)) {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					if k.prep != nil {
						k.prep(t, s)
					}
					told, back, closed := make(chan error, 10), make(chan bool, 10), make(chan error, 1)
					nc, err := nats.Connect(s.url(k.scheme), k.option(t), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0),
						nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { told <- err }),
						nats.ReconnectHandler(func(*nats.Conn) { back <- true }),
						nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
					must(t, err)
					defer nc.Close()
					if err := receive(t, told, "the expiry"); !errors.Is(err, nats.ErrAuthExpired) {
						t.Fatalf("told %v, want %v", err, nats.ErrAuthExpired)
					}
					if k.again {
						receive(t, back, "the reconnect")
						return
					}
					if s.name != "ganglion" {
						return // within the second of the expiry it lets them in again
					}
					if err := receive(t, closed, "the end"); !errors.Is(err, nats.ErrAuthorization) {
						t.Errorf("after it: %v, want %v", err, nats.ErrAuthorization)
					}
				})
			}
		})
	}
}

// TestAuthRemoved: a reload that takes away what somebody came with ends that
// connection and no other, for kinds that raw connections can't have.
func TestAuthRemoved(t *testing.T) {
	t.Parallel()
	known, stays := newKey(t, nkeys.CreateUser), newKey(t, nkeys.CreateUser)
	ca := newAuthority(t)
	ca.issue(t, "ann", "ann")
	ca.issue(t, "stay", "stay")
	ws := `websocket { listen: "127.0.0.1:<ws>", no_tls: true, user_cookie: u, pass_cookie: p }` + "\n"
	users := func(list string) string { return "authorization { users: [" + list + "] }\n" }
	for _, k := range []struct {
		name, scheme, before, after string
		ann, stay                   []nats.Option
	}{
		{"nkey", "", users("{nkey: " + public(t, known) + "}, {nkey: " + public(t, stays) + "}"), users("{nkey: " + public(t, stays) + "}"), []nats.Option{signed(t, known, known)}, []nats.Option{signed(t, stays, stays)}},
		{"bcrypt", "", users(fmt.Sprintf("{user: ann, password: %q}, {user: stay, password: pw}", hashed(t, "pw"))), users(fmt.Sprintf("{user: ann, password: %q}, {user: stay, password: pw}", hashed(t, "other"))),
			[]nats.Option{nats.UserInfo("ann", "pw")}, []nats.Option{nats.UserInfo("stay", "pw")}},
		{"certificate", "tls", ca.config() + users(`{user: "CN=ann"}, {user: "CN=stay"}`), ca.config() + users(`{user: "CN=stay"}`), ca.client("ann"), ca.client("stay")},
		{"cookies", "ws", ws + users("{user: ann, password: pw}, {user: stay, password: pw}"), ws + users("{user: stay, password: pw}"), []nats.Option{cookies("u=ann; p=pw")}, []nats.Option{cookies("u=stay; p=pw")}},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range authServers(t, k.before) {
				closed := make(chan error, 1)
				ann, err := nats.Connect(s.url(k.scheme), append(k.ann, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))...)
				must(t, err)
				defer ann.Close()
				stay := dial(t, target{url: s.url(k.scheme)}, append(k.stay, nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
					if err != nil {
						t.Errorf("%s: who may stay was cut: %v", s.name, err)
					}
				}))...)
				s.reload(t, k.after)
				if err := receive(t, closed, "the end"); !errors.Is(err, nats.ErrAuthorization) {
					t.Errorf("%s: ended by %v, want %v", s.name, err, nats.ErrAuthorization)
				}
				must(t, stay.Flush())
				if n := stay.Stats().Reconnects; n != 0 {
					t.Errorf("%s: who may stay reconnected", s.name)
				}
			}
		})
	}
}

// TestConnectionTypes: users are let in by what they may come by.
func TestConnectionTypes(t *testing.T) {
	t.Parallel()
	rs := relations{{name: "A", users: []relUser{{name: "ann"}}}}
	dir := rs.operator(t)
	var list strings.Builder
	jwts := map[string]jwtUser{}
	types := []string{"STANDARD", "WEBSOCKET", "IN_PROCESS", "QUIC", "WEBTRANSPORT"}
	for _, kind := range types {
		fmt.Fprintf(&list, "{ user: %s, password: pw, allowed_connection_types: [%s] }, ", kind, strings.ToLower(kind))
		jwts[kind] = dir.issue(t, dir.pairs["A"], func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add(kind) })
	}
	ws := "write_deadline: \"200ms\"\nwebsocket { listen: \"127.0.0.1:<ws>\", no_tls: true }\n"
	for _, mode := range []struct {
		name, config string
		option       func(kind string) nats.Option
	}{
		{"config", ws + "authorization { users: [" + list.String() + "] }\n", func(kind string) nats.Option { return nats.UserInfo(kind, "pw") }},
		{"jwt", ws + dir.copied(t), func(kind string) nats.Option { return jwts[kind].option() }},
	} {
		t.Run(mode.name, func(t *testing.T) {
			s := startDaemon(t, mode.config)
			for _, kind := range types {
				for by, url := range map[string]string{"STANDARD": s.url(""), "WEBSOCKET": s.url("ws"), "IN_PROCESS": ""} {
					options := []nats.Option{mode.option(kind)}
					if by == "IN_PROCESS" {
						options = append(options, nats.InProcessServer(s.inProcess))
					}
					nc, err := nats.Connect(url, options...)
					if err == nil {
						nc.Close()
					}
					switch {
					case by != "STANDARD" && kind != by && err != nil: // the -ERR may get lost
					case kind == by && err != nil:
						t.Errorf("a user for %s: %v", kind, err)
					case kind != by && !errors.Is(err, nats.ErrAuthorization):
						t.Errorf("a user for %s over %s: %v, want %v", kind, by, err, nats.ErrAuthorization)
					}
				}
			}
		})
	}
}
