package router

import (
	"encoding/json"
	"math/rand/v2"
	"net/textproto"
	"time"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// Headers of message tracing.
const (
	headerTraceDest   = "Nats-Trace-Dest"
	headerTraceOnly   = "Nats-Trace-Only"
	headerTraceParent = "traceparent"
	// traceDisabled stands in for the destination where an account does not let
	// traces go on.
	traceDisabled = "trace disabled"
)

// The texts of messages that were not delivered, which are nats-server's.
const (
	notDenied = "Not delivered because subscription denies this subject"
	notTaken  = "Not delivered because client is closed"
)

// Traced is a sink, or a publisher, that a trace can name.
type Traced interface {
	// Trace returns the connection's id and the name that its client gave itself.
	Trace() (cid uint64, name string)
}

// Trace notes what becomes of one message, for who asked to know by a header. It
// is published when the message is done.
type Trace struct {
	Dest string // subject to publish it on

	only    bool
	account *account.Account // where the message came in
	header  map[string][]string
	size    int
	events  []traceEvent
	paused  int // in accounts that don't let traces go on
}

// traceEvent is one step; its keys are nats-server's.
type traceEvent struct {
	Type    string    `json:"type"`
	Time    time.Time `json:"ts"`
	Kind    *int      `json:"kind,omitempty"`
	CID     uint64    `json:"cid,omitempty"`
	Name    string    `json:"name,omitempty"`
	Account string    `json:"acc,omitempty"`
	Subject string    `json:"subj,omitempty"`
	From    string    `json:"from,omitempty"`
	To      string    `json:"to,omitempty"`
	Sub     string    `json:"sub,omitempty"`
	Queue   string    `json:"queue,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// client is the kind of connections of clients in events.
var client = new(int)

// WantsTrace returns a Trace for m if its headers, or those and the account's
// settings, ask for one; nil otherwise.
func WantsTrace(acc *account.Account, m *wire.Msg) *Trace {
	head := m.Header()
	dest := wire.HeaderValue(head, headerTraceDest)
	t := &Trace{account: acc, Dest: string(dest)}
	switch {
	case len(dest) > 0:
		if t.Dest == traceDisabled {
			return nil
		}
		t.only = isTrue(string(wire.HeaderValue(head, headerTraceOnly)))
	default:
		x := acc.Spec().Trace
		if x.Dest == "" || !sampled(wire.HeaderValue(head, headerTraceParent)) {
			return nil
		}
		if x.Sampling > 0 && x.Sampling < 100 && rand.IntN(100) >= x.Sampling {
			return nil
		}
		t.Dest = x.Dest
	}
	h, err := wire.ParseHeader(head)
	if err != nil {
		return nil
	}
	t.header = make(map[string][]string, len(h.Fields))
	for _, f := range h.Fields {
		t.header[f.Name] = append(t.header[f.Name], f.Value)
	}
	t.size = len(m.Data)
	return t
}

func isTrue(s string) bool {
	switch s {
	case "1", "true", "True", "TRUE", "on", "yes":
		return true
	}
	return false
}

// sampled reports whether a traceparent says that its request is recorded
// (W3C Trace Context: the lowest bit of the flags).
func sampled(v []byte) bool {
	if len(v) != 55 || v[52] != '-' {
		return false
	}
	c := v[54]
	switch {
	case c >= '0' && c <= '9':
		c -= '0'
	case c >= 'a' && c <= 'f':
		c -= 'a' - 10
	default:
		return false
	}
	return c&1 == 1
}

// add notes an event.
func (t *Trace) add(e traceEvent) *traceEvent {
	if t.paused > 0 {
		return nil
	}
	e.Time = time.Now().UTC()
	t.events = append(t.events, e)
	return &t.events[len(t.events)-1]
}

// Refused notes that the message may not be published.
func (t *Trace) Refused(text string) {
	if len(t.events) > 0 {
		t.events[0].Error = text
	}
}

// Append appends what is to be published on Dest: server is what the message
// begins with.
func (t *Trace) Append(b []byte, server any) ([]byte, error) {
	type request struct {
		Header map[string][]string `json:"header,omitempty"`
		Size   int                 `json:"msgsize"`
	}
	j, err := json.Marshal(struct {
		Server  any          `json:"server"`
		Request request      `json:"request"`
		Hops    int          `json:"hops,omitempty"`
		Events  []traceEvent `json:"events"`
	}{Server: server, Request: request{t.header, t.size}, Events: t.events})
	return append(b, j...), err
}

// Accepts reports whether who asked takes the trace in an encoding.
func (t *Trace) Accepts(encoding string) bool {
	for name, vs := range t.header {
		if textproto.CanonicalMIMEHeaderKey(name) != "Accept-Encoding" {
			continue
		}
		for _, v := range vs {
			if containsToken(v, encoding) {
				return true
			}
		}
	}
	return false
}

func containsToken(list, token string) bool {
	for len(list) > 0 {
		i := 0
		for i < len(list) && list[i] != ',' && list[i] != ' ' {
			i++
		}
		if list[:i] == token {
			return true
		}
		list = list[min(i+1, len(list)):]
	}
	return false
}

// PublishTraced is Publish for a message that t notes the way of.
func (b *Batch) PublishTraced(from Publisher, acc *account.Account, may *permission.Set, m *wire.Msg, t *Trace) Outcome {
	in := traceEvent{Type: "in", Kind: client, Account: acc.Name(), Subject: string(m.Subject)}
	if x, ok := from.(Traced); ok {
		in.CID, in.Name = x.Trace()
	}
	t.add(in)
	if may != nil && !may.Allows(m.Subject) {
		return Outcome{Denied: true}
	}
	b.trace = t
	defer func() { b.trace = nil }()
	m.Packed = nil
	if acc.Mapped() {
		before := string(m.Subject)
		if !b.mapSubject(acc, m) {
			return Outcome{Verdict: hook.Drop}
		}
		if string(m.Subject) != before {
			t.add(traceEvent{Type: "sm", To: string(m.Subject)})
		}
	}
	e := b.everybody(acc, m.Subject)
	if e.res.Chain != nil && !t.only {
		return b.publishHooked(from, acc, e, m)
	}
	return Outcome{Receivers: b.fanOut(from, &e.res, m)}
}

// everybody returns who is interested in subject, those included who are denied
// it: a trace says so.
func (b *Batch) everybody(acc *account.Account, subject []byte) *entry {
	e := &entry{acc: acc, subject: subject}
	acc.MatchAll(b.reader, subject, &e.res)
	return e
}

// stageTraced is stageFor with a note.
func (b *Batch) stageTraced(from Publisher, sub *account.Subscription, m *wire.Msg) int {
	t := b.trace
	ev := traceEvent{Type: "eg", Kind: client, Sub: sub.Subject(), Queue: sub.Queue()}
	if acc := sub.Root().Account(); acc != t.account {
		ev.Account = acc.Name()
	}
	x, known := sub.Sink.(Traced)
	if known {
		ev.CID, ev.Name = x.Trace()
	}
	n := 1
	switch {
	case sub.Denies(m.Subject):
		n, ev.Error = 0, notDenied
	case !t.only:
		b.trace = nil
		if n = b.stageFor(from, sub, m); n == 0 {
			ev.Error = notTaken
		}
		b.trace = t
	}
	if known {
		t.add(ev)
	}
	return n
}

// traceService notes that a message goes on in the account of a service, and
// returns what its header says there as the destination of the trace.
func (b *Batch) traceService(s *account.ServiceImport, near, far []byte) (dest []byte) {
	t := b.trace
	t.add(traceEvent{Type: "si", Account: s.To.Name(), From: string(near), To: string(far)})
	if !s.Export.AllowTrace {
		return []byte(traceDisabled)
	}
	return s.To.Replies().Await(nil, s, []byte(t.Dest), time.Now().UnixNano(), nil)
}

// shadowTraced is stageTraced for a stream that another account imports; m has
// the subject by which that knows it.
func (b *Batch) shadowTraced(from Publisher, sub *account.Subscription, m *wire.Msg) int {
	t := b.trace
	t.add(traceEvent{Type: "se", Account: sub.Root().Account().Name(), To: string(m.Subject)})
	if !sub.Via.AllowTrace {
		t.paused++
		defer func() { t.paused-- }()
	}
	return b.stageTraced(from, sub, m)
}
