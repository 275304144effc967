package brokertest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// Play plays the script against the broker that dial starts for its
// configuration, and returns the transcript: what was said, with what varies from run to
// run replaced by the script's placeholders or the type of the value. Two brokers that
// answer alike give the same transcript. Whatever differs from the script ends
// the test.
func (s *Script) Play(t testing.TB, start func(config string) (addr string)) (transcript string) {
	t.Helper()
	return s.PlayOver(t, start, DialTCP)
}

// PlayOver is Play over another transport than TCP: dial connects to the address
// that start returned.
func (s *Script) PlayOver(t testing.TB, start func(config string) (addr string), dial func(addr string) (net.Conn, error)) (transcript string) {
	t.Helper()
	p := &player{script: s, t: t, dial: dial, conns: make(map[int]*peer), vars: make(map[string]string)}
	defer p.close()
	p.addr = start(p.expand(s.Config))
	for i := 0; i < len(s.steps); {
		i += p.play(s.steps[i:])
	}
	for _, n := range slices.Sorted(maps.Keys(p.conns)) {
		if !p.conns[n].ended {
			p.nothing(&step{conn: n, text: "the end of the script"})
		}
	}
	return p.log.String()
}

// player is one run of a script.
type player struct {
	script *Script
	t      testing.TB
	addr   string
	dial   func(addr string) (net.Conn, error)
	conns  map[int]*peer
	vars   map[string]string
	log    strings.Builder
}

func (p *player) close() {
	for _, c := range p.conns {
		c.c.Close()
	}
}

// fatal ends the test at st.
func (p *player) fatal(st *step, format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s: %s: %s\nSo far:\n%s", p.script.Name, st.source(), fmt.Sprintf(format, args...), p.log.String())
}

// play plays the first of steps and returns how many it took.
func (p *player) play(steps []step) int {
	p.t.Helper()
	st := &steps[0]
	c := p.conn(st)
	took := 1
	text := st.text
	switch st.kind {
	case kindSend:
		p.keepSending(st, c)
	case kindExpect:
		p.expect(st, c)
	case kindUnordered:
		took = p.unordered(steps, c)
		for i := 1; i < took; i++ {
			text += "\n" + steps[i].text
		}
	case kindInfo:
		text = fmt.Sprintf("S%d: %s", st.conn, p.info(st, c))
	case kindClosed:
		c.ended = true
		if b, err := c.answered(); err != io.EOF || len(b) > 0 {
			p.fatal(st, "got %s", outcome(b, err))
		}
	case kindCut:
		c.ended = true
		if sawErr, err := c.drain(); sawErr || err != nil {
			p.fatal(st, "an -ERR came: %v; error: %v", sawErr, err)
		}
	case kindNothing:
		p.nothing(st)
	}
	p.log.WriteString(text + "\n")
	return took
}

// conn returns the connection of st, which it opens if need be.
func (p *player) conn(st *step) *peer {
	p.t.Helper()
	c := p.conns[st.conn]
	if c == nil {
		addr := p.addr
		if other, ok := p.script.dials[st.conn]; ok {
			addr = p.expand(other)
		}
		nc, err := p.dial(addr)
		if err != nil {
			p.fatal(st, "%v", err)
		}
		c = &peer{c: nc, r: bufio.NewReader(nc)}
		p.conns[st.conn] = c
	}
	return c
}

// pace is how often a C@ line sends.
const pace = 20 * time.Millisecond

// keepSending sends st once, or for as long as it says.
func (p *player) keepSending(st *step, c *peer) {
	p.t.Helper()
	p.send(st, c)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for end := time.Now().Add(st.span); time.Now().Before(end); <-tick.C {
		p.send(st, c)
	}
}

func (p *player) send(st *step, c *peer) {
	p.t.Helper()
	var b []byte
	for range st.times {
		for _, s := range st.segs {
			switch s.kind {
			case segText:
				b = append(b, s.text...)
			case segVar:
				b = append(b, p.value(s.text)...)
			case segSplit:
				if err := c.send(b); err != nil {
					p.fatal(st, "%v", err)
				}
				b = b[:0]
			default:
				p.fatal(st, "a client cannot send what matches anything")
			}
		}
	}
	if err := c.send(b); err != nil {
		p.fatal(st, "%v", err)
	}
}

func (p *player) expect(st *step, c *peer) {
	p.t.Helper()
	segs := p.resolve(st.segs)
	next := c.answered
	if strings.HasPrefix(segs[0].text, "PING\r\n") {
		next = c.line
	}
	var got []byte
	for range lines(segs) {
		b, err := next()
		got = append(got, b...)
		next = c.line
		if err != nil {
			p.fatal(st, "got %s", outcome(got, err))
		}
	}
	if !matchSegs(segs, got, p.remember) {
		p.fatal(st, "got %s", outcome(got, nil))
	}
}

// unordered plays the S~ lines that steps begins with and returns how many.
func (p *player) unordered(steps []step, c *peer) int {
	p.t.Helper()
	var left [][]seg
	most := 0
	for _, st := range steps {
		if st.kind != kindUnordered || st.conn != steps[0].conn {
			break
		}
		segs := p.resolve(st.segs)
		most = max(most, lines(segs))
		left = append(left, segs)
	}
	took := len(left)
	var got []byte
	next := c.answered
	for n := 1; len(left) > 0; n++ {
		b, err := next()
		got = append(got, b...)
		next = c.line
		i := slices.IndexFunc(left, func(segs []seg) bool { return matchSegs(segs, got, p.remember) })
		switch {
		case i >= 0:
			left = slices.Delete(left, i, i+1)
			got, n, next = nil, 0, c.answered
		case err != nil || n >= most:
			p.fatal(&steps[0], "%d of %d are missing; got %s", len(left), took, outcome(got, err))
		}
	}
	return took
}

func (p *player) info(st *step, c *peer) string {
	p.t.Helper()
	b, err := c.answered()
	if err != nil {
		p.fatal(st, "got %s", outcome(b, err))
	}
	s, err := normalInfo(b, st.keys)
	if err != nil {
		p.fatal(st, "%s %v", escaped(b), err)
	}
	return s
}

// nothing is the barrier: all that the server has for the connection came before
// the answer to a PING.
func (p *player) nothing(st *step) {
	p.t.Helper()
	c := p.conns[st.conn]
	if err := c.send([]byte("PING\r\n")); err != nil {
		p.fatal(st, "%v", err)
	}
	b, err := c.answered()
	if err != nil || !bytes.Equal(b, []byte("PONG\r\n")) {
		p.fatal(st, "got %s", outcome(b, err))
	}
}

// resolve replaces names in segs by their values.
func (p *player) resolve(segs []seg) []seg {
	p.t.Helper()
	out := slices.Clone(segs)
	for i, s := range out {
		if s.kind == segVar {
			out[i] = seg{segText, p.value(s.text)}
		}
	}
	return out
}

// value is what name was remembered as or defined to be.
func (p *player) value(name string) string {
	p.t.Helper()
	if v, ok := p.vars[name]; ok {
		return v
	}
	f := p.script.vars[name]
	if f == nil {
		p.t.Fatalf("%s: <%s> is neither remembered nor defined", p.script.Name, name)
	}
	p.vars[name] = f()
	return p.vars[name]
}

func (p *player) remember(name, value string) { p.vars[name] = value }

// expand replaces <name> in configuration and addresses.
func (p *player) expand(text string) string {
	p.t.Helper()
	for name := range p.script.vars {
		if strings.Contains(text, "<"+name+">") {
			text = strings.ReplaceAll(text, "<"+name+">", p.value(name))
		}
	}
	return text
}

func outcome(b []byte, err error) string {
	switch {
	case err == io.EOF && len(b) == 0:
		return "the end of the connection"
	case err != nil:
		return fmt.Sprintf("%q and %v", escaped(b), err)
	}
	return escaped(b)
}
