package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
)

type pluginRunCmd struct {
	loaded
	message
	Boundary  string `enum:"publish,deliver,leaf-out,leaf-in,connect,subscribe" default:"publish" help:"Where the message is: publish, deliver, leaf-out, leaf-in, connect or subscribe."`
	Facts     string `placeholder:"JSON" help:"What is known of the connection, as {\"user\":\"u\"}."`
	Recording string `placeholder:"FILE" help:"Instead of one message, JSON lines with subject, reply, headers, payload (or payload_base64), such as 'ganglion sub --json' prints; - is standard input. Verdicts come as JSON lines."`
}

// message is the flags that describe one.
type message struct {
	Subject string   `help:"Subject; at subscribe the pattern."`
	Reply   string   `help:"Reply subject; at subscribe the queue group."`
	Payload string   `help:"Payload; - is standard input."`
	Header  []string `short:"H" sep:"none" help:"Header as \"Name: value\", may be given again."`
}

// plugin returns the message as plugins see it.
func (m *message) plugin(env *environment, at abi.Boundary) (plugintest.Message, error) {
	out := plugintest.Message{Boundary: at, Subject: m.Subject, Reply: m.Reply, Payload: m.Payload, Headers: m.Header}
	if m.Subject == "" && at != abi.Connect {
		return out, errors.New("--subject is missing: give the message's subject")
	}
	if _, err := headers(m.Header); err != nil {
		return out, fmt.Errorf("--header: %w", err)
	}
	if m.Payload == "-" {
		b, err := io.ReadAll(env.stdin)
		if err != nil {
			return out, fmt.Errorf("--payload -: %w", err)
		}
		out.Payload = string(b)
	}
	return out, nil
}

// Run prints what becomes of the messages. It fails when the plugin does.
func (c *pluginRunCmd) Run(env *environment) error {
	at := abi.ParseBoundary(c.Boundary)
	var facts abi.Facts
	if c.Facts != "" {
		if err := json.Unmarshal([]byte(c.Facts), &facts); err != nil {
			return fmt.Errorf("--facts %.80s: %w; use an object such as {\"user\":\"u\"}", c.Facts, err)
		}
	}
	if c.Recording != "" {
		if c.Subject != "" || c.Reply != "" || c.Payload != "" || len(c.Header) > 0 {
			return errors.New("--recording has messages of its own; leave --subject, --reply, --payload and --header out")
		}
		return c.replay(env, at, facts)
	}
	m, err := c.plugin(env, at)
	if err != nil {
		return err
	}
	m.Facts = facts
	p, err := c.open(env.ctx, plugintest.Config{})
	if err != nil {
		return err
	}
	defer p.Close()
	r := p.Send(m)
	if errors.Is(r.Err, plugintest.ErrMessage) {
		return fmt.Errorf("--subject, --reply and --header: %w", r.Err)
	}
	if !r.Bound {
		fmt.Fprintf(env.stderr, "Note: the manifest does not bind %s %s; the broker shows it such messages only when its configuration says so\n", c.Boundary, m.Subject)
	}
	printResult(env.stdout, &m, &r, p)
	if r.Err != nil {
		return fmt.Errorf("%s: %w", c.File, r.Err)
	}
	return nil
}

func printResult(w io.Writer, m *plugintest.Message, r *plugintest.Result, p *plugintest.Plugin) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s %s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	switch {
	case r.Err != nil:
		row("verdict", "fault; fail_closed, the default, rejects")
	case r.Verdict == abi.Reject:
		row("verdict", "reject %d %s", r.Code, r.Reason)
	default:
		row("verdict", "%s", r.Verdict)
	}
	if r.Err == nil && r.Verdict == abi.Replace {
		if len(changes(m, r)) == 0 {
			row("changed", "nothing: it was replaced by the same")
		}
		arrow := func(name, from, to string) {
			if from != to {
				row(name, "%s -> %s", or(from, "none"), or(to, "none"))
			}
		}
		arrow("subject", m.Subject, r.Subject)
		arrow("reply", m.Reply, r.Reply)
		if !slices.Equal(m.Headers, r.Headers) {
			fmt.Fprintln(w, "headers")
			printDiff(w, m.Headers, r.Headers)
		}
		if m.Payload != r.Payload {
			row("payload", "%s -> %s", size(int64(len(m.Payload))), size(int64(len(r.Payload))))
			printDiff(w, payloadLines(m.Payload, r.Payload), payloadLines(r.Payload, m.Payload))
		}
	}
	for _, e := range p.Emitted() {
		row("emitted", "%s, %s", e.Subject, size(int64(len(e.Payload))))
		printDiff(w, nil, append(e.Headers, payloadLines(e.Payload, "")...))
	}
	for _, l := range p.Logs() {
		row("log", "%s", l)
	}
	counters := p.Counters()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		row("counter", "%s %d", name, counters[name])
	}
	gauges := p.Gauges()
	for _, name := range slices.Sorted(maps.Keys(gauges)) {
		row("gauge", "%s %g", name, gauges[name])
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// changes are the parts of m that r replaced by something else.
func changes(m *plugintest.Message, r *plugintest.Result) []string {
	var list []string
	for _, x := range []struct {
		name string
		same bool
	}{
		{"subject", m.Subject == r.Subject}, {"reply", m.Reply == r.Reply},
		{"headers", slices.Equal(m.Headers, r.Headers)}, {"payload", m.Payload == r.Payload},
	} {
		if !x.same {
			list = append(list, x.name)
		}
	}
	return list
}

// replay shows the plugin a recording.
func (c *pluginRunCmd) replay(env *environment, at abi.Boundary, facts abi.Facts) error {
	in := env.stdin
	if c.Recording != "-" {
		f, err := os.Open(c.Recording)
		if err != nil {
			return fmt.Errorf("--recording: %w", err)
		}
		defer f.Close()
		in = f
	}
	p, err := c.open(env.ctx, plugintest.Config{})
	if err != nil {
		return err
	}
	defer p.Close()
	out := json.NewEncoder(env.stdout)
	out.SetEscapeHTML(false)
	n, faults := 0, 0
	for m, err := range recording(in) {
		if n++; err == nil {
			err = env.ctx.Err()
		}
		var r plugintest.Result
		if err == nil {
			m.Boundary, m.Facts = at, facts
			if r = p.Send(m); errors.Is(r.Err, plugintest.ErrMessage) {
				err = r.Err
			}
		}
		if err != nil {
			return fmt.Errorf("--recording %s, message %d: %w", c.Recording, n, err)
		}
		if r.Err != nil {
			faults++
		}
		if err := out.Encode(verdictLine(n, &m, &r, p)); err != nil {
			return err
		}
		p.Forget()
	}
	if faults > 0 {
		return fmt.Errorf("%s failed on %d of %d messages", c.File, faults, n)
	}
	return nil
}
