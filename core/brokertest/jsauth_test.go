//go:build browser

package brokertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// jsPlan is what testdata/js/auth.mjs checks.
type jsPlan struct {
	Kinds    []jsAuth `json:"kinds"`
	Expiring []jsAuth `json:"expiring"`
	Removed  []jsAuth `json:"removed"`
	Narrowed []jsAuth `json:"narrowed"`

	reloads map[string]func() error           // by name
	makes   map[string]func() (jsCred, error) // of Expiring, whose time begins when they are made
}

// jsAuth is a server and who gets in there.
type jsAuth struct {
	Name  string            `json:"name"`
	URL   string            `json:"url"`
	Good  jsCred            `json:"good"`
	Bad   map[string]jsCred `json:"bad"`
	Stays jsCred            `json:"stays"` // gets in after the reload as well
}

// jsCred is what a client says who it is: what is empty it does not say.
type jsCred struct {
	Token string `json:"token,omitempty"`
	User  string `json:"user,omitempty"`
	Pass  string `json:"pass,omitempty"`
	Seed  string `json:"seed,omitempty"` // beside JWT its user's
	JWT   string `json:"jwt,omitempty"`
	Creds string `json:"creds,omitempty"`
}

// jsCreds is the text of a .creds file, also one whose seed is another's.
func jsCreds(t *testing.T, u jwtUser) jsCred {
	t.Helper()
	return jsCred{Creds: credsText(u.token, seedOf(t, u.key))}
}

func credsText(token, seed string) string {
	return fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", token, seed)
}

// TestJSAuth runs testdata/js/auth.mjs: the NATS client for JavaScript, over TCP
// and WebSocket, gets in with every kind of credentials that is right and with no
// other, and learns when they end.
func TestJSAuth(t *testing.T) {
	need(t, "node", "npm")
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "js"))))
	command(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")

	p := &jsPlan{reloads: map[string]func() error{}, makes: map[string]func() (jsCred, error){}}
	p.addKinds(t)
	p.addExpiring(t)
	p.addReloaded(t)
	web := httptest.NewServer(p.control())
	t.Cleanup(web.Close)
	runChecks(t, dir, "auth.mjs", nil, "NO_COLOR=1", web.URL)
}

const jsWebSocket = `websocket { listen: "127.0.0.1:<ws>", no_tls: true }` + "\n"

// addKinds adds each kind, over TCP and over WebSocket.
func (p *jsPlan) addKinds(t *testing.T) {
	known, stranger := newKey(t, nkeys.CreateUser), newKey(t, nkeys.CreateUser)
	d := relations{{name: "A", users: []relUser{{name: "ann"}, {name: "ben", bearer: true}}}}.operator(t)
	ann, ben := d.users["ann"], d.users["ben"]
	forged := d.issue(t, newKey(t, nkeys.CreateAccount), nil)
	late := d.issue(t, d.pairs["A"], func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Minute).Unix() })
	callout := newCalloutService(t, false)
	password := jsCred{User: "ann", Pass: "pw-secret"}
	wrong := map[string]jsCred{"wrong password": {User: "ann", Pass: "x"}, "unknown user": {User: "bob", Pass: "pw-secret"}, "none": {}}

	for _, k := range []struct {
		name, config string
		prep         func(*testing.T, *authServer)
		good         jsCred
		bad          map[string]jsCred
	}{
		{"token", "authorization { token: tok-secret }\n", nil, jsCred{Token: "tok-secret"}, map[string]jsCred{"wrong token": {Token: "x"}, "none": {}}},
		{"token bcrypt", fmt.Sprintf("authorization { token: %q }\n", hashed(t, "tok-secret")), nil, jsCred{Token: "tok-secret"}, map[string]jsCred{"wrong token": {Token: "x"}}},
		{"user", "authorization { users: [{ user: ann, password: pw-secret }] }\n", nil, password, wrong},
		{"user bcrypt", fmt.Sprintf("authorization { users: [{ user: ann, password: %q }] }\n", hashed(t, "pw-secret")), nil, password, wrong},
		{"nkey", fmt.Sprintf("authorization { users: [{ nkey: %s }] }\n", public(t, known)), nil, jsCred{Seed: seedOf(t, known)}, map[string]jsCred{"unknown key": {Seed: seedOf(t, stranger)}, "none": {}}},
		{"creds", d.copied(t), nil, jsCreds(t, ann), map[string]jsCred{"forged": jsCreds(t, forged), "expired": jsCreds(t, late), "revoked": jsCreds(t, d.users["revoked-A"]),
			"another's key": jsCreds(t, jwtUser{ann.token, stranger}), "none": {}}},
		{"bearer", d.copied(t), nil, jsCred{JWT: ben.token}, map[string]jsCred{"expired": {JWT: d.users["expired-A"].token}, "no bearer": {JWT: ann.token}}},
		{"JWT and seed", d.copied(t), nil, jsCred{JWT: ann.token, Seed: seedOf(t, ann.key)}, map[string]jsCred{"another's seed": {JWT: ann.token, Seed: seedOf(t, stranger)}}},
		{"callout", callout.config(), callout.serve, password, wrong},
	} {
		s := startDaemon(t, k.config+jsWebSocket)
		if k.prep != nil {
			k.prep(t, s)
		}
		for _, scheme := range []string{"", "ws"} {
			p.Kinds = append(p.Kinds, jsAuth{Name: k.name + over(scheme), URL: s.url(scheme), Good: k.good, Bad: k.bad})
		}
	}
}

func over(scheme string) string {
	if scheme == "" {
		return " over TCP"
	}
	return " over " + scheme
}

// addExpiring adds users whose JWT ends in two seconds.
func (p *jsPlan) addExpiring(t *testing.T) {
	d := relations{{name: "A"}}.operator(t)
	s := startDaemon(t, d.copied(t)+jsWebSocket)
	for _, bearer := range []bool{false, true} {
		for _, scheme := range []string{"", "ws"} {
			name := "creds" + over(scheme)
			if bearer {
				name = "bearer" + over(scheme)
			}
			p.Expiring = append(p.Expiring, jsAuth{Name: name, URL: s.url(scheme)})
			p.makes[name] = func() (jsCred, error) { return briefly(d.pairs["A"], bearer) }
		}
	}
}

// briefly returns who may be connected for two seconds.
func briefly(by nkeys.KeyPair, bearer bool) (jsCred, error) {
	k, err := nkeys.CreateUser()
	if err != nil {
		return jsCred{}, err
	}
	pub, _ := k.PublicKey()
	seed, _ := k.Seed()
	c := jwt.NewUserClaims(pub)
	c.Expires, c.BearerToken = time.Now().Add(2*time.Second).Unix(), bearer
	token, err := c.Encode(by)
	if bearer {
		return jsCred{JWT: token}, err
	}
	return jsCred{Creds: credsText(token, string(seed))}, err
}

// addReloaded adds users that a reload takes away or narrows.
func (p *jsPlan) addReloaded(t *testing.T) {
	known, stays := newKey(t, nkeys.CreateUser), newKey(t, nkeys.CreateUser)
	users := func(list string) string { return "authorization { users: [" + list + "] }\n" + jsWebSocket }
	ann, stay := jsCred{User: "ann", Pass: "pw"}, jsCred{User: "stay", Pass: "pw"}
	keyed := func(k nkeys.KeyPair) string { return "{nkey: " + public(t, k) + "}" }
	start := func(name, scheme, before, after string) string {
		s := startDaemon(t, before)
		p.reloads[name] = func() error { return s.set(s.fill(after)) }
		return s.url(scheme)
	}
	for _, scheme := range []string{"", "ws"} {
		id := scheme + "-"
		p.Removed = append(p.Removed,
			jsAuth{Name: id + "user", Good: ann, Stays: stay, URL: start(id+"user", scheme, users("{user: ann, password: pw}, {user: stay, password: pw}"), users("{user: stay, password: pw}"))},
			jsAuth{Name: id + "nkey", Good: jsCred{Seed: seedOf(t, known)}, Stays: jsCred{Seed: seedOf(t, stays)}, URL: start(id+"nkey", scheme, users(keyed(known)+", "+keyed(stays)), users(keyed(stays)))})
		p.Narrowed = append(p.Narrowed,
			jsAuth{Name: id + "narrow", Good: ann, URL: start(id+"narrow", scheme, users("{user: ann, password: pw}"), users("{user: ann, password: pw, permissions: { subscribe: { deny: secret } }}"))})
	}
}

// control is what the script asks: the plan, credentials, and reloads.
func (p *jsPlan) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plan", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(p) })
	mux.HandleFunc("POST /credentials/{name}", func(w http.ResponseWriter, r *http.Request) {
		c, err := p.makes[r.PathValue("name")]()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		json.NewEncoder(w).Encode(c)
	})
	mux.HandleFunc("POST /reload/{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := p.reloads[r.PathValue("name")](); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}
