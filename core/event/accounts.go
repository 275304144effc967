package event

import (
	"encoding/json"
	"strconv"
	"time"

	"ganglion/core/monitor"
	"ganglion/core/subject"
)

// UserInfo is what $SYS.REQ.USER.INFO tells a client of itself.
type UserInfo struct {
	User        string        `json:"user"`
	Account     string        `json:"account"`
	AccountName string        `json:"account_name,omitempty"`
	UserName    string        `json:"user_name,omitempty"`
	Permissions *Permissions  `json:"permissions,omitempty"`
	Expires     time.Duration `json:"expires,omitempty"` // from now
}

// Permissions are what a user may do; nil parts are not restricted.
type Permissions struct {
	Publish   *Rules     `json:"publish,omitempty"`
	Subscribe *Rules     `json:"subscribe,omitempty"`
	Responses *Responses `json:"responses,omitempty"`
}

// Rules are patterns of subjects.
type Rules struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Responses say how often and how long a message may be answered.
type Responses struct {
	Max     int           `json:"max"`
	Expires time.Duration `json:"ttl"`
}

// everybody stands in place of an account where all are meant.
const everybody = "PING"

// accountRoutes returns what is answered about accounts. In their subjects the
// fourth token names the account.
func (s *Service) accountRoutes() []route {
	const of = "$SYS.REQ.ACCOUNT.*."
	return []route{
		{subject: of + "CONNZ", answer: with(s, func(q *request, o *monitor.ConnzOptions) (any, error) {
			o.Account = q.token(3)
			return orNull(s.opts.Source.Connz(*o))
		})},
		{subject: of + "SUBSZ", answer: with(s, func(q *request, o *monitor.SubszOptions) (any, error) {
			o.Account, o.Subs = q.token(3), true
			return orNull(s.opts.Source.Subsz(*o))
		})},
		{subject: of + "INFO", answer: with(s, func(q *request, _ *none) (any, error) {
			z, err := s.opts.Source.Accountz(monitor.AccountzOptions{Account: q.token(3)})
			if err != nil {
				return nil, err
			}
			return z.Account, nil
		})},
		{subject: of + "LEAFZ", answer: with(s, func(q *request, o *monitor.LeafzOptions) (any, error) {
			o.Account = q.token(3)
			return s.opts.Source.Leafz(*o), nil
		})},
		{subject: of + "JSZ", answer: with(s, func(*request, *none) (any, error) { return nil, errNoJetStream })},
		{subject: of + "STATZ", answer: s.accountStatz},
		{subject: of + "CONNS", answer: s.accountConns},
		{subject: "$SYS.REQ.ACCOUNT.NSUBS", answer: s.numSubs},
		{subject: "$SYS.REQ.USER.*.INFO", answer: s.userInfo},
		{subject: "$SYS.REQ.USER.INFO", answer: s.userInfo},
	}
}

// accountStatz answers about the account of the subject, or about several, but
// that only to the system account. A single account that nobody is connected to
// has no answer.
func (s *Service) accountStatz(q *request) {
	var o monitor.AccountStatzOptions
	if !s.read(q, &o) {
		return
	}
	all := q.token(3) == everybody && q.account == s.opts.System.Name()
	if !all {
		o.Accounts = []string{q.token(3)}
	}
	z := s.opts.Source.AccountStatz(o)
	if all || len(z.Accounts) > 0 {
		s.reply(q, z, nil)
	}
}

// accountConns answers with what is published when connections come and go. An
// account that nobody is connected to has no answer, nor has a request that asks
// for anything.
func (s *Service) accountConns(q *request) {
	if len(q.data) > 0 {
		return
	}
	z := s.opts.Source.AccountStatz(monitor.AccountStatzOptions{Accounts: []string{q.token(3)}})
	if len(z.Accounts) == 1 {
		s.sendTo(q, s.accountEvent(z.Accounts[0], time.Now()))
	}
}

// numSubs answers with the number of subscriptions of an account to subjects that
// a pattern covers, of all or of one queue group.
func (s *Service) numSubs(q *request) {
	var o struct {
		Account string `json:"acc"`
		Subject string `json:"subject"`
		Queue   []byte `json:"queue"`
	}
	if json.Unmarshal(q.data, &o) != nil || o.Account == "" {
		return
	}
	if _, err := s.opts.Source.Accountz(monitor.AccountzOptions{Account: o.Account}); err != nil {
		return
	}
	n := 0
	if subject.Valid(o.Subject) {
		z, err := s.opts.Source.Subsz(monitor.SubszOptions{Account: o.Account, Subs: true, Limit: 1 << 30})
		if err != nil {
			return
		}
		for _, d := range z.Subs {
			if subject.Covers(o.Subject, d.Subject) && (len(o.Queue) == 0 || d.Queue == string(o.Queue)) {
				n++
			}
		}
	}
	s.sendBytes(q, strconv.AppendInt(nil, int64(n), 10))
}

// userInfo tells a client what is known of it. The account of the subject must be
// the one that the request comes from: nobody asks for others.
func (s *Service) userInfo(q *request) {
	if !s.read(q, &none{}) {
		return
	}
	var u *UserInfo
	asked := q.token(3) // the account, or INFO when the system account asks for itself
	system := q.account == s.opts.System.Name()
	if s.opts.User != nil && q.cid != 0 && (system && asked == "INFO" || !system && asked == q.account) {
		u = s.opts.User(q.account, q.cid)
	}
	if u == nil {
		u = &UserInfo{}
	}
	s.reply(q, u, nil)
}
