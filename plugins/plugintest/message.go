package plugintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ganglion/core/subject"
	"ganglion/core/wire"
	"ganglion/plugins/abi"
)

// Message is a message at a boundary. At abi.Connect nothing but Facts counts, at
// abi.Subscribe Subject is the pattern and Reply the queue group.
type Message struct {
	Boundary abi.Boundary // 0 is abi.Publish
	Subject  string
	Reply    string
	Headers  []string // "Name: value"
	Payload  string
	Facts    abi.Facts // an Account of "" is "$G"
	Hops     int       // how many plugins' emits led to it
}

// Result is what became of a message.
type Result struct {
	// Verdict is Reject after a fault, as with the error policy fail_closed.
	Verdict abi.Verdict
	// Of a message that goes on: what it is now. Headers are as in Message.
	Subject, Reply string
	Headers        []string
	Payload        string
	// Of a reject. Code is what a request is answered with.
	Code   int
	Reason string
	// Bound says that the manifest names the boundary and the subject; otherwise
	// the broker shows the plugin such messages only when its configuration says so.
	Bound bool
	// Err is a fault: a trap, no fuel left, a failure that the plugin reports, or a
	// result that the broker does not take.
	Err error
}

// Header returns the first value of a header, compared exactly, or "".
func (r *Result) Header(name string) string {
	for _, h := range r.Headers {
		if n, v, _ := strings.Cut(h, ":"); n == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// ErrMessage says that no client can send a message like that.
var ErrMessage = errors.New("plugintest: invalid message")

// ErrRefused says that the broker does not take what the plugin replaced.
var ErrRefused = errors.New("plugintest: the broker does not take the result")

func (m *Message) facts() abi.Facts {
	f := m.Facts
	if f.Account == "" {
		f.Account = "$G"
	}
	return f
}

// Frame returns the message as the plugin sees it.
func (m *Message) Frame() (abi.Frame, error) {
	if m.Boundary == 0 {
		m.Boundary = abi.Publish
	}
	f := abi.Frame{Boundary: m.Boundary, Hops: uint32(m.Hops), Subject: []byte(m.Subject), Reply: []byte(m.Reply), Payload: []byte(m.Payload)}
	switch {
	case m.Boundary == abi.Connect && (m.Subject != "" || m.Reply != ""):
		return f, fmt.Errorf("%w: there is no subject at %s", ErrMessage, m.Boundary)
	case m.Boundary == abi.Connect || m.Boundary == abi.Subscribe && subject.Valid(m.Subject):
	case m.Boundary == abi.Subscribe || !subject.ValidPublish(f.Subject):
		return f, fmt.Errorf("%w: %q is no subject at %s", ErrMessage, m.Subject, m.Boundary)
	case m.Reply != "" && !subject.ValidPublish(f.Reply):
		return f, fmt.Errorf("%w: %q is no reply subject", ErrMessage, m.Reply)
	}
	if len(m.Headers) > 0 {
		b := []byte("NATS/1.0\r\n")
		for _, h := range m.Headers {
			if name, _, ok := strings.Cut(h, ":"); !ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(h, "\r\n") {
				return f, fmt.Errorf("%w: header %q is not of the form \"Name: value\"", ErrMessage, h)
			}
			b = append(b, h...)
			b = append(b, "\r\n"...)
		}
		f.Headers = append(b, "\r\n"...)
	}
	if m.Boundary != abi.Deliver { // it is one message for many connections there
		var err error
		if f.Facts, err = json.Marshal(m.facts()); err != nil {
			return f, err
		}
	}
	return f, nil
}

// after is m as out leaves it.
func (m *Message) after(out *abi.Result) Result {
	r := Result{Verdict: out.Verdict}
	switch out.Verdict {
	case abi.Drop:
		return r
	case abi.Reject:
		r.Code, r.Reason = int(out.Code), string(out.Reason)
		if r.Code == 0 {
			r.Code = 403
		}
		return r
	}
	r.Subject, r.Reply, r.Headers, r.Payload = m.Subject, m.Reply, m.Headers, m.Payload
	if out.Replaced&abi.ReplacedSubject != 0 {
		r.Subject = string(out.Subject)
	}
	if out.Replaced&abi.ReplacedReply != 0 {
		r.Reply = string(out.Reply)
	}
	if out.Replaced&abi.ReplacedHeaders != 0 {
		r.Headers = lines(out.Headers)
	}
	if out.Replaced&abi.ReplacedPayload != 0 {
		r.Payload = string(out.Payload)
	}
	return r
}

// lines are a header block's, without the first.
func lines(block []byte) []string {
	_, s, _ := strings.Cut(string(block), "\r\n")
	if s = strings.TrimSuffix(s, "\r\n\r\n"); s == "" || s == "\r\n" {
		return nil
	}
	return strings.Split(s, "\r\n")
}

// judge returns why the broker does not take a result.
func judge(m *Message, b *abi.Binding, out *abi.Result) error {
	if out.Verdict != abi.Replace {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
	}
	if m.Boundary == abi.Connect || m.Boundary == abi.Subscribe {
		return refuse("nothing can be replaced at %s", m.Boundary)
	}
	if out.Replaced&abi.ReplacedSubject != 0 {
		switch {
		case m.Boundary == abi.Deliver:
			return refuse("the subject can't be replaced at %s", m.Boundary)
		case !subject.ValidPublish(out.Subject):
			return refuse("%.80q is no subject", out.Subject)
		case out.Subject[0] == '$' || strings.HasPrefix(string(out.Subject), "_R_.") || strings.HasPrefix(string(out.Subject), "_GR_."):
			return refuse("subject %.80q belongs to the system", out.Subject)
		case b != nil && !slices.ContainsFunc(targets(b), func(p string) bool { return subject.MatchBytes(p, out.Subject) }):
			return refuse("subject %.80q is none that the manifest names (subjects, publish_to)", out.Subject)
		}
	}
	if out.Replaced&abi.ReplacedReply != 0 && len(out.Reply) > 0 && (!subject.ValidPublish(out.Reply) || out.Reply[0] == '$') {
		return refuse("%.80q is no reply subject", out.Reply)
	}
	if out.Replaced&abi.ReplacedHeaders != 0 && !validBlock(out.Headers) {
		return refuse("%.80q are no headers", out.Headers)
	}
	return nil
}

func validBlock(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	_, err := wire.ParseHeader(b)
	return err == nil
}

// targets are what a subject may be replaced by.
func targets(b *abi.Binding) []string {
	if len(b.PublishTo) > 0 {
		return b.PublishTo
	}
	return b.Subjects
}

// binding returns the first one of a manifest that a subject at a boundary is of.
func binding(m *abi.Manifest, at abi.Boundary, name string) (*abi.Binding, bool) {
	for i := range m.Bindings {
		b := &m.Bindings[i]
		if abi.ParseBoundary(b.Boundary) != at {
			continue
		}
		if at == abi.Connect {
			return b, true
		}
		if slices.ContainsFunc(b.Subjects, func(p string) bool { return covers(p, name, at) }) {
			return b, true
		}
	}
	return nil, false
}

// covers reports whether a binding to pattern sees a subject: what is the system's
// or an inbox must be named, at least by its first letters.
func covers(pattern, name string, at abi.Boundary) bool {
	if !subject.Valid(pattern) || (pattern[:1] == "*" || pattern[:1] == ">") && (name[0] == '$' || strings.HasPrefix(name, "_INBOX.") || strings.HasPrefix(name, "_R_.")) {
		return false
	}
	if at == abi.Subscribe {
		return subject.Overlap(pattern, name)
	}
	return subject.Match(pattern, name)
}
