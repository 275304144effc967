package brokertest_test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// secretKind is a way to say who one is, and what of it must stay unknown.
type secretKind struct {
	name, config string
	scheme       string
	prep         func(*testing.T, *authServer)
	sys          []nats.Option            // of the system account; nil where there is none
	good, bad    map[string][]nats.Option // bad are refused
	account      string                   // of those let in; "" is $G
	secrets      []string
	jwts         []string // of those let in: see showJWTs
	bearers      []string // and showBearers
	log          []string // what the log tells of it
}

// witness collects what a test must look for afterwards.
type witness struct {
	mu      sync.Mutex
	secrets []string
	told    map[string]string // by where
}

func (w *witness) tell(where, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[where] += text + "\n"
}

// signing is k, whose signatures are secrets.
func (w *witness) signing(k nkeys.KeyPair) nats.SignatureHandler {
	return func(nonce []byte) ([]byte, error) {
		sig, err := k.Sign(nonce)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.secrets = append(w.secrets, base64.RawURLEncoding.EncodeToString(sig), base64.StdEncoding.EncodeToString(sig))
		return sig, err
	}
}

func (w *witness) jwt(u jwtUser) []nats.Option {
	return []nats.Option{nats.UserJWT(func() (string, error) { return u.token, nil }, w.signing(u.key))}
}

const secretAccounts = `accounts {
  SYS { users: [{ user: sys, password: sys-secret }] }
  A { users: [{ user: ann, password: ann-secret }, { user: bea, password: %q }, { nkey: %s }] }
}
system_account: SYS
`

func secretKinds(t *testing.T, w *witness) []secretKind {
	t.Helper()
	one := func(o ...nats.Option) []nats.Option { return o }
	type logins = map[string][]nats.Option
	password := func(user, pass string) []nats.Option { return one(nats.UserInfo(user, pass)) }
	known, stranger := newKey(t, nkeys.CreateUser), newKey(t, nkeys.CreateUser)
	ws := func(keys string) string {
		return `websocket { listen: "127.0.0.1:<ws>", no_tls: true, ` + keys + " }\n"
	}
	tokenHash, passHash := hashed(t, "tok-secret"), hashed(t, "bea-secret")
	accounts := fmt.Sprintf(secretAccounts, passHash, public(t, known))
	sys := password("sys", "sys-secret")

	d := relations{{name: "A", users: []relUser{{name: "ann"}, {name: "ben", bearer: true}}}}.operator(t)
	ann, ben := d.users["ann"], d.users["ben"]
	forged := d.issue(t, newKey(t, nkeys.CreateAccount), nil)
	late := d.issue(t, d.pairs["A"], func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Minute).Unix() })
	boss := d.issue(t, d.sys, nil)
	gone := d.users["revoked-A"]

	callout := newCalloutService(t, false)
	called := strings.NewReplacer("accounts { ", "accounts { SYS { users: [{ user: sys, password: sys-secret }] }, ", "[auth] }", "[auth, sys] }").Replace(callout.config()) + "system_account: SYS\n"

	return []secretKind{
		{name: "token", config: "authorization { token: tok-secret }\n", good: logins{"right": one(nats.Token("tok-secret"))}, bad: logins{"wrong": one(nats.Token("tok-wrong")), "user": password("eve", "eve-wrong")},
			secrets: []string{"tok-secret", "tok-wrong", "eve-wrong"}, log: []string{"user=eve"}},
		{name: "token bcrypt", config: fmt.Sprintf("authorization { token: %q }\n", tokenHash), good: logins{"right": one(nats.Token("tok-secret"))}, bad: logins{"wrong": one(nats.Token("tok-wrong"))},
			secrets: []string{"tok-secret", "tok-wrong", tokenHash}},
		{name: "users", account: "A", config: accounts, sys: sys,
			good:    logins{"ann": password("ann", "ann-secret"), "bea": password("bea", "bea-secret"), "nkey": one(nats.Nkey(public(t, known), w.signing(known)))},
			bad:     logins{"ann": password("ann", "ann-wrong"), "bea": password("bea", "bea-wrong"), "eve": password("eve", "eve-wrong"), "nkey": one(nats.Nkey(public(t, known), w.signing(stranger)))},
			secrets: []string{"ann-secret", "bea-secret", passHash, "sys-secret", "ann-wrong", "bea-wrong", "eve-wrong", seedOf(t, known)},
			log:     []string{"user=ann", "user=bea", "user=eve", "nkey=" + public(t, known)}},
		{name: "cookies", account: "A", scheme: "ws", config: accounts + ws("user_cookie: u, pass_cookie: p"), sys: sys, good: logins{"ann": one(cookies("u=ann; p=ann-secret; other=other-secret"))}, bad: logins{"ann": one(cookies("u=ann; p=ann-wrong"))},
			secrets: []string{"ann-secret", "ann-wrong", "other-secret", passHash, "sys-secret"}},
		{name: "cookie token", scheme: "ws", config: "authorization { token: tok-secret }\n" + ws("token_cookie: t"), good: logins{"right": one(cookies("t=tok-secret"))}, bad: logins{"wrong": one(cookies("t=tok-wrong"))},
			secrets: []string{"tok-secret", "tok-wrong"}},
		{name: "operator", account: d.keys["A"], config: d.copied(t), sys: w.jwt(boss), good: logins{"ann": w.jwt(ann), "ben": one(ben.option()), "file": one(creds(t, ann.token, ann.key))},
			bad:  logins{"forged": w.jwt(forged), "late": w.jwt(late), "gone": w.jwt(gone), "another's key": w.jwt(jwtUser{ann.token, stranger})},
			jwts: []string{ann.token, boss.token}, bearers: []string{ben.token},
			secrets: []string{forged.token, late.token, gone.token, seedOf(t, ann.key), seedOf(t, boss.key), seedOf(t, forged.key), seedOf(t, d.op), seedOf(t, d.pairs["A"])}},
		{name: "cookie JWT", account: d.keys["A"], scheme: "ws", config: d.copied(t) + ws("jwt_cookie: j"), sys: w.jwt(boss), good: logins{"ben": one(cookies("j=" + ben.token))}, bad: logins{"late": one(cookies("j=" + d.users["expired-A"].token))},
			jwts: []string{boss.token}, bearers: []string{ben.token},
			secrets: []string{d.users["expired-A"].token, seedOf(t, boss.key)}},
		{name: "callout", account: "APP", config: called, prep: callout.serve, sys: sys, good: logins{"ann": password("ann", "pw-secret")}, bad: logins{"ann": password("ann", "ann-wrong")},
			secrets: []string{"pw-secret", "ann-wrong", "auth-secret", "sys-secret", seedOf(t, callout.issuer)}, log: []string{"user=ann"}},
	}
}

func seedOf(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	seed, err := k.Seed()
	must(t, err)
	return string(seed)
}

// Those who ask for it are shown the JWTs of who is let in, as nats-server does:
// they read names and limits from them, and without the seed they let nobody in. A
// bearer's does, so only the events of the system account have it. Nobody is shown
// those of who was refused.
var (
	showJWTs    = []string{"/connz?auth=1", "event ", "CONNZ"}
	showBearers = []string{"event "}
)

// secretPages are the pages that tell of clients and of the configuration;
// secretRequests, what the system account can ask.
var (
	secretPages = []string{"/", "/varz", "/connz", "/connz?auth=1&subs=detail&state=any", "/connz?auth=1&state=closed", "/accountz", "/accountz?acc=<acc>", "/accstatz?unused=1",
		"/subsz?subs=1", "/metrics", "/healthz", "/stacksz"}
	secretRequests = map[string]string{"VARZ": "", "CONNZ": `{"auth":true,"subscriptions_detail":true,"state":2}`, "SUBSZ": `{"subscriptions":true}`, "ACCOUNTZ": `{"account":"<acc>"}`, "EXPVARZ": "", "STATSZ": ""}
)

// TestSecrets looks for what clients and configurations keep to themselves where
// somebody might read it: in the log at its most talkative, in monitoring pages,
// and in events and answers of the system account.
func TestSecrets(t *testing.T) {
	t.Parallel()
	w := &witness{told: map[string]string{}}
	for _, k := range secretKinds(t, w) {
		t.Run(k.name, func(t *testing.T) {
			w.told = map[string]string{}
			w.visit(t, k)
			w.check(t, k, "authentication error", "op=CONNECT", "payload=traced", "monitoring refused")
		})
	}
}

// talkative is in front of each configuration.
func talkative(t *testing.T) (web, settings string) {
	t.Helper()
	web = freePort(t)
	return web, fmt.Sprintf("debug: true\ntrace: true\nhttp: \"127.0.0.1:%s\"\nmonitor { user: mon, password: mon-secret }\n", web)
}

// visit has clients come and go, and collects what is told of it.
func (w *witness) visit(t *testing.T, k secretKind) {
	web, settings := talkative(t)
	s := startDaemon(t, settings+k.config)
	if k.prep != nil {
		k.prep(t, s)
	}
	sys, events := w.listen(t, s, k)
	var joined []*nats.Conn
	for name, o := range k.good {
		nc, err := nats.Connect(s.url(k.scheme), append(o, nats.Name("client-"+name), nats.NoReconnect())...)
		must(t, err)
		defer nc.Close()
		must(t, nc.Publish("foo", []byte("traced")))
		must(t, nc.Flush())
		joined = append(joined, nc)
	}
	for name, o := range k.bad {
		nc, err := nats.Connect(s.url(k.scheme), append(o, nats.NoReconnect())...)
		if err == nil {
			nc.Close()
			t.Fatalf("%s gets in", name)
		}
		w.tell("error of "+name, err.Error())
	}
	joined[0].Close()
	acc := cmp.Or(k.account, "$G")
	if sys != nil {
		w.events(t, events, len(k.good), len(k.bad))
		for what, ask := range secretRequests {
			m, err := sys.Request("$SYS.REQ.SERVER.PING."+what, []byte(strings.ReplaceAll(ask, "<acc>", acc)), soon)
			must(t, err)
			w.tell(what, string(m.Data))
		}
	}
	for _, page := range secretPages {
		w.page(t, web, strings.ReplaceAll(page, "<acc>", url.QueryEscape(acc)), "mon-secret", http.StatusOK)
	}
	w.page(t, web, "/varz", "mon-wrong", http.StatusUnauthorized)
	w.tell("log", s.log())
}

// TestSecretsReload reloads configurations with mistakes on the very lines that
// hold secrets: the error, the log and the answer to $SYS.REQ.SERVER.<id>.RELOAD say
// what is wrong without them. So does the list of what a good one changes.
func TestSecretsReload(t *testing.T) {
	t.Parallel()
	w := &witness{told: map[string]string{}}
	web, settings := talkative(t)
	users := "accounts { SYS { users: [{ user: sys, password: sys-secret }] }, A { users: [{ user: ann, password: ann-secret }] } }\nsystem_account: SYS\n"
	s := startDaemon(t, settings+users)
	sys := dial(t, tcpAt(s.addr), nats.UserInfo("sys", "sys-secret"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // a reload takes the user away
	for name, text := range brokenSecrets {
		err := s.set(settings + text)
		if err == nil {
			t.Errorf("%s can be loaded", name)
			continue
		}
		w.tell("reload of "+name, err.Error())
		m, err := sys.Request("$SYS.REQ.SERVER."+sys.ConnectedServerId()+".RELOAD", nil, soon)
		must(t, err)
		if !strings.Contains(string(m.Data), `"error"`) {
			t.Errorf("%s: the system account is told %s", name, m.Data)
		}
		w.tell("RELOAD of "+name, string(m.Data))
	}
	hash := hashed(t, "new-secret")
	changed := strings.ReplaceAll(settings, "mon-secret", "newmon-secret")
	s.reload(t, changed+strings.Replace(users, "ann-secret", "\""+hash+"\"", 1))
	s.reload(t, changed+"authorization { user: ann, password: new-secret }\n")
	s.reload(t, changed+"authorization { token: newtok-secret }\n")
	w.page(t, web, "/varz", "newmon-secret", http.StatusOK)
	w.tell("log", s.log())
	w.check(t, secretKind{secrets: []string{"broken-secret", "987654321", "sys-secret", "ann-secret", hash, "new-secret", "newmon-secret", "newtok-secret"}},
		"Failed to reload server configuration", "Reloaded server configuration", "option=Monitor.Password", "option=Broker.Auth.Token")
}

// brokenSecrets are configurations that can't be loaded.
var brokenSecrets = map[string]string{
	"an unclosed quote":      "authorization { user: ann, password: \"broken-secret }\n",
	"no closing brace":       "authorization { token: broken-secret\n",
	"an unknown key":         "authorization { user: ann, passwrd: broken-secret }\n",
	"a user's unknown key":   "authorization { users: [{ user: ann, pasword: broken-secret }] }\n",
	"a list":                 "authorization { user: ann, password: [broken-secret] }\n",
	"a block":                "authorization { user: ann, password: { x: broken-secret } }\n",
	"a token as a list":      "authorization { token: [broken-secret] }\n",
	"a bad permission":       "authorization { users: [{ user: ann, password: broken-secret, permissions: { publish: \"a..b\" } }] }\n",
	"no user":                "authorization { users: [{ password: broken-secret }] }\n",
	"a user twice":           "authorization { users: [{ user: ann, password: broken-secret }, { user: ann, password: broken-secret }] }\n",
	"a token beside a user":  "authorization { token: broken-secret, user: ann, password: broken-secret }\n",
	"a token beside users":   "authorization { token: broken-secret, users: [{ user: ann, password: broken-secret }] }\n",
	"an nkey and a password": "authorization { users: [{ nkey: x, password: broken-secret }] }\n",
	"an nkey that is none":   "authorization { users: [{ nkey: broken-secret }] }\n",
	"monitor without user":   "monitor { password: broken-secret }\n",
	"a token of digits":      "authorization { token: 987654321 }\n",
	"a password of digits":   "authorization { user: ann, password: 987654321 }\n",
	"a user's digits":        "authorization { users: [{ user: ann, password: 987654321 }] }\n",
	"authorization as text":  "authorization: broken-secret\n",
	"users as text":          "authorization { users: broken-secret }\n",
	"users as a block":       "authorization { users: { user: ann, password: broken-secret } }\n",
	"an account's users":     "accounts { A { users: { user: ann, password: broken-secret } } }\n",
	"authorization as list":  "authorization: [{ user: ann, password: broken-secret }]\n",
	"accounts as list":       "accounts: [{ A: { users: [{ user: ann, password: broken-secret }] } }]\n",
	"users in a list":        "authorization { users: [[{ user: ann, password: broken-secret }]] }\n",
	"monitor as list":        "monitor: [{ user: mon, password: broken-secret }]\n",
	"monitor as text":        "monitor: broken-secret\n",
	"a preloaded JWT":        "resolver: MEMORY\nresolver_preload: { ABC: broken-secret }\n",
}

// listen connects as the system account and subscribes to the events of clients.
func (w *witness) listen(t *testing.T, s *authServer, k secretKind) (*nats.Conn, chan *nats.Msg) {
	t.Helper()
	if k.sys == nil {
		return nil, nil
	}
	nc := dial(t, tcpAt(s.addr), k.sys...)
	ch := make(chan *nats.Msg, 1000)
	for _, subj := range []string{"$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT", "$SYS.SERVER.*.CLIENT.AUTH.ERR"} {
		_, err := nc.ChanSubscribe(subj, ch)
		must(t, err)
	}
	must(t, nc.Flush())
	return nc, ch
}

// events takes them until those of the clients are there.
func (w *witness) events(t *testing.T, ch chan *nats.Msg, joined, refused int) {
	t.Helper()
	for connects, disconnects := 0, 0; connects < joined || disconnects == 0 || refused > 0; {
		m := receive(t, ch, fmt.Sprintf("events, of %d refused", refused))
		_, what, _ := strings.Cut(m.Subject[len("$SYS.ACCOUNT."):], ".")
		switch what {
		case "CONNECT":
			connects++
		case "DISCONNECT":
			disconnects++
		default:
			refused--
		}
		w.tell("event "+what, string(m.Data))
	}
}

// page fetches a monitoring page.
func (w *witness) page(t *testing.T, port, page, pass string, status int) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:"+port+page, nil)
	must(t, err)
	q.SetBasicAuth("mon", pass)
	a, err := http.DefaultClient.Do(q)
	must(t, err)
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	must(t, err)
	if a.StatusCode != status {
		t.Errorf("%s with %s: %s", page, pass, a.Status)
	}
	w.tell(page, fmt.Sprint(a.Header, string(body)))
}

var payloadOfJWT = regexp.MustCompile(`eyJ[\w-]+\.(eyJ[\w-]+)\.`)

// check looks for the secrets everywhere, and in the log for what must be there.
func (w *witness) check(t *testing.T, k secretKind, logged ...string) {
	t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte("mon:mon-secret"))
	secrets := slices.Concat(k.secrets, k.jwts, k.bearers, w.secrets, []string{"mon-secret", "mon-wrong", basic})
	seen := map[string]bool{}
	for where, text := range w.told {
		for _, m := range payloadOfJWT.FindAllStringSubmatch(text, -1) { // what a JWT says is no better hidden
			if claims, err := base64.RawURLEncoding.DecodeString(m[1]); err == nil {
				text += string(claims) + "\n"
			}
		}
		among := func(places []string) bool {
			return slices.ContainsFunc(places, func(p string) bool { return strings.HasPrefix(where, p) })
		}
		for _, secret := range secrets {
			i := strings.Index(text, secret)
			switch {
			case i < 0:
			case slices.Contains(k.jwts, secret) && among(showJWTs), slices.Contains(k.bearers, secret) && among(showBearers):
				seen[secret] = true
			default:
				t.Errorf("%s shows %.60q: %q", where, secret, text[max(0, i-100):min(len(text), i+150)])
			}
		}
	}
	if want := len(k.jwts) + len(k.bearers); len(seen) != want {
		t.Errorf("%d of %d JWTs are shown where they may be", len(seen), want)
	}
	for _, want := range append(logged, k.log...) {
		if !strings.Contains(w.told["log"], want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}
