package permission_test

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"ganglion/core/brokertest/natstest"
	"ganglion/core/permission"
	"ganglion/core/subject"
)

// scene is a user's rules and what that user tries: "subject" or "subject queue"
// in subs, subjects in pubs. probes are what somebody else publishes to each
// subscription that was accepted.
type scene struct {
	name      string
	publish   *permission.Rules
	subscribe *permission.Rules
	responses *permission.Responses
	subs      []string
	probes    []string
	pubs      []string
}

func rules(allow, deny string) *permission.Rules {
	list := func(s string) []string {
		if s == "" {
			return nil
		}
		return strings.Split(s, ",")
	}
	return &permission.Rules{Allow: list(allow), Deny: list(deny)}
}

var scenes = []scene{
	{name: "publish allow", publish: rules("a.*,b.>,c", ""),
		pubs: []string{"a.b", "a.*", "a.>", "a", "b", "b.c", "b.>", "b.*.x", "b..x", "b.", "c", "C", ">", "*", ".c", "c.", "a..b", "a.", "b.c.", ".", "b.0123456789.0123456789.0123456789.0123456789.0123456789.0123456789", "b.0123456789.0123456789.0123456789.0123456789.0123456789.0123456789."}},
	{name: "publish deny", publish: rules("", "a.*,b.>,d.x"),
		pubs: []string{"a.b", "a.*", "a.>", "a", "b", "b.c", "b.>", "b..x", "b.", "a.", "c", "c..d", ".", "d.*", "d.x", "D.x", "*.x"}},
	{name: "publish both", publish: rules("a.>,b.*.c", "a.b.>,a.*.x"),
		pubs: []string{"a.b", "a.b.c", "a.c", "a.c.x", "a.c.x.y", "b", "b.x.c", "b.x.d", "a.*.x"}},
	{name: "publish deny all", publish: rules("", ">"), pubs: []string{"a", "a..b", ">"}},
	{name: "publish allow all", publish: rules(">", ""), pubs: []string{"a", "a..b", ">", "a.", ".a"}},
	{name: "publish literal wildcards", publish: rules("a>,b*,c.>x", ""), pubs: []string{"a>", "ab", "b*", "bc", "c.>x", "c.d"}},
	{name: "publish only responses", responses: &permission.Responses{}, pubs: []string{"a"}},
	{name: "publish denied and responses", publish: rules("", "a"), responses: &permission.Responses{}, pubs: []string{"a", "b"}},
	{name: "publish and responses", publish: rules("a", ""), responses: &permission.Responses{}, pubs: []string{"a", "b"}},
	{name: "not restricted", publish: rules("a", ""), subs: []string{"x", ">", "x q"}, probes: []string{"x", "y"}},

	{name: "deny literal", subscribe: rules("", "foo.no"),
		subs:   []string{"foo.*", "foo.>", "foo.no", ">", "foo.no q", "foo.* q", "Foo.no", "*.no", "*"},
		probes: []string{"foo.no", "foo.yes", "Foo.no", "foo"}},
	{name: "deny star", subscribe: rules("", "foo.w.*"),
		subs:   []string{"foo.w.>", "foo.w.*", "foo.w.x", "foo.>", "foo.*.x", "foo.*.*", "foo.*.>", "foo.w", "*.w.>", ">", "foo.w.x.y", "foo.w.x.>", "foo.w.*.>", "*.*.*"},
		probes: []string{"foo.w", "foo.w.x", "foo.w.x.y", "foo.v.x", "a.w.x"}},
	{name: "deny rest", subscribe: rules("", "foo.>"),
		subs:   []string{"foo", "foo.a", "foo.>", "foo.*", ">", "*", "*.>", "*.a", "*.*", "foo.*.*"},
		probes: []string{"foo", "foo.a", "foo.a.b", "b.a", "b"}},
	{name: "deny inner star", subscribe: rules("", "a.*.c"),
		subs:   []string{"a.b.c", "a.*.c", "a.>", "a.b.>", "a.b.*", "a.*.*", "*.b.c", "a.*.>"},
		probes: []string{"a.b.c", "a.b.d", "b.b.c", "a.b", "a.b.c.d"}},
	{name: "deny everything", subscribe: rules("", ">"), subs: []string{"a", ">", "*", "*.>", "a q"}},
	{name: "deny one token", subscribe: rules("", "*"), subs: []string{"a", ">", "*", "*.>", "a.b"}, probes: []string{"a.b", "a"}},
	{name: "allow star", subscribe: rules("a.*", ""), subs: []string{"a.b", "a.*", ">", "*.b", "a", "a.b.c", "A.b", "a.b q", "a.>"}},
	{name: "allow rest", subscribe: rules("a.>", ""), subs: []string{"a.b", "a.*", "a.>", ">", "*.b", "a", "a.b.c", "a.*.>", "*.*"}, probes: []string{"a.b", "a.b.c", "a"}},
	{name: "allow several", subscribe: rules("a.b,a.*.c", ""), subs: []string{"a.*", "a.b", "a.x.c", "a.*.c", "a.*.*"}},
	{name: "allow and deny", subscribe: rules("a.>", "a.x"), subs: []string{"a.x", "a.*", "a.>", "a.y", "b"}, probes: []string{"a.x", "a.y", "a.x.y"}},
	{name: "allow queue", subscribe: rules("a q", ""), subs: []string{"a", "a q", "a r", "b q"}, probes: []string{"a"}},
	{name: "allow queue wildcards", subscribe: rules("a.> q.*", ""),
		subs: []string{"a.b", "a.b q.1", "a.* q.2", "a.> q.1", "a.b q", "a.b q.1.2", "> q.1", "a.b q.*", "a.b q.>", "a.b *.1", "a.b >"}, probes: []string{"a.b"}},
	{name: "allow any queue", subscribe: rules("a.b *", ""), subs: []string{"a.b *", "a.b >", "a.b x", "a.b x.y", "a.b"}},
	{name: "allow queue and plain", subscribe: rules("a q,a", ""), subs: []string{"a", "a q", "a r"}},
	{name: "allow queue within plain", subscribe: rules("a.b q,a.>", ""), subs: []string{"a.b", "a.b q", "a.b r", "a.c r", "a.> r", "a.* q"}, probes: []string{"a.b", "a.c"}},
	{name: "allow two queues", subscribe: rules("a.b q,a.* r", ""), subs: []string{"a.b", "a.b q", "a.b r", "a.c r", "a.c q", "a.* r", "a.* q"}},
	{name: "allow blanks", subscribe: rules("a  q", ""), subs: []string{"a", "a q", "a r"}},
	{name: "deny queue", subscribe: rules("", "a q"), subs: []string{"a", "a q", "a r", "> q", "* q", ">", "> r", "b q"}, probes: []string{"a", "b"}},
	{name: "deny queue wildcards", subscribe: rules("", "a.* q.>"),
		subs: []string{"a.b", "a.b q", "a.b q.1", "a.* q.1", "a.> q.1", "> q.1", "> q", "a.>", "a.x r", "a.b q.>", "a.b >", "a.b *.1"}, probes: []string{"a.b", "a.b.c", "b"}},
	{name: "deny any queue", subscribe: rules("", "> *"), subs: []string{"a", "a q", "a q.r", ">", "> q"}, probes: []string{"a"}},
	{name: "deny plain to a queue", subscribe: rules("", "a,a q"), subs: []string{"a", "a q", "a r", "* q", "* r"}, probes: []string{"a", "b"}},
	{name: "deny mixed on delivery", subscribe: rules("", "foo.no q,foo.x"), subs: []string{"foo.*", "foo.* q", "foo.* r"}, probes: []string{"foo.a", "foo.no", "foo.x"}},
	{name: "allow queue deny queue", subscribe: rules("a.> q", "a.x q"), subs: []string{"a.x q", "a.* q", "a.y q", "a.y", "a.x"}, probes: []string{"a.x", "a.y"}},
	{name: "allow plain deny queue", subscribe: rules("a.>", "a.x q"), subs: []string{"a.x q", "a.x r", "a.x", "a.* q", "a.* r", "a.*"}, probes: []string{"a.x", "a.y"}},
	{name: "allow queue deny plain", subscribe: rules("a q", "a"), subs: []string{"a", "a q"}},
	{name: "allow one deny queues", subscribe: rules("a", "a q,a r"), subs: []string{"a", "a q", "a r", "a s"}},
}

func (s scene) spec() permission.Spec {
	return permission.Spec{Publish: s.publish, Subscribe: s.subscribe, Responses: s.responses}
}

// config is a nats-server's configuration with a user for each scene, u0 and so
// on, each in an account with somebody who may do everything, a0 and so on.
func config(scenes []scene) string {
	var b strings.Builder
	list := func(name string, patterns []string) {
		if patterns != nil {
			fmt.Fprintf(&b, "%s: [", name)
			for _, p := range patterns {
				fmt.Fprintf(&b, "%q,", p)
			}
			b.WriteString("]\n")
		}
	}
	direction := func(name string, r *permission.Rules) {
		if r != nil {
			fmt.Fprintf(&b, "%s {\n", name)
			list("allow", r.Allow)
			list("deny", r.Deny)
			b.WriteString("}\n")
		}
	}
	b.WriteString("accounts {\n")
	for i, s := range scenes {
		fmt.Fprintf(&b, "ACC%d { users: [ {user: a%d, password: p}, {user: u%d, password: p, permissions {\n", i, i, i)
		direction("publish", s.publish)
		direction("subscribe", s.subscribe)
		if s.responses != nil {
			b.WriteString("allow_responses: true\n")
		}
		b.WriteString("}} ] }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// session is a client's connection.
type session struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr, user string) *session {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	s := &session{t: t, c: c, r: bufio.NewReader(c)}
	s.do(fmt.Sprintf("CONNECT {\"verbose\":false,\"pedantic\":false,\"user\":%q,\"pass\":\"p\"}\r\n", user))
	return s
}

// do sends ops and returns the -ERR lines and the subjects of messages that came
// before the answer to a PING behind them.
func (s *session) do(ops string) (errs, subjects []string) {
	s.t.Helper()
	if _, err := s.c.Write([]byte(ops + "PING\r\n")); err != nil {
		s.t.Fatal(err)
	}
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%v behind %q", err, ops)
		}
		line = strings.TrimRight(line, "\r\n")
		switch op, rest, _ := strings.Cut(line, " "); op {
		case "PONG":
			return errs, subjects
		case "-ERR":
			errs = append(errs, rest)
		case "MSG":
			subj, _, _ := strings.Cut(rest, " ")
			subjects = append(subjects, subj)
		}
	}
}

// Every row has the same outcome in nats-server.
func TestAsNATS(t *testing.T) {
	addr := natstest.StartNATS(t, config(scenes))
	rows := 0
	for i, sc := range scenes {
		rows += len(sc.pubs) + len(sc.subs)*(1+len(sc.probes))
		t.Run(sc.name, func(t *testing.T) {
			p := compile(t, sc.spec())
			user, other := dial(t, addr, fmt.Sprint("u", i)), dial(t, addr, fmt.Sprint("a", i))
			for _, subj := range sc.pubs {
				errs, _ := user.do(fmt.Sprintf("PUB %s 0\r\n\r\n", subj))
				checkAnswer(t, p.Publish().Allows([]byte(subj)), errs, fmt.Sprintf("Permissions Violation for Publish to %q", subj))
			}
			for _, sub := range sc.subs {
				subj, queue, _ := strings.Cut(sub, " ")
				errs, _ := user.do(fmt.Sprintf("SUB %s 1\r\n", sub))
				text := fmt.Sprintf("Permissions Violation for Subscription to %q", subj)
				if queue != "" {
					text += fmt.Sprintf(" using queue %q", queue)
				}
				ok, filter := p.Subscribe(subj, queue)
				checkAnswer(t, ok, errs, text)
				if !ok {
					if filter != nil {
						t.Errorf("SUB %s: refused, but with a filter", sub)
					}
					continue
				}
				var want []string
				for _, probe := range sc.probes {
					other.do(fmt.Sprintf("PUB %s 0\r\n\r\n", probe))
					if subject.Match(subj, probe) && filter.Allows([]byte(probe)) {
						want = append(want, probe)
					}
				}
				if _, got := user.do("UNSUB 1\r\n"); !slices.Equal(got, want) {
					t.Errorf("SUB %s: nats-server delivers %q, we %q", sub, got, want)
				}
			}
		})
	}
	if rows < 300 {
		t.Errorf("%d rows, want 300 at least", rows)
	}
}

func checkAnswer(t *testing.T, ok bool, errs []string, text string) {
	t.Helper()
	var want []string
	if !ok {
		want = []string{"'" + text + "'"}
	}
	if !slices.Equal(errs, want) {
		t.Errorf("nats-server answers %q, we %q", errs, want)
	}
}

// The one difference: both accept a subscription that is wider than an allow
// entry because ">" was taken for a literal, but we deliver what is allowed only.
func TestWiderThanAllowed(t *testing.T) {
	sc := scene{subscribe: rules("a.*", "a.no")}
	addr := natstest.StartNATS(t, config([]scene{sc}))
	user, other := dial(t, addr, "u0"), dial(t, addr, "a0")
	if errs, _ := user.do("SUB a.> 1\r\n"); errs != nil {
		t.Fatalf("nats-server refuses: %q", errs)
	}
	ok, filter := compile(t, sc.spec()).Subscribe("a.>", "")
	if !ok {
		t.Fatal("we refuse")
	}
	var ours []string
	for _, subj := range []string{"a.b", "a.b.c", "a.no"} {
		other.do(fmt.Sprintf("PUB %s 0\r\n\r\n", subj))
		if filter.Allows([]byte(subj)) {
			ours = append(ours, subj)
		}
	}
	_, theirs := user.do("")
	if want := []string{"a.b", "a.b.c"}; !slices.Equal(theirs, want) {
		t.Errorf("nats-server delivers %q; the difference was that it delivers %q", theirs, want)
	}
	if want := []string{"a.b"}; !slices.Equal(ours, want) {
		t.Errorf("we deliver %q, want %q", ours, want)
	}
}
