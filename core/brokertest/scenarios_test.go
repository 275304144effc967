package brokertest_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/brokertest/natstest"
)

var update = flag.Bool("update", false, "write testdata/scenarios.txt as nats-server has it")

const scenarioFile = "testdata/scenarios.txt"

// scenarioRelations are the accounts of testdata/scenarios.txt.
func scenarioRelations() relations {
	allow := func(s ...string) jwt.Permission { return jwt.Permission{Allow: s} }
	inbox := jwt.StringList{"_INBOX.>"}
	return relations{
		{name: "A", users: []relUser{{name: "ann"}, {name: "abe", signer: true}},
			exports: []relExport{
				{stream: "st.>"}, {stream: "priv.*", accounts: []string{"B"}}, {stream: "news.*.*"}, {stream: "tok.*.>", position: 2}, {stream: "both.x"},
				{service: "svc.one"}, {service: "svc.stream", response: "Stream"}, {service: "svc.chunk", response: "Chunked"},
				{service: "svc.slow", threshold: "50ms"}, {service: "svc.late", response: "Stream", threshold: "50ms"}, {service: "svc.w.*.get"}, {service: "svc.two.*.*"},
				{service: "svc.priv", accounts: []string{"B"}}, {service: "svc.tok.*.do", position: 3}, {service: "svc.map"}, {service: "svc.share"}, {service: "both.x"},
				{service: "svc.any.>"},
			},
			mappings: map[string][]jwt.WeightedMapping{
				"from.map": {{Subject: "st.mapped"}}, "svc.map": {{Subject: "svc.mapped"}}, "in.*.*": {{Subject: "out.{{wildcard(2)}}.{{wildcard(1)}}"}},
				"half": {{Subject: "h.one", Weight: 50}, {Subject: "h.two", Weight: 50}},
			}},
		{name: "B", users: []relUser{{name: "bob"}, {name: "ben", bearer: true}},
			exports: []relExport{{service: "svc.one"}, {stream: "p.st.>"}, {service: "b.own"}, {service: "shared"}},
			imports: []relImport{
				{account: "A", stream: "st.>", prefix: "p"}, {account: "A", stream: "priv.*"}, {account: "A", stream: "news.*.*", to: "n.$2.$1"},
				{account: "A", stream: "tok.@B@.>"}, {account: "A", stream: "both.x"}, {account: "A", service: "svc.one"}, {account: "A", service: "svc.stream", to: "bs.stream"},
				{account: "A", service: "svc.chunk"}, {account: "A", service: "svc.slow"}, {account: "A", service: "svc.late"}, {account: "A", service: "svc.w.*.get", to: "w.$1"},
				{account: "A", service: "svc.two.*.*", to: "two.$2.$1"},
				{account: "A", service: "svc.priv"}, {account: "A", service: "svc.tok.@B@.do", to: "do.it"}, {account: "A", service: "svc.map"},
				{account: "A", service: "svc.share", to: "shared", share: true}, {account: "A", service: "svc.any.>", to: "any.>"},
			},
			mappings: map[string][]jwt.WeightedMapping{"alias": {{Subject: "svc.one"}}}},
		{name: "C", users: []relUser{{name: "cat"}, {name: "cid", perms: &jwt.Permissions{Pub: allow("c.ok"), Sub: allow("direct.>", "_INBOX.>")}}},
			exports: []relExport{{service: "c.own"}, {service: "c.svc"}},
			imports: []relImport{{account: "B", service: "svc.one", to: "c.svc"}, {account: "A", stream: "st.>", to: "direct.>"}, {account: "B", stream: "p.st.>", to: "c.st.>"},
				{account: "B", service: "b.own", to: "c.ok"}}},
		{name: "D", users: []relUser{{name: "dan"}}},
		{name: "E", users: []relUser{{name: "eve"}}, imports: []relImport{{account: "C", service: "c.svc", to: "e.svc"}, {account: "B", service: "shared", to: "e.share"}}},
		{name: "G", users: []relUser{{name: "gus"}}, exports: []relExport{{stream: ">"}}},
		{name: "H", users: []relUser{{name: "hal"}}, imports: []relImport{{account: "G", stream: ">"}}},
		{name: "I", users: []relUser{{name: "ida"}}, imports: []relImport{{account: "G", stream: ">", prefix: "g"}}},
		{name: "S", users: []relUser{{name: "sue"}}, exports: []relExport{{service: ">"}}},
		{name: "T", users: []relUser{{name: "tim"}}, imports: []relImport{{account: "S", service: ">"}}},
		{name: "L", users: []relUser{{name: "lea"}}, conns: 2, subs: 2, payload: 10},
		{name: "P", defaults: &jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{"default.no"}}}, users: []relUser{
			{name: "per"},
			{name: "pat", scoped: true, perms: &jwt.Permissions{
				Pub: jwt.Permission{Allow: jwt.StringList{"a.>", "w.*.ok", "$SYS.>"}, Deny: jwt.StringList{"a.secret", "a.*.no"}},
				Sub: jwt.Permission{Allow: jwt.StringList{"s.>", "q.> grp", "_INBOX.>"}, Deny: jwt.StringList{"s.no"}}}},
			{name: "pam", perms: &jwt.Permissions{Sub: jwt.Permission{Deny: jwt.StringList{"s.no", "z.*"}}}},
			{name: "pip", perms: &jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{">"}}, Resp: &jwt.ResponsePermission{MaxMsgs: 2, Expires: time.Minute}}},
			{name: "pia", perms: &jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{">"}}, Resp: &jwt.ResponsePermission{MaxMsgs: 5, Expires: 50 * time.Millisecond}}},
			{name: "poq", perms: &jwt.Permissions{Sub: jwt.Permission{Allow: jwt.StringList{"foo", "bar v1.*"}, Deny: jwt.StringList{"foo no"}}}},
		}},
		{name: "R", users: []relUser{
			{name: "rex", perms: &jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{">"}}, Resp: &jwt.ResponsePermission{MaxMsgs: 1, Expires: time.Minute}}},
			{name: "rob", perms: &jwt.Permissions{Pub: allow("r.svc"), Sub: jwt.Permission{Allow: inbox}}}},
			exports: []relExport{{service: "r.svc"}, {stream: "r.st"}}},
		{name: "Q", users: []relUser{{name: "quo", perms: &jwt.Permissions{Pub: allow("r.svc"), Sub: jwt.Permission{Allow: inbox}}}, {name: "qim"},
			{name: "qed", perms: &jwt.Permissions{Sub: jwt.Permission{Deny: jwt.StringList{"here.st"}}}}},
			imports: []relImport{{account: "R", service: "r.svc"}, {account: "R", stream: "r.st", to: "here.st"}}},
	}
}

// scenario is a row of the table: steps, and after each what everybody saw.
type scenario struct {
	name  string
	only  string // "config" or "jwt": the other can't say it
	steps []scenarioStep
}

type scenarioStep struct {
	text string
	saw  []string
	// ours is what Ganglion does otherwise on purpose, nil for nothing.
	ours []string
}

// want returns what a server's clients are to see.
func (s *scenarioStep) want(server string) []string {
	if s.ours != nil && server == "ganglion" {
		return slices.DeleteFunc(slices.Clone(s.ours), func(l string) bool { return l == "" })
	}
	return s.saw
}

// readScenarios reads the table: "=== name", then steps, "who: what", and
// indented what came of each.
func readScenarios(t *testing.T) (head string, list []*scenario) {
	t.Helper()
	data, err := os.ReadFile(scenarioFile)
	must(t, err)
	head, rest, _ := strings.Cut(string(data), "=== ")
	for part := range strings.SplitSeq(rest, "\n=== ") {
		lines := strings.Split(strings.TrimRight(part, "\n"), "\n")
		s := &scenario{name: lines[0]}
		s.name, s.only, _ = strings.Cut(lines[0], " # ")
		for _, l := range lines[1:] {
			if saw, ok := strings.CutPrefix(l, "  "); ok {
				last := &s.steps[len(s.steps)-1]
				last.saw = append(last.saw, saw)
			} else if ours, ok := strings.CutPrefix(l, "!"); ok {
				last := &s.steps[len(s.steps)-1]
				last.ours = append(last.ours, strings.TrimSpace(ours))
			} else if l != "" {
				s.steps = append(s.steps, scenarioStep{text: l})
			}
		}
		list = append(list, s)
	}
	return head, list
}

// TestScenarios plays the table against nats-server and Ganglion, with the same
// relations from a configuration file and from a resolver's directory.
func TestScenarios(t *testing.T) {
	t.Parallel()
	rs := scenarioRelations()
	head, list := readScenarios(t)
	if len(list) < 80 {
		t.Errorf("%d scenarios, want 80", len(list))
	}
	conf := rs.config() + "no_auth_user: dan\n"
	addrs := map[string]string{"nats-server/config": natstest.StartNATS(t, conf), "ganglion/config": startGanglion(t, conf)}
	dir := rs.operator(t)
	for _, name := range []string{"nats-server", "ganglion"} {
		text := dir.copied(t)
		if name == "ganglion" {
			addrs[name+"/jwt"] = startGanglion(t, text)
		} else {
			addrs[name+"/jwt"] = natstest.StartNATS(t, text)
		}
	}
	if *update {
		for _, s := range list {
			st := newStage(t, addrs["nats-server/config"], nil)
			if s.only == "jwt" {
				st = newStage(t, addrs["nats-server/jwt"], dir)
			}
			for i := range s.steps {
				s.steps[i].saw = st.play(s.steps[i].text)
			}
			st.close()
		}
		writeScenarios(t, head, list)
	}
	played := 0
	for _, at := range slices.Sorted(maps.Keys(addrs)) {
		server, mode, _ := strings.Cut(at, "/")
		var d *directory
		if mode == "jwt" {
			d = dir
		}
		t.Run(at, func(t *testing.T) {
			for _, s := range list {
				if s.only != "" && s.only != mode {
					continue
				}
				played++
				t.Run(s.name, func(t *testing.T) {
					st := newStage(t, addrs[at], d)
					defer st.close()
					for _, step := range s.steps {
						if got, want := st.play(step.text), step.want(server); !slices.Equal(got, want) {
							t.Fatalf("%s\ngot\n  %s\nwant\n  %s", step.text, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
						}
					}
				})
			}
		})
	}
	t.Logf("%d scenarios, played %d times", len(list), played)
}

func writeScenarios(t *testing.T, head string, list []*scenario) {
	t.Helper()
	var b strings.Builder
	b.WriteString(head)
	for i, s := range list {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("=== " + s.name)
		if s.only != "" {
			b.WriteString(" # " + s.only)
		}
		b.WriteString("\n")
		for _, st := range s.steps {
			b.WriteString(st.text + "\n")
			for _, saw := range st.saw {
				b.WriteString("  " + saw + "\n")
			}
			for _, ours := range st.ours {
				b.WriteString(strings.TrimRight("! "+ours, " ") + "\n")
			}
		}
	}
	must(t, os.WriteFile(scenarioFile, []byte(b.String()), 0o644))
}

// stage is where a scenario is played.
type stage struct {
	t       *testing.T
	addr    string
	dir     *directory
	conns   map[string]*actor
	replies []string // reply subjects made by the server, in order

	greeting []string // what the last one to connect was told
}

// actor is a connection of a user.
type actor struct {
	name   string
	c      net.Conn
	r      *bufio.Reader
	closed bool
}

func newStage(t *testing.T, addr string, d *directory) *stage {
	return &stage{t: t, addr: addr, dir: d, conns: map[string]*actor{}}
}

func (s *stage) close() {
	for _, a := range s.conns {
		a.c.Close()
	}
}

// play runs a step and returns what everybody saw of it.
//
//	who: SUB subject [queue] sid
//	who: PUB subject payload            HPUB with {headers}
//	who: REQ subject reply payload      HREQ with {headers}; BREQ, XREQ with broken ones
//	who: REQ*50 ...                     so often; what came is counted together
//	who: CONNECT {options}              before anything else, if not as usual
//	who: CLOSE
//	who: WAIT                           until what takes 50 ms is over
//
// who is a user, or "user/2" for another connection. "_R_1" is the first reply
// subject that the server made, "@A@" is account A.
func (s *stage) play(text string) []string {
	s.t.Helper()
	who, what, ok := strings.Cut(text, ": ")
	if !ok {
		s.t.Fatalf("%q is no step", text)
	}
	verb, rest, _ := strings.Cut(what, " ")
	verb, times, many := strings.Cut(verb, "*")
	n := 1
	if many {
		n, _ = strconv.Atoi(times)
	}
	a := s.conns[who]
	if a == nil {
		options := ""
		if verb == "CONNECT" {
			options = rest
		}
		if a = s.connect(who, options); a.closed {
			return s.greeting
		}
	}
	rest = named(s.expand(rest), s.id)
	switch verb {
	case "CONNECT":
		return s.greeting
	case "CLOSE":
		a.c.Close()
		a.closed = true
	case "WAIT":
		// Not synchronisation: time is what the scenario is about.
		time.Sleep(400 * time.Millisecond)
	default:
		fmt.Fprint(a.c, strings.Repeat(s.op(verb, rest), n))
	}
	saw := s.hear(a)
	for _, name := range slices.Sorted(maps.Keys(s.conns)) {
		if b := s.conns[name]; b != a {
			saw = append(saw, s.hear(b)...)
		}
	}
	if !many {
		return saw
	}
	total := len(saw)
	slices.Sort(saw)
	return append(slices.Compact(saw), fmt.Sprintf("%d messages", total))
}

// id is what the account name is called.
func (s *stage) id(name string) string {
	if s.dir == nil {
		return name
	}
	return s.dir.keys[name]
}

// expand puts the server's reply subjects in.
func (s *stage) expand(text string) string {
	for i := len(s.replies); i > 0; i-- {
		text = strings.ReplaceAll(text, fmt.Sprintf("_R_%d", i), s.replies[i-1])
	}
	return text
}

// op writes an operation on the wire.
func (s *stage) op(verb, rest string) string {
	args := strings.SplitN(rest, " ", 2)
	reply := ""
	switch verb {
	case "SUB", "UNSUB", "PING":
		return verb + " " + rest + "\r\n"
	case "REQ", "HREQ", "BREQ", "XREQ":
		args = append(args[:1], strings.SplitN(args[1], " ", 2)...)
		reply = args[1] + " "
		args = []string{args[0], args[len(args)-1]}
	}
	payload, hdr := args[1], ""
	if payload == "<empty>" {
		payload = ""
	}
	if verb != "PUB" && verb != "REQ" {
		head, body, _ := strings.Cut(strings.TrimPrefix(payload, "{"), "} ")
		hdr = "NATS/1.0\r\n" + strings.ReplaceAll(head, "; ", "\r\n") + "\r\n\r\n"
		switch verb[0] {
		case 'B':
			hdr = strings.TrimSuffix(hdr, "\r\n")
		case 'X':
			hdr = strings.TrimPrefix(hdr, "NATS/1.0")
		}
		return fmt.Sprintf("HPUB %s %s%d %d\r\n%s%s\r\n", args[0], reply, len(hdr), len(hdr)+len(body), hdr, body)
	}
	return fmt.Sprintf("PUB %s %s%d\r\n%s\r\n", args[0], reply, len(payload), payload)
}

func (s *stage) connect(who, options string) *actor {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, soon)
	must(s.t, err)
	a := &actor{name: who, c: c, r: bufio.NewReader(c)}
	s.conns[who] = a
	c.SetDeadline(time.Now().Add(soon))
	line, err := a.r.ReadString('\n')
	must(s.t, err)
	var info struct{ Nonce string }
	must(s.t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	fields := map[string]any{"verbose": false, "pedantic": false, "protocol": 1, "headers": true, "no_responders": true, "name": "n", "lang": "l", "version": "v"}
	user, _, _ := strings.Cut(who, "/")
	if user != "nobody" {
		maps.Copy(fields, login(s.t, s.dir, user, info.Nonce))
	}
	if options != "" {
		must(s.t, json.Unmarshal([]byte(options), &fields))
	}
	fmt.Fprint(c, connectLine(s.t, fields))
	// In a write of its own: nats-server maps subjects only from the next read on.
	s.greeting = s.hear(a)
	return a
}

// hear returns what a was sent until the answer to a PING, each message as a
// line. What one read fans out to several subscriptions has no order.
func (s *stage) hear(a *actor) (saw []string) {
	s.t.Helper()
	if a.closed {
		return nil
	}
	fmt.Fprint(a.c, "PING\r\n")
	return s.end(a)
}

// end is hear for somebody who is about to be cut: a PING might make the last
// words get lost.
func (s *stage) end(a *actor) (saw []string) {
	s.t.Helper()
	a.c.SetDeadline(time.Now().Add(soon))
	defer func() { slices.Sort(saw) }()
	say := func(text string) { saw = append(saw, a.name+": "+s.normal(text)) }
	for {
		line, err := a.r.ReadString('\n')
		if err != nil {
			if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
				s.t.Fatalf("%s: %v", a.name, err)
			}
			a.closed = true
			say("closed")
			return saw
		}
		line = strings.TrimRight(line, "\r\n")
		switch verb, rest, _ := strings.Cut(line, " "); verb {
		case "PONG":
			return saw
		case "PING":
			fmt.Fprint(a.c, "PONG\r\n")
		case "INFO", "+OK":
		case "MSG", "HMSG":
			args := strings.Fields(rest)
			size, err := strconv.Atoi(args[len(args)-1])
			must(s.t, err)
			body := make([]byte, size+2)
			_, err = io.ReadFull(a.r, body)
			must(s.t, err)
			cut := 1
			head := ""
			if verb == "HMSG" {
				cut = 2
				n, err := strconv.Atoi(args[len(args)-2])
				must(s.t, err)
				head = " {" + strings.Join(strings.Split(strings.TrimSpace(string(body[:n])), "\r\n")[0:], "; ") + "}"
				body = body[n:]
			}
			text := strings.Join(args[:len(args)-cut], " ")
			if len(args)-cut == 3 {
				text = strings.Join(args[:2], " ") + " reply " + args[2]
			}
			say(fmt.Sprintf("%s%s %s", text, head, strings.TrimRight(string(body), "\r\n")))
		default:
			say(line)
		}
	}
}

var (
	replySubject = regexp.MustCompile(`_R_\.[0-9A-Za-z]{6}\.[0-9A-Za-z]+`)
	variable     = regexp.MustCompile(`"(rtt|id)":\d+`)
	variableText = regexp.MustCompile(`"(host|start|server)":"[^"]*"`)
)

// normal replaces in text what differs from run to run.
func (s *stage) normal(text string) string {
	text = replySubject.ReplaceAllStringFunc(text, func(r string) string {
		i := slices.Index(s.replies, r)
		if i < 0 {
			i = len(s.replies)
			s.replies = append(s.replies, r)
		}
		return fmt.Sprintf("_R_%d", i+1)
	})
	text = variable.ReplaceAllString(text, `"$1":0`)
	text = variableText.ReplaceAllString(text, `"$1":"-"`)
	if s.dir != nil {
		for name, key := range s.dir.keys {
			text = strings.ReplaceAll(text, key, name)
		}
	}
	return strings.TrimRight(text, " ")
}
