package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/client"
	"ganglion/core/conn"
	"ganglion/core/event"
	"ganglion/core/monitor"
	"ganglion/core/operator"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// ErrNoClient is returned for a connection that is not there.
var ErrNoClient = event.ErrNoClient

// events tells the system account about sessions (client.Events). It exists before
// its service, which needs the broker it is part of; sessions that come before
// have no events.
type events struct {
	broker  *Broker
	views   *monitor.Views
	shown   atomic.Pointer[monitor.Handler] // monitoring over HTTP, for VARZ
	service atomic.Pointer[event.Service]
	reload  func() error
	claims  event.Claims

	mu     sync.Mutex       // guards what follows
	former []*event.Service // of accounts that are the system account no more
	ended  bool
}

// newEvents returns the events of b.
func newEvents(b *Broker) *events { return &events{broker: b, views: monitor.NewViews(b)} }

// resolver returns the requests about account JWTs of operator mode. mayDelete
// reports whether a key is one of the operators'.
func (b *Broker) resolver(t *operator.Trust, store operator.Store, mayDelete func(key string) bool) event.Claims {
	return &event.Resolver{
		Store: store, Verify: t.Verify, MayDelete: mayDelete, Gone: func(name string) { b.forgetAccount(t, name) },
		Apply: func(ctx context.Context, token string) error {
			_, err := b.UpdateAccount(ctx, token)
			return err
		},
	}
}

// start has the system account answer.
func (e *events) start() error {
	b := e.broker
	system := b.accounts.System()
	s, err := event.New(event.Options{
		Identity: b.identity(), System: system, Peer: b.PeerIn(system, "system services"), Source: e, Admin: admin{e},
		Claims: e.claims, User: b.userInfo, Extra: b.requests, Logger: b.log,
	})
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	b.accounts.SetImplicit(event.Imports())
	e.service.Store(s)
	return nil
}

// stop announces the shutdown and ends the services.
func (e *events) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	if s := e.service.Load(); s != nil {
		s.Shutdown()
		s.Close()
	}
	for _, s := range e.former {
		s.Close()
	}
}

// lameDuck announces that the server is about to go.
func (e *events) lameDuck() {
	if s := e.service.Load(); s != nil {
		s.LameDuck()
	}
}

// serverInfo returns what messages of the server begin with.
func (e *events) serverInfo() any {
	if s := e.service.Load(); s != nil {
		return s.Server()
	}
	return struct{}{}
}

// adopt takes over what a reload changed of the server itself, and moves to
// another system account.
func (e *events) adopt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.service.Load()
	if s == nil || e.ended {
		return
	}
	if s.System() == e.broker.accounts.System() {
		s.SetIdentity(e.broker.identity())
		return
	}
	s.End() // it may be what the reload came from
	e.former = append(e.former, s)
	if err := e.start(); err != nil {
		e.broker.log.Error("the system account has no services", "error", err)
	}
}

// identity returns what the broker says of itself.
func (b *Broker) identity() event.Identity {
	o := b.Options()
	return event.Identity{ID: b.ID(), Name: b.Name(), Host: o.Host, Version: wire.Version, Tags: o.Tags, Metadata: o.Metadata, FeatureFlags: featureFlags()}
}

// Connected announces a session (client.Events).
func (e *events) Connected(c *client.Client) {
	if s := e.service.Load(); s != nil {
		s.Connected(c.Account().Name(), func() event.Client {
			i := described(c.Info(false))
			i.RTT = 0
			return i
		})
	}
}

// Disconnected announces the end of a session (client.Events).
func (e *events) Disconnected(c *client.Client) {
	if s := e.service.Load(); s != nil {
		s.Disconnected(c.Account().Name(), c.Identity() != nil, func() event.Ended {
			i := c.Info(false)
			if i.RTTime == 0 && i.Version != "" && i.Stop != nil { // it was refused at its CONNECT
				i.RTTime = i.Stop.Sub(i.Start)
			}
			return ended(i)
		})
	}
}

// Refused announces a session whose credentials don't hold (client.Events).
func (e *events) Refused(c *client.Client) {
	if s := e.service.Load(); s != nil {
		s.Refused(func() event.Ended {
			x := ended(c.Info(false))
			now := time.Now().UTC()
			x.Client.Stop, x.Client.RTT, x.Reason = &now, now.Sub(x.Client.Start), conn.AuthViolation.String()
			return x
		})
	}
}

func described(i monitor.ConnInfo) event.Client {
	return event.Client{
		Start: i.Start, Host: i.IP, ID: i.CID, Account: i.Account, User: i.User, Name: i.Name, Lang: i.Lang, Version: i.Version,
		RTT: i.RTTime, Stop: i.Stop, JWT: i.JWT, IssuerKey: i.IssuerKey, NameTag: cmp.Or(i.NameTag, i.Account), Tags: i.Tags,
		Kind: i.Kind, ClientType: i.Type,
	}
}

func ended(i monitor.ConnInfo) event.Ended {
	return event.Ended{
		Client: described(i), Reason: i.Reason,
		Sent:     monitor.MsgBytes{Msgs: i.InMsgs, Bytes: i.InBytes},
		Received: monitor.MsgBytes{Msgs: i.OutMsgs, Bytes: i.OutBytes},
	}
}

// Varz is that of monitoring over HTTP, where there is one (event.Source).
func (e *events) Varz() *monitor.Varz {
	if h := e.shown.Load(); h != nil {
		return h.Varz()
	}
	return e.views.Varz()
}

// Connz returns connections (event.Source).
func (e *events) Connz(o monitor.ConnzOptions) (*monitor.Connz, error) { return e.views.Connz(o) }

// Subsz returns subscriptions (event.Source).
func (e *events) Subsz(o monitor.SubszOptions) (*monitor.Subsz, error) { return e.views.Subsz(o) }

// Leafz returns links to other servers (event.Source).
func (e *events) Leafz(o monitor.LeafzOptions) *monitor.Leafz { return e.views.Leafz(o) }

// Accountz returns accounts (event.Source).
func (e *events) Accountz(o monitor.AccountzOptions) (*monitor.Accountz, error) {
	return e.views.Accountz(o)
}

// AccountStatz returns the counters of accounts (event.Source).
func (e *events) AccountStatz(o monitor.AccountStatzOptions) *monitor.AccountStatz {
	return e.views.AccountStatz(o)
}

// Healthz returns whether the broker serves (event.Source).
func (e *events) Healthz(o monitor.HealthzOptions) *monitor.Health { return e.views.Healthz(o) }

// admin does what the system account orders (event.Admin).
type admin struct{ *events }

// Reload loads the configuration anew.
func (a admin) Reload() error {
	if a.reload == nil {
		return errors.New("reload is not supported by this program")
	}
	return a.reload()
}

// Kick closes a connection.
func (a admin) Kick(cid uint64) error { return a.broker.Kick(cid) }

// LameDuck has a client go elsewhere.
func (a admin) LameDuck(cid uint64) error { return a.broker.LameDuckClient(cid) }

// client returns the open session cid, or nil.
func (b *Broker) client(cid uint64) *client.Client {
	all := b.clients.Clients()
	if i := slices.IndexFunc(all, func(c *client.Client) bool { return c.CID() == cid }); i >= 0 {
		return all[i]
	}
	return nil
}

// Kick closes the connection cid. It returns ErrNoClient if there is none.
func (b *Broker) Kick(cid uint64) error {
	c := b.client(cid)
	if c == nil {
		return ErrNoClient
	}
	c.Close(conn.Kicked)
	return nil
}

// LameDuckClient tells the client of the connection cid that the server will
// close soon, so that it goes elsewhere; nothing else happens. It returns
// ErrNoClient if there is no such connection.
func (b *Broker) LameDuckClient(cid uint64) error {
	c := b.client(cid)
	if c == nil {
		return ErrNoClient
	}
	c.SendLameDuck()
	return nil
}

// userInfo returns what a client may know of itself; nil if it is not in acc.
func (b *Broker) userInfo(acc string, cid uint64) *event.UserInfo {
	c := b.client(cid)
	if c == nil || c.Account().Name() != acc {
		return nil
	}
	u := &event.UserInfo{User: c.Info(false).User, Account: acc, AccountName: nameTag(c.Account().Spec())}
	id := c.Identity()
	if id == nil {
		return u
	}
	u.UserName = id.NameTag
	if !id.Expires.IsZero() {
		u.Expires = time.Until(id.Expires)
	}
	if id.Permissions != nil {
		u.Permissions = permitted(id.Permissions.Spec())
	}
	return u
}

func permitted(s permission.Spec) *event.Permissions {
	p := &event.Permissions{}
	if r := s.Publish; r != nil {
		p.Publish = &event.Rules{Allow: r.Allow, Deny: r.Deny}
	}
	if r := s.Subscribe; r != nil {
		p.Subscribe = &event.Rules{Allow: r.Allow, Deny: r.Deny}
	}
	if r := s.Responses; r != nil {
		p.Responses = &event.Responses{Max: r.Max, Expires: r.Expires}
	}
	return p
}
