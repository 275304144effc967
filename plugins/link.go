package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ganglion/core/hook"
	"ganglion/core/subject"
	"ganglion/core/wire"
	"ganglion/plugins/abi"
	"ganglion/plugins/wasm"
)

// sampled is how many messages go by for each whose time is taken.
const sampled = 64

// version is one version of a plugin: a file, compiled and configured.
type version struct {
	slot     *slot
	file     string
	pool     *wasm.Pool
	services *services
	config   Config
	limits   wasm.Limits // as they were asked for
	links    []*link
	loaded   time.Time
	signer   string
}

// link is a version at one boundary.
type link struct {
	v       *version
	b       Binding
	publish []string // what a subject may be replaced by
}

// listens reports whether the link is for that listener.
func (l *link) listens(listener string) bool {
	return l.b.Listeners == nil || slices.Contains(l.b.Listeners, listener)
}

// OnPublish has the plugin look at a message that enters (hook.Publish).
func (l *link) OnPublish(from *hook.Origin, m *wire.Msg) (hook.Verdict, error) {
	if !l.listens(from.Listener) {
		return hook.Pass, nil
	}
	f := abi.Frame{Boundary: l.b.Boundary, Hops: uint32(from.Hops), Subject: m.Subject, Reply: m.Reply, Headers: m.Header(), Payload: m.Data[m.HdrLen:]}
	return l.look(from, from.Account, &f, m)
}

// OnDeliver has it look at a message that goes to a listener's clients
// (hook.Deliver).
func (l *link) OnDeliver(to hook.Zone, m *wire.Msg) (hook.Verdict, error) {
	if !l.listens(to.Listener) {
		return hook.Pass, nil
	}
	f := abi.Frame{Boundary: l.b.Boundary, Hops: uint32(to.Hops), Subject: m.Subject, Reply: m.Reply, Headers: m.Header(), Payload: m.Data[m.HdrLen:]}
	return l.look(nil, to.Account, &f, m)
}

// look calls the plugin and does what it says.
func (l *link) look(from *hook.Origin, account string, f *abi.Frame, m *wire.Msg) (hook.Verdict, error) {
	s := l.v.slot
	if s.tripped.Load() {
		return l.failed(account, f, m, errTripped)
	}
	n := s.calls.Add(1)
	inst, err := l.v.pool.Lease(n)
	if err != nil {
		if errors.Is(err, wasm.ErrClosed) { // another version took over meanwhile
			return s.redirect(l, from, account, f, m)
		}
		s.fault(l.v, err)
		return l.failed(account, f, m, err)
	}
	if from != nil && len(f.Facts) == 0 && inst.Want()&abi.WantFacts != 0 {
		f.Facts = factsOf(inst, from)
	}
	var out wasm.Outcome
	if n%sampled == 0 {
		start := time.Now()
		err = inst.Call(f, account, &out)
		s.latency.add(time.Since(start))
	} else {
		err = inst.Call(f, account, &out)
	}
	if err == nil && out.Verdict == abi.Replace {
		err = l.replace(f, m, &out)
	}
	if err != nil {
		if errors.Is(err, wasm.ErrPlugin) || errors.Is(err, errReplace) {
			l.v.pool.Release(inst)
		} else {
			l.v.pool.Fail(inst)
		}
		s.fault(l.v, err)
		return l.failed(account, f, m, err)
	}
	if s.inARow.Load() != 0 {
		s.inARow.Store(0)
	}
	s.verdicts[out.Verdict].Add(1)
	switch out.Verdict {
	case abi.Drop:
		l.v.pool.Release(inst)
		return hook.Drop, nil
	case abi.Reject:
		r := &hook.Rejection{Code: int(out.Code), Reason: string(out.Reason)}
		l.v.pool.Release(inst)
		return hook.Reject, r
	}
	l.v.pool.Release(inst)
	return hook.Pass, nil
}

// errReplace is wrapped by errors about what a plugin wants to replace.
var errReplace = errors.New("plugins: invalid replacement")

// replace puts what the plugin returned into m. Its bytes are copied: the
// instance goes to the next message.
func (l *link) replace(f *abi.Frame, m *wire.Msg, out *wasm.Outcome) error {
	subj, reply, headers, payload := m.Subject, m.Reply, f.Headers, f.Payload
	if out.Replaced&abi.ReplacedSubject != 0 {
		switch {
		case f.Boundary == abi.Deliver || f.Boundary == abi.LeafOut:
			return fmt.Errorf("%w: a subject can't be replaced at the boundary %s", errReplace, f.Boundary)
		case !subject.ValidPublish(out.Subject) || !allowed(l.publish, out.Subject) || reserved(out.Subject):
			return fmt.Errorf("%w: subject %.80q is not in its publish_to", errReplace, out.Subject)
		}
		n := len(m.Scratch)
		m.Scratch = append(m.Scratch, out.Subject...)
		subj = m.Scratch[n:len(m.Scratch):len(m.Scratch)]
	}
	if out.Replaced&abi.ReplacedReply != 0 {
		if len(out.Reply) > 0 && (!subject.ValidPublish(out.Reply) || reserved(out.Reply)) {
			return fmt.Errorf("%w: reply subject %.80q", errReplace, out.Reply)
		}
		n := len(m.Scratch)
		m.Scratch = append(m.Scratch, out.Reply...)
		reply = m.Scratch[n:len(m.Scratch):len(m.Scratch)]
	}
	if out.Replaced&(abi.ReplacedHeaders|abi.ReplacedPayload) != 0 {
		if out.Replaced&abi.ReplacedHeaders != 0 {
			if headers = out.Headers; !validHeaders(headers) {
				return fmt.Errorf("%w: the headers are no header block", errReplace)
			}
		}
		if out.Replaced&abi.ReplacedPayload != 0 {
			payload = out.Payload
		}
		if most := l.v.slot.m.maxPayload(); len(headers)+len(payload) > most {
			return fmt.Errorf("%w: headers and payload have %d bytes; max_payload is %d", errReplace, len(headers)+len(payload), most)
		}
		n := len(m.Scratch)
		m.Scratch = append(append(m.Scratch, headers...), payload...)
		m.Data, m.HdrLen = m.Scratch[n:len(m.Scratch):len(m.Scratch)], len(headers)
	}
	m.Subject, m.Reply = subj, reply
	return nil
}

// reserved reports whether subj is the system's own, which no plugin may move a
// message to, whatever its publish_to says.
func reserved(subj []byte) bool {
	return subj[0] == '$' || bytes.HasPrefix(subj, []byte("_R_.")) || bytes.HasPrefix(subj, []byte("_GR_."))
}

var errTripped = errors.New("plugins: it is out of service after faults")

// failed is what becomes of a message that the plugin did not decide on.
func (l *link) failed(account string, f *abi.Frame, m *wire.Msg, err error) (hook.Verdict, error) {
	policy := l.v.config.Policy
	if l.v.config.Required && policy == FailOpen && (err == errTripped || errors.Is(err, wasm.ErrUnavailable)) {
		policy = FailClosed
	}
	return l.v.slot.apply(policy, l.v.config.Quarantine, account, int(f.Hops), m, err)
}

// apply is failed by a policy.
func (s *slot) apply(p Policy, quarantine, account string, hops int, m *wire.Msg, err error) (hook.Verdict, error) {
	switch p {
	case FailOpen:
		s.passed.Add(1)
		return hook.Pass, nil
	case Quarantine:
		if quarantine == "" {
			quarantine = "quarantine." + s.name
		}
		hdr := fmt.Appendf(nil, "NATS/1.0\r\nGanglion-Plugin: %s\r\nGanglion-Subject: %s\r\nGanglion-Error: %s\r\n", s.name, m.Subject, oneLine(err))
		if _, lines, ok := bytes.Cut(m.Header(), []byte("\r\n")); ok && len(lines) > 0 {
			hdr = append(hdr, lines...)
		} else {
			hdr = append(hdr, "\r\n"...)
		}
		x := emitted{account: account, hops: hops + 1, msg: wire.Msg{Subject: []byte(quarantine), HdrLen: len(hdr), Data: append(hdr, m.Data[m.HdrLen:]...)}}
		if hops < maxHops && string(m.Subject) != quarantine && s.m.queue(x) {
			s.quarantined.Add(1)
			return hook.Drop, nil
		} // it must not get lost in silence
	}
	s.closed.Add(1)
	return hook.Reject, &hook.Rejection{Code: 500, Reason: "plugin " + s.name + " is not available"}
}

func oneLine(err error) []byte {
	b := []byte(err.Error())
	for i := range b {
		if b[i] < ' ' || b[i] == 0x7f {
			b[i] = ' '
		}
	}
	return b[:min(len(b), 200)]
}

// redirect has the version that took over from l's look at a message; without one
// the message passes.
func (s *slot) redirect(l *link, from *hook.Origin, account string, f *abi.Frame, m *wire.Msg) (hook.Verdict, error) {
	v := s.current.Load()
	if v == nil || v == l.v {
		if l.v.config.Required {
			return l.failed(account, f, m, errMissing)
		}
		return hook.Pass, nil
	}
	for _, next := range v.links {
		if next.b.Boundary == l.b.Boundary && next.covers(f, account) {
			return next.look(from, account, f, m)
		}
	}
	return hook.Pass, nil
}

// covers reports whether the link is for f, of an account.
func (l *link) covers(f *abi.Frame, account string) bool {
	if len(l.b.Accounts) > 0 && !slices.Contains(l.b.Accounts, account) {
		return false
	}
	switch l.b.Boundary {
	case abi.Connect:
		return true
	case abi.Subscribe:
		return slices.ContainsFunc(l.b.Subjects, func(p string) bool { return subject.Overlap(p, string(f.Subject)) })
	}
	return slices.ContainsFunc(l.b.Subjects, func(p string) bool { return subject.MatchBytes(p, f.Subject) })
}

// factsOf returns what a plugin may know of a connection, made once for as long as
// the instance sees the same one.
func factsOf(i *wasm.Instance, from *hook.Origin) []byte {
	if i.Origin != from {
		i.Origin, i.Facts = from, facts(from, abi.Facts{})
	}
	return i.Facts
}

func facts(from *hook.Origin, f abi.Facts) []byte {
	f.CID, f.Account, f.User, f.Name, f.Listener = from.CID, from.Account, from.User, from.Name, from.Listener
	if from.Remote != (netip.AddrPort{}) {
		f.Remote = from.Remote.String()
	}
	b, err := json.Marshal(f)
	if err != nil {
		return []byte("{}")
	}
	return b
}
