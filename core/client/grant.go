package client

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/conn"
	"ganglion/core/limit"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// grant is what a session may do. It is immutable and replaced as a whole: by its
// reader at CONNECT, by anybody, with the outbound lock held, when what was
// granted changes.
type grant struct {
	id         *auth.Identity // nil for sessions that nobody asked who they are
	acc        *account.Account
	perms      *permission.Permissions
	publish    *permission.Set // nil: everything
	maxSubs    int             // 0 is no limit
	maxPayload int             // bytes
	rates      *limit.Scopes   // nil is no limit
}

// newGrant derives a grant from who somebody turned out to be.
func newGrant(s *Settings, id *auth.Identity) *grant {
	g := &grant{id: id, acc: id.Account, perms: id.Permissions, publish: id.Permissions.Publish(), maxSubs: s.MaxSubs, maxPayload: s.MaxPayload}
	if g.acc == nil {
		g.acc = s.Account
	}
	g.rates = ratesFor(s, g.acc, id)
	l := g.acc.Spec().Limits
	for _, n := range []int{l.Subs, id.MaxSubs} {
		if n >= 0 && (g.maxSubs == 0 || n < g.maxSubs) {
			g.maxSubs = n
			if n == 0 {
				g.maxSubs = -1 // none at all
			}
		}
	}
	for _, n := range []int{l.Payload, id.MaxPayload} {
		if n >= 0 && n < g.maxPayload {
			g.maxPayload = n
		}
	}
	return g
}

// openGrant is of sessions that have not said who they are where nobody must.
func openGrant(s *Settings) *grant {
	g := &grant{acc: s.Account, maxSubs: s.MaxSubs, maxPayload: s.MaxPayload}
	return g
}

// fullAt reports whether a session with n subscriptions may have no more.
func (g *grant) fullAt(n int) bool { return g.maxSubs != 0 && n >= max(g.maxSubs, 0) }

// user returns the user's name, "" without one.
func (g *grant) user() string {
	if g.id == nil {
		return ""
	}
	return g.id.User
}

// Account returns the account that the session is in.
func (c *Client) Account() *account.Account { return c.grant.Load().acc }

// Identity returns who the session's client is, nil if nobody asked.
func (c *Client) Identity() *auth.Identity { return c.grant.Load().id }

// take puts g into force, with the outbound lock held.
func (c *Client) take(g *grant) {
	c.grant.Store(g)
	r := g.perms.Responses()
	c.setFlag(flagResponses, r != nil)
	switch {
	case r == nil:
		c.responses.Store(nil)
	case c.responses.Load() == nil || c.responses.Load().rule != *r:
		c.responses.Store(&responses{rule: *r, list: map[string]response{}})
	}
}

// regrant gives a session other permissions while it goes on. Subscriptions that
// are not allowed any more end; the client is told so.
func (c *Client) regrant(s *Settings, id *auth.Identity) {
	g := newGrant(s, id)
	c.conn.Lock()
	c.take(g)
	var gone []*account.Subscription
	for _, sub := range c.subs.all() {
		ok, deny := g.perms.Subscribe(sub.Subject(), sub.Queue())
		if ok {
			sub.Filter(deny)
			continue
		}
		sub.Closed = true
		c.subs.remove(sub)
		gone = append(gone, sub)
	}
	c.conn.Unlock()
	if len(gone) > 0 {
		g.acc.UnsubscribeAll(gone)
		endLanes(gone)
	}
	g.acc.Refiltered()
	for _, sub := range gone {
		s.Log.Info("subscription ended: not permitted any more", "cid", c.cid, "user", g.user(), "account", g.acc.Name(), "subject", sub.Subject())
		c.conn.SendString(string(wire.AppendErr(nil, fmt.Sprintf("%s (sid %q)", violation(sub.Subject(), sub.Queue()), sub.SID()))))
	}
}

// Reauthorize looks at every session anew, after a reload changed who may join
// or what they may do: sessions go on with what they may now, or end.
func (m *Manager) Reauthorize() {
	for _, c := range m.Clients() {
		c.reauthorize(m.Settings())
	}
}

// ReauthorizeAccount is Reauthorize for the sessions of one account.
func (m *Manager) ReauthorizeAccount(acc *account.Account) {
	for _, c := range m.Clients() {
		if c.Account() == acc {
			c.reauthorize(m.Settings())
		}
	}
}

func (c *Client) reauthorize(s *Settings) {
	g := c.grant.Load()
	if !c.has(flagConnected) || g.id == nil {
		next := c.m.open(s, c.ep)
		switch {
		case s.Auth.Required(c.ep.Name) && c.has(flagAwaitAuth): // its CONNECT will tell
		case s.Auth.Required(c.ep.Name) || next.acc != g.acc || next.id == nil:
			c.Deauthorize()
		default:
			c.regrant(s, next.id)
		}
		return
	}
	id, err := s.Auth.Renew(c.m.ctx, g.id)
	switch {
	case err != nil || id.Account != g.acc:
		s.Log.Info("client must authenticate anew", "cid", c.cid, "remote", c.addr(), "user", g.user(), "account", g.acc.Name(), "reason", err)
		c.refuse(err)
	default:
		c.regrant(s, id)
		if end, _ := c.expiry(); !end.IsZero() {
			c.conn.Schedule(c.untilExpiry(c.pingInterval(s)))
		}
	}
}

// refuse ends a session whose credentials don't hold any more.
func (c *Client) refuse(err error) {
	r, text := refusal(err)
	c.end(r, text)
}

// responses are the subjects that a session may publish to because it was asked
// there, allow_responses.
type responses struct {
	rule permission.Responses

	mu   sync.Mutex
	list map[string]response
	old  []string // subjects in order of arrival, for forgetting
}

type response struct {
	left int   // messages; negative is no limit
	due  int64 // unix nanoseconds; 0 is never
}

// maxResponses bounds how many subjects one session may answer at a time; beyond,
// the oldest is forgotten.
const maxResponses = 16384

// allow notes that a message came that is to be answered on reply.
func (r *responses) allow(reply []byte, now int64) {
	x := response{left: r.rule.Max}
	if r.rule.Expires > 0 {
		x.due = now + int64(r.rule.Expires)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.old) > 0 {
		first, there := r.list[r.old[0]]
		if there && len(r.list) < maxResponses && (first.due == 0 || first.due > now) {
			break
		}
		delete(r.list, r.old[0])
		r.old = r.old[1:]
	}
	if _, there := r.list[string(reply)]; !there {
		r.old = append(r.old, string(reply))
	}
	r.list[string(reply)] = x
	if len(r.old) > 4*maxResponses { // many answered ones among them
		r.old = slices.DeleteFunc(r.old, func(s string) bool { _, there := r.list[s]; return !there })
	}
}

// use reports whether subj may be published to once more, and with count counts
// that.
func (r *responses) use(subj []byte, now int64, count bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.list[string(subj)]
	if !ok || x.due != 0 && x.due <= now {
		return false
	}
	if !count {
		return true
	}
	switch x.left--; {
	case x.left == 0:
		delete(r.list, string(subj))
	case x.left > 0:
		r.list[string(subj)] = x
	}
	return true
}

// refusal returns how a session is closed whose credentials don't hold for err.
func refusal(err error) (conn.CloseReason, string) {
	switch {
	case errors.Is(err, auth.ErrExpired):
		return conn.AuthExpired, wire.TextAuthExpired
	case errors.Is(err, auth.ErrAccountExpired):
		return conn.AuthExpired, wire.TextAccountExpired
	case errors.Is(err, auth.ErrRevoked):
		return conn.Revoked, wire.TextAuthRevoked
	}
	return conn.AuthViolation, wire.TextAuthorization
}
