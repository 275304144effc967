package brokertest_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ganglion/cmd/ganglion/config"
	"ganglion/cmd/ganglion/daemon"
	"ganglion/core/brokertest/natstest"
)

// authServer is a whole server whose configuration can be replaced. "<ws>" in it
// is a free port.
type authServer struct {
	name, addr, ws string
	set            func(text string) error
	log            func() string // what a Ganglion logged
	inProcess      inProcess     // of a Ganglion
}

// inProcess connects within the process (nats.InProcessConnProvider).
type inProcess func() (net.Conn, error)

func (f inProcess) InProcessConn() (net.Conn, error) { return f() }

// reload gives the server another configuration.
func (s *authServer) reload(t *testing.T, text string) {
	t.Helper()
	if err := s.set(s.fill(text)); err != nil {
		t.Fatalf("%s: reload: %v", s.name, err)
	}
}

func (s *authServer) fill(text string) string { return strings.ReplaceAll(text, "<ws>", s.ws) }

// authServers starts a nats-server and a Ganglion.
func authServers(t *testing.T, text string) []*authServer {
	t.Helper()
	theirs := &authServer{name: "nats-server", ws: freePort(t)}
	theirs.addr, theirs.set = natstest.StartNATSReloadable(t, theirs.fill(text))
	return []*authServer{theirs, startDaemon(t, text)}
}

// startDaemon starts a Ganglion as its program does.
func startDaemon(t *testing.T, text string) *authServer {
	t.Helper()
	s := &authServer{name: "ganglion", ws: freePort(t)}
	dir := t.TempDir()
	file, log := filepath.Join(dir, "server.conf"), filepath.Join(dir, "log")
	write := func(text string) {
		must(t, os.WriteFile(file, fmt.Appendf(nil, "listen: \"127.0.0.1:-1\"\nlog_file: %q\n%s", log, text), 0o600))
	}
	write(s.fill(text))
	cmd, err := config.Parse([]string{"-c", file}, io.Discard)
	must(t, err)
	d, err := daemon.Start(t.Context(), cmd, "test", "")
	must(t, err)
	t.Cleanup(d.Stop)
	s.addr, s.inProcess = d.ClientAddr().String(), d.Broker().InProcessConn
	s.set = func(text string) error {
		write(text)
		return d.Reload()
	}
	s.log = func() string {
		b, err := os.ReadFile(log)
		must(t, err)
		return string(b)
	}
	return s
}

// reloadRow is what a change of the configuration does to who is connected.
type reloadRow struct {
	name          string
	before, after string
	steps         []string // before the reload
	then          []string // after it
	want          []string // what all saw of the reload, by connection
}

const (
	usersOf  = "authorization { users: [ %s ] }\n"
	untouche = "{ user: stay, password: pw }, "
)

func reloadRows() []reloadRow {
	users := func(s string) string { return fmt.Sprintf(usersOf, untouche+s) }
	ann := "{ user: ann, password: pw, permissions: { %s } }"
	with := func(perms string) string { return users(fmt.Sprintf(ann, perms)) }
	bob := "{ user: bob, password: pw }"
	accounts := func(a, b string) string {
		return fmt.Sprintf("accounts { A { %s }, B { %s }, S { users: [{ user: stay, password: pw }] } }\n", a, b)
	}
	gone := []string{"ann: -ERR 'Authorization Violation'", "ann: closed"}
	return []reloadRow{
		{"nothing changed", users(bob), users(bob), []string{"bob: SUB foo 1"}, []string{"stay: PUB foo hi"}, nil},
		{"a user removed", users(fmt.Sprintf(ann, "")), users(bob), []string{"ann: SUB foo 1"}, nil, gone},
		{"a user added", users(""), users(bob), []string{"stay: SUB foo 1"}, []string{"bob: PUB foo hi"}, nil},
		{"a password changed", users(fmt.Sprintf(ann, "")), users("{ user: ann, password: other }"), []string{"ann: SUB foo 1"}, []string{`ann/2: CONNECT {"pass":"other"}`, "ann/3: CONNECT {}"}, gone},
		{"subscriptions cut", with(""), with("subscribe: { deny: foo }"), []string{"ann: SUB foo 3", "ann: SUB bar 4"}, []string{"stay: PUB foo hi", "stay: PUB bar hi", "ann: SUB foo 5"},
			[]string{`ann: -ERR 'Permissions Violation for Subscription to "foo" (sid "3")'`}},
		{"subscriptions cut by allow", with(`subscribe: ["foo", "bar"]`), with("subscribe: bar"), []string{"ann: SUB foo 3", "ann: SUB bar 4"}, []string{"stay: PUB foo hi", "stay: PUB bar hi"},
			[]string{`ann: -ERR 'Permissions Violation for Subscription to "foo" (sid "3")'`}},
		{"a group cut", with(""), with(`subscribe: { deny: "foo q" }`), []string{"ann: SUB foo q 3", "ann: SUB foo 4"}, []string{"stay: PUB foo hi"},
			[]string{`ann: -ERR 'Permissions Violation for Subscription to "foo" using queue "q" (sid "3")'`}},
		{"a wide subscription filtered", with(""), with("subscribe: { deny: foo }"), []string{"ann: SUB > 3"}, []string{"stay: PUB foo hi", "stay: PUB bar hi"}, nil},
		{"a filter lifted", with("subscribe: { deny: foo }"), with(""), []string{"ann: SUB > 3", "stay: PUB foo no"}, []string{"stay: PUB foo hi"}, nil},
		{"publishing cut", with(""), with("publish: { deny: foo }"), []string{"stay: SUB > 1", "ann: PUB foo hi"}, []string{"ann: PUB foo no", "ann: PUB bar hi"}, nil},
		{"publishing allowed", with("publish: bar"), with(`publish: ["foo", "bar"]`), []string{"stay: SUB > 1", "ann: PUB foo no"}, []string{"ann: PUB foo hi"}, nil},
		{"answers allowed", with(`publish: { deny: ">" }`), with(`publish: { deny: ">" }, allow_responses: true`), []string{"ann: SUB q 1", "stay: SUB r 1", "stay: REQ q r hi", "ann: PUB r no"}, []string{"stay: REQ q r hi", "ann: PUB r yes"}, nil},
		{"default permissions", users(bob), "authorization { default_permissions: { publish: { deny: foo } }, users: [ " + untouche + bob + " ] }\n", []string{"bob: SUB foo 1"}, []string{"bob: PUB foo no"}, nil},
		{"a token changed", "authorization { token: t1 }\n", "authorization { token: t2 }\n", []string{`ann: CONNECT {"user":"","pass":"","auth_token":"t1"}`}, []string{`ann/2: CONNECT {"user":"","pass":"","auth_token":"t2"}`}, gone},
		{"a token stays", "authorization { token: t1 }\n", "authorization { token: t1 }\nmax_payload: 1000\n", []string{`ann: CONNECT {"user":"","pass":"","auth_token":"t1"}`, "ann: SUB foo 1"}, []string{"ann: PUB foo hi"}, nil},
		{"authentication begins", "", users(fmt.Sprintf(ann, "")), []string{`ann: CONNECT {"user":"","pass":""}`}, []string{"stay: SUB foo 1"}, gone},
		{"the single user's password", "authorization { user: ann, password: pw }\n", "authorization { user: ann, password: px }\n", []string{"ann: SUB foo 1"}, []string{`ann/2: CONNECT {"pass":"px"}`}, gone},
		{"another account", accounts("users: [{ user: ann, password: pw }]", "users: [{ user: bob, password: pw }]"), accounts("", "users: [{ user: bob, password: pw }, { user: ann, password: pw }]"),
			[]string{"ann: SUB foo 1", "bob: SUB foo 1"}, []string{"ann/2: PUB foo hi"}, gone},
		{"a stream import removed", accounts("users: [{ user: ann, password: pw }], exports: [{ stream: st }]", "users: [{ user: bob, password: pw }], imports: [{ stream: { account: A, subject: st } }]"),
			accounts("users: [{ user: ann, password: pw }], exports: [{ stream: st }]", "users: [{ user: bob, password: pw }]"), []string{"bob: SUB st 1", "ann: PUB st hi"}, []string{"ann: PUB st no", "bob: PUB st own"}, nil},
		{"a stream import added", accounts("users: [{ user: ann, password: pw }], exports: [{ stream: st }]", "users: [{ user: bob, password: pw }]"),
			accounts("users: [{ user: ann, password: pw }], exports: [{ stream: st }]", "users: [{ user: bob, password: pw }], imports: [{ stream: { account: A, subject: st }, prefix: p }]"), []string{"bob: SUB p.st 1", "ann: PUB st no"}, []string{"ann: PUB st hi"}, nil},
		{"a service import removed", accounts("users: [{ user: ann, password: pw }], exports: [{ service: svc }]", "users: [{ user: bob, password: pw }], imports: [{ service: { account: A, subject: svc } }]"),
			accounts("users: [{ user: ann, password: pw }], exports: [{ service: svc }]", "users: [{ user: bob, password: pw }]"), []string{"ann: SUB svc 1", "bob: SUB r 1", "bob: REQ svc r hi"}, []string{"bob: REQ svc r no"}, nil},
		{"a mapping added", accounts("users: [{ user: ann, password: pw }]", ""), accounts("users: [{ user: ann, password: pw }], mappings: { foo: bar }", ""), []string{"ann: SUB bar 1", "ann: PUB foo no"}, []string{"ann: PUB foo hi"}, nil},
		{"fewer connections", accounts("users: [{ user: ann, password: pw }]", ""), accounts("users: [{ user: ann, password: pw }], limits: { max_connections: 1 }", ""), []string{"ann: SUB foo 1"}, []string{"ann/2: SUB foo 1"}, nil},
		{"fewer subscriptions", accounts("users: [{ user: ann, password: pw }]", ""), accounts("users: [{ user: ann, password: pw }], limits: { max_subscriptions: 2 }", ""), []string{"ann: SUB foo 1"}, []string{"ann: SUB bar 2", "ann: SUB baz 3"}, nil},
		{"no_auth_user changes", users(bob) + "no_auth_user: bob\n", users(bob) + "no_auth_user: stay\n", []string{`ann: CONNECT {"user":"","pass":""}`, "ann: SUB foo 1"}, []string{"bob: PUB foo hi"}, nil},
		{"no_auth_user goes", users(bob) + "no_auth_user: bob\n", users(bob), []string{`ann: CONNECT {"user":"","pass":""}`}, []string{"bob: PUB foo hi"}, gone},
		{"a connection type", users(fmt.Sprintf(ann, "")), users("{ user: ann, password: pw, allowed_connection_types: [WEBSOCKET] }"), []string{"ann: SUB foo 1"}, []string{"ann/2: SUB foo 1"}, gone},
		{"default permissions and users of accounts", accounts("users: [{ user: ann, password: pw }]", ""), accounts("users: [{ user: ann, password: pw }]", "") + "authorization { default_permissions: { publish: { deny: foo } } }\n", []string{"ann: SUB > 1"}, []string{"ann: PUB foo hi"}, nil},
		{"a system account", accounts("users: [{ user: ann, password: pw }]", ""), accounts("users: [{ user: ann, password: pw }]", "users: [{ user: bob, password: pw }]") + "system_account: B\n", []string{"ann: SUB foo 1"}, []string{"ann/2: PUB foo hi"}, nil},
	}
}

// oursAlone are the rows that nats-server can't reload.
var oursAlone = []string{"no_auth_user changes", "no_auth_user goes", "a system account"}

// silent are the rows in which nats-server closes without saying why.
var silent = []string{"another account", "the single user's password", "a user removed"}

// TestReloadAuth has both servers reload, and those connected see the same.
func TestReloadAuth(t *testing.T) {
	t.Parallel()
	for _, row := range reloadRows() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var transcripts []string
			servers := authServers(t, row.before)
			alone := slices.Contains(oursAlone, row.name)
			if alone {
				servers = servers[1:]
			}
			for _, s := range servers {
				st := newStage(t, s.addr, nil)
				var out strings.Builder
				for _, step := range row.steps {
					fmt.Fprintln(&out, step, st.play(step))
				}
				s.reload(t, row.after)
				var saw []string
				for _, name := range slices.Sorted(maps.Keys(st.conns)) {
					if slices.Contains(row.want, name+": closed") {
						saw = append(saw, st.end(st.conns[name])...)
						continue
					}
					saw = append(saw, st.hear(st.conns[name])...)
				}
				want := row.want
				if s.name == "nats-server" && slices.Contains(silent, row.name) {
					want = want[1:]
				}
				fmt.Fprintln(&out, "reload", row.want)
				for _, step := range row.then {
					fmt.Fprintln(&out, step, st.play(step))
				}
				st.close()
				if !slices.Equal(saw, want) {
					t.Errorf("%s: the reload was seen as %q, want %q", s.name, saw, want)
				}
				transcripts = append(transcripts, out.String())
			}
			if !alone && transcripts[0] != transcripts[1] {
				t.Errorf("nats-server:\n%s\nGanglion:\n%s", transcripts[0], transcripts[1])
			}
		})
	}
}

// startAndStop returns the error of starting what cmd says.
func startAndStop(t *testing.T, cmd *config.Command) error {
	t.Helper()
	d, err := daemon.Start(t.Context(), cmd, "test", "")
	if err == nil {
		d.Stop()
	}
	return err
}

func encodeSig(sig []byte) string { return base64.RawURLEncoding.EncodeToString(sig) }
