package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

const (
	permAccounts = 100
	permSubjects = 1000
)

// permissions is 100 accounts with a publisher and a receiver each, which publish
// on 1,000 subjects in turn; with permissions for both, and, to compare with,
// without.
func permissions() scenario {
	return scenario{
		name:   "perms",
		about:  "100 accounts, 1,000 subjects per publisher in turn, 128 B: with 20 allow and 5 deny patterns and an overlapping deny on each receiver, against the same without",
		floors: []floor{atMost("x.cpu", 1.10)},
		self:   true,
		run: func(ctx context.Context, st *stage) (leg, error) {
			return st.over(ctx, transport{conf: permConfig(!st.base)}, func(s *session) (leg, error) {
				t, err := s.permTopology()
				if err != nil {
					return leg{}, err
				}
				return s.full(st.opts, t.pubs, t.wins, t.subs)
			})
		},
	}
}

func permConfig(with bool) string {
	pub, sub := "", ""
	if with {
		var allow, deny []string
		for i := range 20 {
			allow = append(allow, fmt.Sprintf("bench.site%02d.>", i))
		}
		for i := range 5 {
			deny = append(deny, fmt.Sprintf("bench.*.secret%d.>", i))
		}
		pub = fmt.Sprintf(", permissions: {publish: {allow: [%s], deny: [%s]}}", strings.Join(allow, ", "), strings.Join(deny, ", "))
		sub = ", permissions: {subscribe: {deny: [bench.*.secret0.>]}}"
	}
	var b strings.Builder
	b.WriteString("accounts {\n")
	for i := range permAccounts {
		fmt.Fprintf(&b, "  A%d { users: [ {user: p%d, password: x%s}, {user: s%d, password: x%s} ] }\n", i, i, pub, i, sub)
	}
	b.WriteString("}\n")
	return b.String()
}

func permSubject(i int) string { return fmt.Sprintf("bench.site%02d.sensor.%04d", i%20, i) }

func (s *session) permTopology() (*topology, error) {
	var chunks []chunk
	c := chunk{}
	for i := range permSubjects {
		c.b = appendPub(c.b, permSubject(i), "", 128)
		c.n++
		if len(c.b) >= chunkBytes || i == permSubjects-1 {
			chunks = append(chunks, c)
			c = chunk{}
		}
	}
	size := msgSize(msgHead(permSubject(0), "1", "", 128), 128)
	t := &topology{}
	for i := range permAccounts {
		win := newWindow(windowTotal/permAccounts, size)
		sub, err := s.dialAs(fmt.Sprintf("s%d", i), "x")
		if err != nil {
			return nil, err
		}
		if err := sub.flush([]byte("SUB bench.> 1\r\n")); err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		sub.sink = &counter{control: &sub.control, size: size, head: []byte("MSG bench."), add: win.delivered}
		pub, err := s.dialAs(fmt.Sprintf("p%d", i), "x")
		if err != nil {
			return nil, err
		}
		t.subs, t.wins = append(t.subs, sub), append(t.wins, win)
		t.pubs = append(t.pubs, publisher{c: pub, chunks: chunks, win: win, fanout: 1})
	}
	return t, t.attach(s)
}

const (
	importService = "svc.echo"
	importConfig  = `accounts {
  SVC { users: [ {user: svc, password: x} ], exports: [ {service: svc.echo} ] }
  APP { users: [ {user: app, password: x} ], imports: [ {service: {account: SVC, subject: svc.echo}} ] }
}
`
)

// serviceImport is request-reply through a service import, and the same inside
// the service's account: the difference is the hop.
func serviceImport() scenario {
	return scenario{
		name:   "import",
		about:  "request-reply through a service import, 64 in flight; hop: its server CPU less that of the same in one account",
		kind:   latency,
		floors: []floor{atMost("x.cpu", 0.4), atMost("x.hop", 0.4)},
		run: func(ctx context.Context, st *stage) (leg, error) {
			as := func(user string) (leg, error) {
				return st.over(ctx, transport{conf: importConfig}, func(s *session) (leg, error) { return importLeg(s, st.opts, user) })
			}
			direct, err := as("svc")
			if err != nil {
				return leg{}, err
			}
			l, err := as("app")
			l.Extra = map[string]float64{"hop": l.CPU - direct.CPU}
			return l, err
		},
	}
}

func importLeg(s *session, o options, user string) (leg, error) {
	const inbox, inflight = "_INBOX.0001", 64
	resp, err := s.dialAs("svc", "x")
	if err != nil {
		return leg{}, err
	}
	if err := resp.flush([]byte("SUB " + importService + " 1\r\n")); err != nil {
		return leg{}, fmt.Errorf("subscribe: %w", err)
	}
	resp.sink = &echo{control: &resp.control, c: resp}
	c, err := s.dialAs(user, "x")
	if err != nil {
		return leg{}, err
	}
	if err := c.flush([]byte("SUB " + inbox + " 1\r\n")); err != nil {
		return leg{}, fmt.Errorf("subscribe: %w", err)
	}
	win := newWindow(pacedWindow, 1)
	r := newRequester(s, c, importService, inbox, inflight, win)
	if err := errors.Join(s.attach(resp), s.attach(c)); err != nil {
		return leg{}, err
	}
	if err := r.send(inflight); err != nil {
		return leg{}, err
	}
	res, err := s.measure(o, win.done.Load)
	if err != nil {
		return leg{}, err
	}
	s.draining.Store(true)
	if err := s.settle(c); err != nil {
		return leg{}, err
	}
	if err := verify(s, []*window{win}, []*conn{c}); err != nil {
		return leg{}, err
	}
	res.latency(&r.h)
	return res, nil
}

// echo answers requests of any form, with or without headers, with the last
// reqBytes of them: what a server says of who asks has no fixed length.
type echo struct {
	*control
	c     *conn
	carry []byte
	out   []byte
}

func (e *echo) data(b []byte) error {
	if len(e.carry) > 0 {
		b = append(e.carry, b...)
		e.carry = nil
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		if b[0] != 'M' && b[0] != 'H' {
			if err := e.handle(b[:i+1]); err != nil {
				return err
			}
			b = b[i+1:]
			continue
		}
		f := bytes.Fields(b[:i])
		total := 0
		for _, d := range f[len(f)-1] {
			total = 10*total + int(d-'0')
		}
		end := i + 1 + total + 2
		if end > len(b) {
			break
		}
		e.out = append(e.out, "PUB "...)
		e.out = append(e.out, f[3]...)
		e.out = fmt.Appendf(e.out, " %d\r\n", reqBytes)
		e.out = append(e.out, b[end-2-reqBytes:end]...)
		b = b[end:]
	}
	e.carry = append(e.carry, b...)
	if len(e.out) == 0 {
		return nil
	}
	err := e.c.write(e.out)
	e.out = e.out[:0]
	return err
}

// manyAccounts is how long a server with 1,000 accounts of 100 users each takes
// to start.
func manyAccounts() scenario {
	return scenario{
		name:   "accounts",
		about:  "time from exec to the first INFO with 1,000 accounts of 100 users each",
		kind:   footprint,
		pairs:  5,
		floors: []floor{atMost("g.load ms", 1000)},
		run: func(ctx context.Context, st *stage) (leg, error) {
			var b strings.Builder
			b.WriteString("accounts {\n")
			for i := range 1000 {
				fmt.Fprintf(&b, "  A%d { users: [\n", i)
				for j := range 100 {
					fmt.Fprintf(&b, "    {user: u%d_%d, password: p%d_%d}\n", i, j, i, j)
				}
				b.WriteString("  ] }\n")
			}
			b.WriteString("}\n")
			srv, err := st.product.start(ctx, st.env, transport{conf: b.String()})
			if err != nil {
				return leg{}, err
			}
			st.servers = append(st.servers, srv)
			took, err := srv.ready(ctx)
			if err != nil {
				return leg{}, err
			}
			rss, err := srv.rss()
			return leg{RSS: rss, Extra: map[string]float64{"load ms": float64(took) / 1e6}}, err
		},
	}
}
