package event

import (
	"cmp"
	"encoding/json"
	"strings"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/wire"
)

// request is somebody's message to a service.
type request struct {
	route   route
	subject string
	reply   string // "" for none
	data    []byte
	// account and cid are those of the session that it came from; "" and 0 when
	// that is not known.
	account string
	cid     uint64
}

// token returns the n-th token of the subject, from 0.
func (q *request) token(n int) string {
	toks := strings.Split(q.subject, ".")
	if n >= len(toks) {
		return ""
	}
	return toks[n]
}

// route says who answers what.
type route struct {
	subject string
	slow    bool // takes long: others must not wait for it
	answer  func(*request)
}

// intake receives the requests of a route.
type intake struct {
	service *Service
	route   route
}

// Stage takes a request (account.Sink). It is called by whoever reads the
// requester's connection and only queues.
func (i *intake) Stage(st *account.Stage, _ *account.Subscription, m *wire.Msg) bool {
	q := &request{route: i.route, subject: string(m.Subject), data: append([]byte(nil), m.Payload()...)}
	if answerable(m.Reply) {
		q.reply = string(m.Reply)
	}
	if p, ok := st.Sender.(interface{ Origin() *hook.Origin }); ok {
		o := p.Origin()
		q.account, q.cid = o.Account, o.CID
	}
	to := i.service.requests
	switch {
	case i.route.slow:
		to = i.service.slow
	case q.account != i.service.opts.System.Name():
		to = i.service.guests
	}
	select {
	case to <- q:
		return true
	default:
		i.service.dropped.Add(1)
		return false
	}
}

// Commit does nothing: Stage has handed the request over.
func (i *intake) Commit(*account.Stage) {}

// answerable reports whether a service may answer on subj. The system account's
// own subjects it may not: who is allowed one request could have the answer to it
// make another, or pass for an event.
func answerable(subj []byte) bool {
	s := string(subj)
	return !strings.HasPrefix(s, "$SYS.") || strings.HasPrefix(s, "$SYS._INBOX.")
}

// work answers requests until Close.
func (s *Service) work(requests <-chan *request) {
	for {
		select {
		case <-s.stop:
			return
		case q := <-requests:
			q.route.answer(q)
		}
	}
}

// filter says which servers are meant by a request to all.
type filter struct {
	Name       string   `json:"server_name"`
	Cluster    string   `json:"cluster"`
	Host       string   `json:"host"`
	ExactMatch bool     `json:"exact_match"`
	Tags       []string `json:"tags"`
	Domain     string   `json:"domain"`
}

// matches reports whether f means a server.
func (f *filter) matches(i *Identity) bool {
	text := strings.Contains
	if f.ExactMatch {
		text = func(a, b string) bool { return a == b }
	}
	for _, t := range f.Tags {
		found := false
		for _, has := range i.Tags {
			found = found || strings.EqualFold(has, t)
		}
		if !found {
			return false
		}
	}
	return (f.Name == "" || text(i.Name, f.Name)) &&
		(f.Host == "" || text(i.Host, f.Host)) &&
		(f.Cluster == "" || text(i.Cluster, f.Cluster)) &&
		(f.Domain == "" || i.Domain == f.Domain)
}

// read fills o, a pointer to options, from the body of q. When it returns false
// there is nothing more to do: the body made no sense, which was answered, or
// another server is meant.
func (s *Service) read(q *request, o any) bool {
	if len(q.data) == 0 {
		return true
	}
	var f filter
	if err := cmp.Or(json.Unmarshal(q.data, &f), json.Unmarshal(q.data, o)); err != nil {
		s.refuse(q, err)
		return false
	}
	return f.matches(s.identity.Load())
}

// with returns an answer function for requests with options of type O.
func with[O any](s *Service, f func(*request, *O) (any, error)) func(*request) {
	return func(q *request) {
		var o O
		if s.read(q, &o) {
			data, err := f(q, &o)
			s.reply(q, data, err)
		}
	}
}
