package event

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/local"
	"ganglion/core/monitor"
	"ganglion/core/wire"
)

const (
	// DefaultStatszInterval is how often STATSZ is published in the long run.
	DefaultStatszInterval = 10 * time.Second
	// firstStatsz and secondStatsz are the first two pauses before STATSZ; each
	// later one is twice as long, up to the interval.
	firstStatsz  = 250 * time.Millisecond
	secondStatsz = time.Second
	// connsInterval is how often accounts in use are announced without a change.
	connsInterval = 30 * time.Second

	maxRequests = 1024 // of the system account, and of all others together, that wait; beyond, they are dropped
	maxSlow     = 16   // the same for those that take long
	maxEvents   = 4096 // events that wait to be published
)

// Identity is what a server says of itself in each message.
type Identity struct {
	ID, Name, Host, Version string
	Cluster, Domain         string
	Tags                    []string
	Metadata                map[string]string
	FeatureFlags            map[string]bool
}

// Source has what the services show; *monitor.Views and *monitor.Handler are
// ones.
type Source interface {
	Varz() *monitor.Varz
	Connz(monitor.ConnzOptions) (*monitor.Connz, error)
	Subsz(monitor.SubszOptions) (*monitor.Subsz, error)
	Leafz(monitor.LeafzOptions) *monitor.Leafz
	Accountz(monitor.AccountzOptions) (*monitor.Accountz, error)
	AccountStatz(monitor.AccountStatzOptions) *monitor.AccountStatz
	Healthz(monitor.HealthzOptions) *monitor.Health
}

// Admin does what the system account may order.
type Admin interface {
	// Reload loads the configuration anew.
	Reload() error
	// Kick closes the connection cid, or returns ErrNoClient.
	Kick(cid uint64) error
	// LameDuck tells the client of the connection cid that the server will
	// close soon, or returns ErrNoClient.
	LameDuck(cid uint64) error
}

// ErrNoClient is what an Admin returns for a connection that is not there.
var ErrNoClient = errors.New("no such client")

// Options configure a Service.
type Options struct {
	Identity Identity
	// System is the system account and Peer publishes in it.
	System *account.Account
	Peer   *local.Peer
	Source Source
	// Admin may be nil: its requests are then not answered.
	Admin Admin
	// Claims is the resolver of operator mode; nil without.
	Claims Claims
	// User returns what $SYS.REQ.USER.INFO tells the client of connection cid of
	// itself; nil if that is not in the account acc. May be nil.
	User func(acc string, cid uint64) *UserInfo
	// Extra are further requests, $SYS.REQ.SERVER.PING.NAME and the server's own, by
	// name. Each is given the JSON object in the request, and may take its time.
	Extra map[string]func(options map[string]any) (any, error)
	// StatszInterval is how often STATSZ is published in the long run; 0 is
	// DefaultStatszInterval.
	StatszInterval time.Duration
	// Logger is told of requests that change something; nil is silence.
	Logger *slog.Logger
}

// Service answers requests in the system account and publishes events there.
// Create it with New and end it with Close; it is safe for concurrent use.
type Service struct {
	// Static after New.
	opts Options
	log  *slog.Logger
	subs []*account.Subscription

	identity atomic.Pointer[Identity]
	seq      atomic.Uint64
	dropped  atomic.Uint64

	requests chan *request // of the system account
	guests   chan *request // of others: they don't keep it waiting
	slow     chan *request
	events   chan event
	stop     chan struct{}
	once     sync.Once
	running  sync.WaitGroup
}

// New starts a Service.
func New(o Options) (*Service, error) {
	switch {
	case o.System == nil || o.Peer == nil || o.Source == nil:
		return nil, errors.New("event: System, Peer and Source are required; set all three")
	case o.Identity.ID == "":
		return nil, errors.New("event: the server has no ID; set Identity.ID")
	case o.StatszInterval < 0:
		return nil, fmt.Errorf("event: StatszInterval is %v; use a positive duration, or 0 for %v", o.StatszInterval, DefaultStatszInterval)
	}
	if o.StatszInterval == 0 {
		o.StatszInterval = DefaultStatszInterval
	}
	s := &Service{
		opts: o, log: o.Logger,
		requests: make(chan *request, maxRequests), guests: make(chan *request, maxRequests), slow: make(chan *request, maxSlow),
		events: make(chan event, maxEvents), stop: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetIdentity(o.Identity)
	s.running.Go(func() { s.work(s.requests) })
	s.running.Go(func() { s.work(s.guests) })
	s.running.Go(func() { s.work(s.slow) })
	s.running.Go(s.publish)
	s.running.Go(s.beat)
	for _, r := range s.routes() {
		sub := account.NewSubscription(&intake{service: s, route: r}, r.subject, "", "0")
		s.subs = append(s.subs, sub)
		o.System.Subscribe(sub)
	}
	return s, nil
}

// SetIdentity replaces what the server says of itself, as after a reload. The ID
// stays what it was.
func (s *Service) SetIdentity(i Identity) {
	i.ID = s.opts.Identity.ID
	s.identity.Store(&i)
}

// Dropped counts the requests and events that found no room.
func (s *Service) Dropped() uint64 { return s.dropped.Load() }

// System returns the account that the services are in.
func (s *Service) System() *account.Account { return s.opts.System }

// End ends the services without waiting for what is being answered, which may be
// a request that led to this call. Events that were not published yet are. Close
// is still to be called.
func (s *Service) End() {
	s.once.Do(func() {
		s.opts.System.UnsubscribeAll(s.subs)
		close(s.stop)
	})
}

// Close is End, and waits.
func (s *Service) Close() {
	s.End()
	s.running.Wait()
}

func (s *Service) closed() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Imports are the services of the system account that all others have:
// Registry.SetImplicit takes them.
func Imports() []account.Import {
	service := func(subject, to string, share bool) account.Import {
		return account.Import{Kind: account.Service, Subject: subject, To: to, Share: share}
	}
	return []account.Import{
		service("$SYS.REQ.ACCOUNT.{account}.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ", false),
		service("$SYS.REQ.ACCOUNT.{account}.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ", false),
		service("$SYS.REQ.ACCOUNT.{account}.STATZ", "$SYS.REQ.ACCOUNT.PING.STATZ", false),
		service("$SYS.REQ.USER.{account}.INFO", "$SYS.REQ.USER.INFO", true),
	}
}

// send publishes data on subj.
func (s *Service) send(subj string, data []byte) {
	s.opts.Peer.Publish(&wire.Msg{Subject: []byte(subj), Data: data})
}
