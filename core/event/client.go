package event

import (
	"time"

	"ganglion/core/monitor"
)

// Client is a session in events.
type Client struct {
	Start      time.Time     `json:"start,omitzero"`
	Host       string        `json:"host,omitempty"` // its address
	ID         uint64        `json:"id,omitempty"`
	Account    string        `json:"acc,omitempty"`
	User       string        `json:"user,omitempty"`
	Name       string        `json:"name,omitempty"`
	Lang       string        `json:"lang,omitempty"`
	Version    string        `json:"ver,omitempty"`
	RTT        time.Duration `json:"rtt,omitempty"`
	Stop       *time.Time    `json:"stop,omitempty"`
	JWT        string        `json:"jwt,omitempty"`
	IssuerKey  string        `json:"issuer_key,omitempty"`
	NameTag    string        `json:"name_tag,omitempty"` // of the account
	Tags       []string      `json:"tags,omitempty"`
	Kind       string        `json:"kind,omitempty"`        // Client
	ClientType string        `json:"client_type,omitempty"` // nats or websocket
}

// Ended is a session that ended, and why. Sent and Received are seen from the
// client.
type Ended struct {
	Client         Client
	Sent, Received monitor.MsgBytes
	Reason         string
}

// The types of events.
const (
	connectType    = "io.nats.server.advisory.v1.client_connect"
	disconnectType = "io.nats.server.advisory.v1.client_disconnect"
	connsType      = "io.nats.server.advisory.v1.account_connections"
)

// head is what stands in front of each event.
type head struct {
	Type   string    `json:"type"`
	ID     string    `json:"id"`
	Time   time.Time `json:"timestamp"`
	Server *server   `json:"server"`
}

type connectEvent struct {
	head
	Client Client `json:"client"`
}

type disconnectEvent struct {
	head
	Client   Client           `json:"client"`
	Sent     monitor.MsgBytes `json:"sent"`
	Received monitor.MsgBytes `json:"received"`
	Reason   string           `json:"reason"`
}

type accountEvent struct {
	head
	monitor.AccountStat
}

// event is what waits to be published: on the change of an account, when ended
// is nil, or on a session.
type event struct {
	subject string // "" for the change of account
	kind    string
	account string
	ended   *Ended
	at      time.Time
}

func accountSubjects(acc string) [2]string {
	return [2]string{"$SYS.SERVER.ACCOUNT." + acc + ".CONNS", "$SYS.ACCOUNT." + acc + ".SERVER.CONNS"}
}

// Connected announces a session in the account acc. It does not block; describe
// is called before it returns, and only when somebody wants to know.
func (s *Service) Connected(acc string, describe func() Client) {
	now := time.Now()
	s.changed(acc, now)
	if subj := "$SYS.ACCOUNT." + acc + ".CONNECT"; s.opts.Peer.Interested(subj) {
		s.enqueue(event{subject: subj, kind: connectType, account: acc, ended: &Ended{Client: describe()}, at: now})
	}
}

// Disconnected announces that a session in the account acc ended. joined says
// that it had been announced by Connected. Like Connected it does not block.
func (s *Service) Disconnected(acc string, joined bool, describe func() Ended) {
	now := time.Now()
	if joined {
		s.changed(acc, now)
	}
	if subj := "$SYS.ACCOUNT." + acc + ".DISCONNECT"; s.opts.Peer.Interested(subj) {
		e := describe()
		s.enqueue(event{subject: subj, kind: disconnectType, account: acc, ended: &e, at: now})
	}
}

// Refused announces a session whose credentials don't hold. Like Connected it
// does not block.
func (s *Service) Refused(describe func() Ended) {
	if subj := "$SYS.SERVER." + s.opts.Identity.ID + ".CLIENT.AUTH.ERR"; s.opts.Peer.Interested(subj) {
		e := describe()
		s.enqueue(event{subject: subj, kind: disconnectType, account: e.Client.Account, ended: &e, at: time.Now()})
	}
}

// changed notes that the connections of acc are others than before.
func (s *Service) changed(acc string, now time.Time) {
	if s.accountWanted(acc) {
		s.enqueue(event{account: acc, at: now})
	}
}

// accountWanted reports whether anybody wants to know of changes of acc.
func (s *Service) accountWanted(acc string) bool {
	for _, subj := range accountSubjects(acc) {
		if s.opts.Peer.Interested(subj) {
			return true
		}
	}
	return false
}

func (s *Service) enqueue(e event) {
	if s.closed() {
		return
	}
	select {
	case s.events <- e:
	default:
		s.dropped.Add(1)
	}
}

// LameDuck announces that the server is about to go.
func (s *Service) LameDuck() { s.announce("LAMEDUCK") }

// Shutdown announces that the server goes, before its connections are closed.
func (s *Service) Shutdown() { s.announce("SHUTDOWN") }
