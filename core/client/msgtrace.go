package client

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"time"

	"github.com/klauspost/compress/snappy"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// traceMark is in the name of every header that asks for a trace.
var traceMark = []byte("race")

// server publishes what the server itself has to say in an account
// (router.Publisher).
type server struct{ origin hook.Origin }

// voice is the server as a publisher: it holds nothing.
var voice = &server{}

func (*server) Stage(*account.Stage, *account.Subscription, *wire.Msg) bool { return false }
func (*server) Commit(*account.Stage)                                       {}
func (s *server) Origin() *hook.Origin                                      { return &s.origin }
func (*server) RTT() time.Duration                                          { return 0 }
func (*server) AppendRequestor(b []byte, _ string, _ bool) []byte           { return append(b, "{}"...) }

// Trace tells a trace who the session is (router.Traced).
func (c *Client) Trace() (cid uint64, name string) {
	if w := c.who.Load(); w != nil {
		name = w.name
	}
	return c.cid, name
}

// RTT returns the round-trip time, as well as it is known (router.Publisher).
func (c *Client) RTT() time.Duration {
	if rtt := c.rtt.Load(); rtt != 0 {
		return time.Duration(rtt)
	}
	return time.Duration(c.firstRTT.Load())
}

// traced publishes m with a note of its way, if it asks for one; false if it does
// not. A client must be allowed to publish where it has the trace go to.
func (c *Client) traced(b *router.Batch, s *Settings, g *grant, m *wire.Msg, flags uint32) bool {
	t := router.WantsTrace(g.acc, m)
	if t == nil || s.ServerInfo == nil {
		return false
	}
	if wire.HeaderValue(m.Header(), "Nats-Trace-Dest") != nil && g.publish != nil && !g.publish.Allows([]byte(t.Dest)) {
		return false
	}
	name := bytes.Clone(m.Subject)
	may := g.publish
	if may != nil && !may.Allows(m.Subject) && c.mayRespond(m.Subject, true) {
		may = nil
	}
	out := b.PublishTraced(c, g.acc, may, m, t)
	if out.Denied {
		t.Refused(fmt.Sprintf("Permissions Violation for Publish to %q", name))
	}
	if data, err := t.Append(nil, s.ServerInfo()); err == nil {
		b.Publish(voice, g.acc, nil, encoded(t, data))
	}
	switch {
	case out.Denied:
		c.refusePublish(b, s, g, name)
	case out.Receivers == 0:
		c.undelivered(b, s, g, m, name, flags, out)
	}
	return true
}

// encoded returns the message that has a trace, compressed as its receiver likes.
func encoded(t *router.Trace, data []byte) *wire.Msg {
	m := &wire.Msg{Subject: []byte(t.Dest), Data: data}
	name := ""
	switch {
	case t.Accepts("snappy"), t.Accepts("s2"):
		name, data = "snappy", snappy.Encode(nil, data)
	case t.Accepts("gzip"):
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(data) // into memory: can't fail
		w.Close()
		name, data = "gzip", z.Bytes()
	default:
		return m
	}
	h := wire.Header{Fields: []wire.Field{{Name: "Content-Encoding", Value: name}}}
	m.Data = h.Append(nil)
	m.HdrLen = len(m.Data)
	m.Data = append(m.Data, data...)
	return m
}
