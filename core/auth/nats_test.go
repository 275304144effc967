package auth_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"ganglion/core/auth"
	"ganglion/core/brokertest/natstest"
)

// try is one login: what CONNECT says, and who that is; "" is nobody.
type try struct {
	name    string
	connect func(nonce string) fields
	want    string // "user@account"
}

func says(f fields) func(string) fields { return func(string) fields { return f } }

// unpadded is base64 with a character that base64url doesn't have.
func unpadded(sig []byte) string {
	s := base64.RawStdEncoding.EncodeToString(sig)
	if !strings.ContainsAny(s, "+/") {
		return "+" + s[1:] // wrong in any case
	}
	return s
}

// config is the same configuration for both servers, and logins to it.
type config struct {
	name  string
	conf  string
	o     auth.Options
	tries []try
}

func configs() []config {
	known, stranger := newKey(nkeys.CreateUser), newKey(nkeys.CreateUser)
	hashed := hash("hash-secret")
	user := func(name, pass string) func(string) fields { return says(fields{"user": name, "pass": pass}) }
	token := func(s string) func(string) fields { return says(fields{"auth_token": s}) }
	nkeySays := func(k key, sig func(nonce string) string) func(string) fields {
		return func(nonce string) fields { return fields{"nkey": k.public, "sig": sig(nonce)} }
	}
	raw := func(k key, nonce string) []byte { return must(k.Sign([]byte(nonce))) }
	users := []auth.User{
		{Name: "alice", Password: "plain-secret", Account: "A"},
		{Name: "bob", Password: hashed, Account: "A"},
		{Name: "empty", Account: "A"},
		{NKey: known.public, Account: "B"},
		{Name: "ws", Password: "w", Account: "B", ConnectionTypes: []string{"websocket"}},
		{Name: "std", Password: "s", Account: "B", ConnectionTypes: []string{"standard"}},
	}
	accounts := fmt.Sprintf(`accounts {
 A { users: [{user: alice, password: "plain-secret"}, {user: bob, password: "%s"}, {user: empty}] }
 B { users: [{nkey: %s}, {user: ws, password: w, allowed_connection_types: [websocket]}, {user: std, password: s, allowed_connection_types: [standard]}] }
}
`, hashed, known.public)
	tries := []try{
		{"nothing", says(fields{}), ""},
		{"plain", user("alice", "plain-secret"), "alice@A"},
		{"plain wrong", user("alice", "plain-secreT"), ""},
		{"plain prefix", user("alice", "plain-secre"), ""},
		{"plain none", user("alice", ""), ""},
		{"of another", user("alice", "hash-secret"), ""},
		{"case of the name", user("Alice", "plain-secret"), ""},
		{"bcrypt", user("bob", "hash-secret"), "bob@A"},
		{"bcrypt wrong", user("bob", "hash-secreT"), ""},
		{"the hash itself", user("bob", hashed), ""},
		{"no password", user("empty", ""), "empty@A"},
		{"no password, one given", user("empty", "x"), ""},
		{"unknown", user("mallory", "plain-secret"), ""},
		{"password alone", says(fields{"pass": "plain-secret"}), ""},
		{"user as token", token("plain-secret"), ""},
		{"connection type", user("std", "s"), "std@B"},
		{"connection type wrong", user("ws", "w"), ""},
		{"nkey", nkeySays(known, known.sign), known.public + "@B"},
		{"nkey padded", nkeySays(known, func(n string) string { return base64.StdEncoding.EncodeToString(raw(known, n)) }), known.public + "@B"},
		{"nkey std unpadded", nkeySays(known, func(n string) string { return unpadded(raw(known, n)) }), ""},
		{"nkey unknown", nkeySays(stranger, stranger.sign), ""},
		{"nkey of another's signature", nkeySays(known, stranger.sign), ""},
		{"nkey replayed", nkeySays(known, func(string) string { return known.sign("an older nonce.") }), ""},
		{"nkey without signature", nkeySays(known, func(string) string { return "" }), ""},
		{"nkey as user", user(known.public, ""), ""},
		{"nkey that is none", says(fields{"nkey": "UX", "sig": "AA"}), ""},
		{"nkey and a user", func(n string) fields {
			return fields{"nkey": known.public, "sig": known.sign(n), "user": "alice", "pass": "wrong"}
		}, known.public + "@B"},
	}
	return []config{
		{"open", "", auth.Options{}, []try{
			{"nothing", says(fields{}), "@$G"},
			{"a user", user("alice", "x"), "alice@$G"},
			{"an account", says(fields{"account": "A"}), ""},
		}},
		{"token", "authorization { token: \"tok-secret\" }", auth.Options{Token: "tok-secret"}, []try{
			{"token", token("tok-secret"), "[REDACTED]@$G"},
			{"wrong", token("tok-secreT"), ""},
			{"nothing", says(fields{}), ""},
			{"as user", user("tok-secret", ""), ""},
			{"as password", user("", "tok-secret"), ""},
		}},
		{"token bcrypt", fmt.Sprintf("authorization { token: %q }", hashed), auth.Options{Token: hashed}, []try{
			{"token", token("hash-secret"), "[REDACTED]@$G"},
			{"wrong", token("x"), ""},
			{"the hash itself", token(hashed), ""},
		}},
		{"single", "authorization { user: alice, password: \"plain-secret\" }", auth.Options{User: "alice", Password: "plain-secret"}, []try{
			{"right", user("alice", "plain-secret"), "alice@$G"},
			{"wrong", user("alice", "x"), ""},
			{"unknown", user("bob", "plain-secret"), ""},
			{"token", token("plain-secret"), ""},
			{"nothing", says(fields{}), ""},
		}},
		{"users", accounts, auth.Options{Users: users}, tries},
		{"no_auth_user", accounts + "no_auth_user: alice", auth.Options{Users: users, NoAuthUser: "alice"}, append(tries[1:],
			try{"nothing", says(fields{}), "alice@A"})},
		{"no_auth_user of an nkey", accounts + "no_auth_user: " + known.public, auth.Options{Users: users, NoAuthUser: known.public}, append(tries[1:],
			try{"nothing", says(fields{}), known.public + "@B"})},
	}
}

// TestConfigured has every kind of credential, right and wrong.
func TestConfigured(t *testing.T) {
	for _, c := range configs() {
		c.o.Accounts = registry("A", "B")
		a := newAuth(t, c.o)
		for _, tr := range c.tries {
			t.Run(c.name+"/"+tr.name, func(t *testing.T) {
				got := ""
				r := request(tr.connect(nonce))
				id, err := a.Authenticate(t.Context(), r)
				if err != nil {
					wantDenied(t, err, nil, "secre", r.Connect.Sig)
				} else {
					got = id.User + "@" + id.Account.Name()
				}
				if got != tr.want {
					t.Errorf("got %q (%v), want %q", got, err, tr.want)
				}
				if want := strings.HasPrefix(c.name, "no_auth") || c.name == "open"; a.Required("") == want {
					t.Errorf("Required is %v", !want)
				}
			})
		}
	}
}

// TestConfiguredNATS has a nats-server agree with the table.
func TestConfiguredNATS(t *testing.T) {
	for _, c := range configs() {
		addr, url := natstest.StartNATSMonitored(t, c.conf)
		for _, tr := range c.tries {
			if strings.HasPrefix(tr.name, "nkey ") && strings.HasPrefix(c.o.NoAuthUser, "U") {
				continue // nats-server doesn't look at the signature of that nkey then
			}
			t.Run(c.name+"/"+tr.name, func(t *testing.T) {
				if got := natsLogin(t, addr, url, nil, tr.connect); got != tr.want {
					t.Errorf("nats-server says %q, the table %q", got, tr.want)
				}
			})
		}
	}
}

// natsLogin returns who the server says it is, "" when it refuses.
func natsLogin(t *testing.T, addr, url string, cfg *tls.Config, connect func(string) fields) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Nonce string `json:"nonce"`
		CID   uint64 `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		secure := tls.Client(c, cfg)
		c, in = secure, bufio.NewReader(secure)
	}
	f := fields{"verbose": false, "protocol": 0}
	for k, v := range connect(info.Nonce) {
		f[k] = v
	}
	fmt.Fprintf(c, "CONNECT %s\r\nPING\r\n", must(json.Marshal(f)))
	line, err = in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "PONG") {
		return ""
	}
	resp, err := http.Get(fmt.Sprintf("%s/connz?auth=1&cid=%d", url, info.CID))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var z struct {
		Conns []struct {
			User    string `json:"authorized_user"`
			Account string `json:"account"`
		} `json:"connections"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&z); err != nil || len(z.Conns) != 1 {
		t.Fatalf("connz: %v, %+v", err, z)
	}
	// Without accounts it has no word for the only one.
	return z.Conns[0].User + "@" + cmp.Or(z.Conns[0].Account, "$G")
}
