package client

import (
	"fmt"
	"strings"

	"ganglion/core/account"
	"ganglion/core/router"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// subscribe runs SUB.
func (c *Client) subscribe(b *router.Batch, s *Settings, op *wire.Op) {
	subj, queue := string(op.Subject), string(op.Queue)
	if !subject.Valid(subj) {
		c.sayErr(b, wire.TextInvalidSubject)
		return
	}
	if s.MaxSubTokens > 0 && strings.Count(subj, ".")+1 > s.MaxSubTokens {
		c.sayErr(b, fmt.Sprintf("Permissions Violation for Subscription to %q, too many tokens", subj))
		return
	}
	g := c.grant.Load()
	allowed, deny := g.perms.Subscribe(subj, queue)
	if !allowed {
		c.refuseSubscribe(b, s, g, subj, queue)
		return
	}
	for _, h := range s.Subscribe {
		if err := h.OnSubscribe(c.Origin(), subj, queue); err != nil {
			s.Log.Warn("subscribe hook refused", "cid", c.cid, "subject", subj, "error", err)
			c.sayErr(b, violation(subj, queue))
			return
		}
	}
	sub := account.NewSubscription(c.sinkFor(subj), subj, queue, string(op.SID))
	sub.Listener = c.ep.Name
	c.conn.Lock()
	if now := c.grant.Load(); now != g { // changed at this moment
		g = now
		allowed, deny = g.perms.Subscribe(subj, queue)
	}
	sub.Filter(deny)
	known := c.subs.get(sub.SID()) != nil
	full := !known && g.fullAt(c.subs.len())
	closed := c.conn.IsClosed()
	if allowed && !known && !full && !closed {
		c.subs.add(sub)
	}
	c.conn.Unlock()
	switch {
	case !allowed:
		c.refuseSubscribe(b, s, g, subj, queue)
		return
	case full:
		c.sayErr(b, wire.TextMaxSubs)
		return
	case !known && !closed: // a sid in use keeps its first subscription
		g.acc.Subscribe(sub)
	}
	c.ok(b)
}

// refuseSubscribe tells the client that it may not subscribe to subj.
func (c *Client) refuseSubscribe(b *router.Batch, s *Settings, g *grant, subj, queue string) {
	if c.m.logAuth() {
		s.Log.Error("subscription violation", "cid", c.cid, "remote", c.addr(), "user", g.user(), "account", g.acc.Name(), "subject", subj, "queue", queue)
	}
	c.sayErr(b, violation(subj, queue))
}

func violation(subj, queue string) string {
	text := fmt.Sprintf("Permissions Violation for Subscription to %q", subj)
	if queue != "" {
		text += fmt.Sprintf(" using queue %q", queue)
	}
	return text
}

// unsubscribe runs UNSUB. With a maximum above what was delivered already the
// subscription lives on until it is reached.
func (c *Client) unsubscribe(b *router.Batch, op *wire.Op) {
	// What this client published before goes to the subscription first, and
	// counts for its maximum.
	b.Flush()
	c.conn.Lock()
	sub := c.subs.get(string(op.SID))
	if sub != nil {
		if m := int64(op.Max); m > sub.Msgs {
			sub.Max, sub = m, nil
		} else {
			sub.Closed = true
			c.subs.remove(sub)
		}
	}
	c.conn.Unlock()
	if sub != nil {
		c.Account().Unsubscribe(sub)
		endLane(sub)
	}
	c.ok(b)
}

// subset is a session's subscriptions by sid: a list while there are few, which
// is what most of many sessions have, and a map beyond.
type subset struct {
	few  []*account.Subscription
	many map[string]*account.Subscription
}

const fewSubs = 16

func (s *subset) len() int {
	if s.many != nil {
		return len(s.many)
	}
	return len(s.few)
}

func (s *subset) get(sid string) *account.Subscription {
	if s.many != nil {
		return s.many[sid]
	}
	for _, sub := range s.few {
		if sub.SID() == sid {
			return sub
		}
	}
	return nil
}

func (s *subset) add(sub *account.Subscription) {
	if s.many == nil && len(s.few) < fewSubs {
		s.few = append(s.few, sub)
		return
	}
	if s.many == nil {
		s.many = make(map[string]*account.Subscription, 2*fewSubs)
		for _, x := range s.few {
			s.many[x.SID()] = x
		}
		s.few = nil
	}
	s.many[sub.SID()] = sub
}

func (s *subset) remove(sub *account.Subscription) {
	if s.many != nil {
		delete(s.many, sub.SID())
		if len(s.many) == 0 {
			s.many = nil
		}
		return
	}
	for i, x := range s.few {
		if x == sub {
			last := len(s.few) - 1
			s.few[i], s.few[last] = s.few[last], nil
			s.few = s.few[:last]
			return
		}
	}
}

// all returns the subscriptions in no order.
func (s *subset) all() []*account.Subscription {
	if s.many == nil {
		return append([]*account.Subscription(nil), s.few...)
	}
	list := make([]*account.Subscription, 0, len(s.many))
	for _, x := range s.many {
		list = append(list, x)
	}
	return list
}

func (s *subset) takeAll() []*account.Subscription {
	list := s.all()
	s.few, s.many = nil, nil
	return list
}
