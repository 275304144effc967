package brokertest_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/brokertest/natstest"
)

// nonceOf dials and returns the connection with the nonce of its INFO.
func nonceOf(t *testing.T, addr string) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(soon))
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	must(t, err)
	var info struct{ Nonce string }
	must(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	return c, r, info.Nonce
}

// answerTo sends a CONNECT and a PING and returns the line that comes.
func answerTo(t *testing.T, c net.Conn, r *bufio.Reader, fields map[string]any) string {
	t.Helper()
	fields["verbose"] = false
	fmt.Fprint(c, connectLine(t, fields)+"PING\r\n")
	line, err := r.ReadString('\n')
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestReplayedNonce: a signature is good on its own connection only, and once
// signed what another CONNECT says does not count either.
func TestReplayedNonce(t *testing.T) {
	t.Parallel()
	k := newKey(t, nkeys.CreateUser)
	rs := relations{{name: "A", users: []relUser{{name: "ann"}}}}
	dir := rs.operator(t)
	ann := dir.users["ann"]
	for _, tt := range []struct {
		name, config string
		fields       func(sig string) map[string]any
		key          nkeys.KeyPair
	}{
		{"nkey", fmt.Sprintf("authorization { users: [{ nkey: %s }] }", public(t, k)), func(sig string) map[string]any { return map[string]any{"nkey": public(t, k), "sig": sig} }, k},
		{"jwt", dir.copied(t), func(sig string) map[string]any { return map[string]any{"jwt": ann.token, "sig": sig} }, ann.key},
	} {
		for _, s := range authServers(t, tt.config) {
			t.Run(tt.name+"/"+s.name, func(t *testing.T) {
				c, r, nonce := nonceOf(t, s.addr)
				sig, err := tt.key.Sign([]byte(nonce))
				must(t, err)
				text := encodeSig(sig)
				if got := answerTo(t, c, r, tt.fields(text)); got != "PONG" {
					t.Fatalf("the right signature: %s", got)
				}
				c2, r2, other := nonceOf(t, s.addr)
				if other == nonce {
					t.Fatal("the nonce is the same again")
				}
				if got := answerTo(t, c2, r2, tt.fields(text)); got != "-ERR 'Authorization Violation'" {
					t.Errorf("a replayed signature: %s", got)
				}
			})
		}
	}
}

// TestRevokedWhileConnected: an account's JWT that revokes a user, pushed to the
// server, ends that user's connection and no other.
func TestRevokedWhileConnected(t *testing.T) {
	t.Parallel()
	rs := relations{{name: "A", users: []relUser{{name: "ann"}, {name: "stay"}}}}
	for _, name := range []string{"nats-server", "ganglion"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := rs.operator(t)
			sys := dir.issue(t, dir.sys, nil)
			s := startDaemonOr(t, name, dir.copied(t))
			told := make(chan error, 10)
			ann := dial(t, tcpAt(s.addr), dir.users["ann"].option(), nats.ReconnectWait(10*time.Millisecond), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { told <- err }))
			must(t, ann.Flush())
			stay := dial(t, tcpAt(s.addr), dir.users["stay"].option())
			data, err := os.ReadFile(filepath.Join(dir.dir, dir.keys["A"]+".jwt"))
			must(t, err)
			claims, err := jwt.DecodeAccountClaims(string(data))
			must(t, err)
			user, err := jwt.DecodeUserClaims(dir.users["ann"].token)
			must(t, err)
			claims.RevokeAt(user.Subject, time.Now().Add(time.Minute))
			admin := dial(t, tcpAt(s.addr), sys.option())
			answer, err := admin.Request("$SYS.REQ.CLAIMS.UPDATE", []byte(encode(t, claims, dir.op)), soon)
			must(t, err)
			if !strings.Contains(string(answer.Data), `"code":200`) {
				t.Fatalf("the update was answered by %s", answer.Data)
			}
			if err := receive(t, told, "the revocation"); !errors.Is(err, nats.ErrAuthRevoked) {
				t.Errorf("told %v, want %v", err, nats.ErrAuthRevoked)
			}
			must(t, stay.Flush())
			if n := stay.Stats().Reconnects; n != 0 {
				t.Error("who may stay reconnected")
			}
		})
	}
}

// startDaemonOr starts one of the two servers.
func startDaemonOr(t *testing.T, name, text string) *authServer {
	t.Helper()
	if name == "ganglion" {
		return startDaemon(t, text)
	}
	return &authServer{name: name, addr: natstest.StartNATS(t, text)}
}

// TestCalloutBad: a service that is not there, answers nothing, or answers what
// can't be, lets nobody in; the log says why.
func TestCalloutBad(t *testing.T) {
	t.Parallel()
	stranger := newKey(t, nkeys.CreateAccount)
	for _, tt := range []struct {
		name   string
		absent bool
		silent bool
		answer func(*jwt.AuthorizationResponseClaims)
		log    string
	}{
		{name: "absent", absent: true, log: "no responders"},
		{name: "slow", silent: true, log: "deadline|timeout|Timeout"},
		{name: "wrong user", answer: func(r *jwt.AuthorizationResponseClaims) { r.Subject = public(t, newKey(t, nkeys.CreateUser)) }, log: "user"},
		{name: "wrong server", answer: func(r *jwt.AuthorizationResponseClaims) { r.Audience = "N" + r.Audience[1:] + "X" }, log: "server|audience"},
		{name: "no JWT", answer: func(r *jwt.AuthorizationResponseClaims) { r.Jwt = "nonsense" }, log: "JWT|jwt"},
		{name: "a JWT of a stranger", answer: func(r *jwt.AuthorizationResponseClaims) {
			u := jwt.NewUserClaims(r.Subject)
			u.Audience = "APP"
			r.Jwt = encode(t, u, stranger)
		}, log: "issue|sign"},
		{name: "an error", answer: func(r *jwt.AuthorizationResponseClaims) { r.Jwt, r.Error = "", "the moon is full" }, log: "the moon is full"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCalloutService(t, false)
			c.silent, c.answer = tt.silent, tt.answer
			for _, s := range authServers(t, c.config()) {
				if !tt.absent {
					c.serve(t, s)
				}
				nc, err := nats.Connect(s.url(""), nats.UserInfo("ann", "pw-secret"), nats.Timeout(soon))
				if err == nil {
					nc.Close()
					t.Fatalf("%s: ann gets in", s.name)
				}
				if !tt.silent && !errors.Is(err, nats.ErrAuthorization) {
					t.Errorf("%s: %v, want %v", s.name, err, nats.ErrAuthorization)
				}
				if s.log == nil {
					continue
				}
				found := false
				log := s.log()
				for _, word := range strings.Split(tt.log, "|") {
					found = found || strings.Contains(log, word)
				}
				// When the service is silent, who waits for it may be cut first.
				said := strings.Contains(log, "authentication error") || tt.silent && strings.Contains(log, "Authentication Timeout")
				if !found || !said {
					t.Errorf("no reason with %q in the log:\n%s", tt.log, log)
				}
				if strings.Contains(log, "pw-secret") {
					t.Error("the log has the password")
				}
			}
		})
	}
}

// TestResolverBroken: a resolver's directory with files that are no JWTs, are cut,
// empty or another account's, keeps those accounts out and serves the others.
func TestResolverBroken(t *testing.T) {
	t.Parallel()
	names := []string{"whole", "garbage", "empty", "cut", "swapped", "stranger"}
	var rs relations
	for _, n := range names {
		rs = append(rs, &relAccount{name: n, users: []relUser{{name: "u-" + n}}})
	}
	dir := rs.operator(t)
	file := func(name string) string { return filepath.Join(dir.dir, dir.keys[name]+".jwt") }
	data, err := os.ReadFile(file("cut"))
	must(t, err)
	must(t, os.WriteFile(file("garbage"), []byte("\x00\xff not a JWT"), 0o600))
	must(t, os.WriteFile(file("empty"), nil, 0o600))
	must(t, os.WriteFile(file("cut"), data[:len(data)/2], 0o600))
	must(t, os.WriteFile(file("swapped"), data, 0o600))
	must(t, os.WriteFile(file("stranger"), []byte(encode(t, jwt.NewAccountClaims(dir.keys["stranger"]), newKey(t, nkeys.CreateOperator))), 0o600))
	must(t, os.WriteFile(filepath.Join(dir.dir, "note.txt"), []byte("a file of another kind"), 0o600))
	s := startDaemon(t, dir.copied(t))
	for _, n := range names {
		nc, err := nats.Connect(s.url(""), dir.users["u-"+n].option())
		if n == "whole" {
			must(t, err)
			must(t, nc.Flush())
			nc.Close()
			continue
		}
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, want %v", n, err, nats.ErrAuthorization)
			if nc != nil {
				nc.Close()
			}
		}
	}
	if log := s.log(); strings.Count(log, "authentication error") != len(names)-1 {
		t.Errorf("not every refusal is in the log:\n%s", log)
	}
}

// TestConfigRefused: what nats-server refuses to start with we refuse too.
func TestConfigRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"import without export", `accounts { A { users: [{user: a}] }, B { imports: [{ stream: { account: A, subject: x } }] } }`, "not authorized"},
		{"import of a private export", `accounts { A { exports: [{ stream: x, accounts: [C] }] }, B { imports: [{ stream: { account: A, subject: x } }] }, C { } }`, "not authorized"},
		{"import of an unknown account", `accounts { B { imports: [{ stream: { account: A, subject: x } }] } }`, "A"},
		{"service cycle", `accounts { A { exports: [{ service: x }], imports: [{ service: { account: B, subject: x } }] }, B { exports: [{ service: x }], imports: [{ service: { account: A, subject: x } }] } }`, "cycle"},
		{"stream cycle", `accounts { A { exports: [{ stream: x }], imports: [{ stream: { account: B, subject: x } }] }, B { exports: [{ stream: x }], imports: [{ stream: { account: A, subject: x } }] } }`, "cycle"},
		{"cycle of three", `accounts { A { exports: [{ service: a }], imports: [{ service: { account: C, subject: c }, to: a }] }, B { exports: [{ service: b }], imports: [{ service: { account: A, subject: a }, to: b }] }, C { exports: [{ service: c }], imports: [{ service: { account: B, subject: b }, to: c }] } }`, "cycle"},
		{"a user twice", `authorization { users: [{ user: a, password: b }, { user: a, password: c }] }`, ""},
		{"a user in two accounts", `accounts { A { users: [{ user: a, password: b }] }, B { users: [{ user: a, password: b }] } }`, ""},
		{"an nkey twice", `authorization { users: [{ nkey: UC6NLCN7AS34YOJVCYD4PJ3QB7QGLYG5B5IMBT25VW5K4TNUJODM7BOX }, { nkey: UC6NLCN7AS34YOJVCYD4PJ3QB7QGLYG5B5IMBT25VW5K4TNUJODM7BOX }] }`, ""},
		{"a permission that is no subject", `authorization { users: [{ user: a, password: b, permissions: { publish: "a..b" } }] }`, "a..b"},
		{"a permission with a blank", `authorization { users: [{ user: a, password: b, permissions: { publish: "a b c" } }] }`, "a b c"},
		{"an unknown no_auth_user", `authorization { users: [{ user: a, password: b }] }, no_auth_user: nobody`, "nobody"},
		{"an unknown connection type", `authorization { users: [{ user: a, password: b, allowed_connection_types: [PIGEON] }] }`, "PIGEON"},
		{"a token and users", `authorization { token: t, users: [{ user: a, password: b }] }`, ""},
		{"an nkey that is none", `authorization { users: [{ nkey: UX }] }`, "nkey"},
		{"operator and users", `operator: eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.x, authorization { users: [{ user: a, password: b }] }`, ""},
		{"a callout without issuer", `authorization { auth_callout { auth_users: [a] }, users: [{ user: a, password: b }] }`, "issuer"},
		{"an unknown system account", `accounts { A { users: [{ user: a, password: b }] } }, system_account: NOPE`, "NOPE"},
		{"latency of a stream of responses", `accounts { A { exports: [{ service: x, response: stream, latency: { sampling: 100, subject: lat } }] } }`, "latency"},
		{"an account in its own position", `accounts { A { exports: [{ stream: "a.b", account_token_position: 1 }] } }`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := natstest.Check(t, tt.text); err == nil {
				if tt.name != "cycle of three" { // it finds those of two alone
					t.Errorf("nats-server takes it")
				}
			} else {
				t.Logf("nats-server: %v", err)
			}
			err := checkConfig(t, tt.text)
			if err == nil {
				t.Fatal("Ganglion takes it")
			}
			t.Logf("ganglion: %v", err)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not name %q", err, tt.want)
			}
		})
	}
}

// checkConfig returns what Ganglion says of a configuration when it starts.
func checkConfig(t *testing.T, text string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	must(t, os.WriteFile(file, []byte("listen: \"127.0.0.1:-1\"\n"+text), 0o600))
	cmd, err := config.Parse([]string{"-c", file}, io.Discard)
	if err != nil {
		return err
	}
	return startAndStop(t, cmd)
}
