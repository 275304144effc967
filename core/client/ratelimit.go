package client

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/conn"
	"ganglion/core/limit"
	"ganglion/core/router"
	"ganglion/core/wire"
)

const (
	// maxConnectDelay is how long a connection above its rate waits at most:
	// clients give up connecting after 2 s.
	maxConnectDelay = time.Second
	// napTime is how often a throttled session looks whether it was closed, or
	// its limits changed, meanwhile.
	napTime = 250 * time.Millisecond
	// ownQuantum is what a throttled session waits for beside its next message if
	// nobody else waits for it, in seconds' worth; sharedQuantum if others do.
	ownQuantum    = 0.1
	sharedQuantum = 0.001
	// Messages and bytes that a read takes from a shared bucket ahead of use.
	leaseMsgs  = 64
	leaseBytes = 64 << 10
	// Bytes that are read at a time of sessions that may be throttled.
	minRead, firstRead, maxRead = 4 << 10, 16 << 10, 128 << 10
	// toldRate is how many -ERR a second a session gets for dropped messages.
	toldRate = 10
)

// rateLimits is a Manager's part of it: what sessions share, and counters.
type rateLimits struct {
	users     limit.Table[userKey]
	accounts  limit.Table[string]
	addresses limit.Table[netip.Addr]
	counters  struct{ throttled, dropped, disconnected, delayed, refused atomic.Uint64 }
}

type userKey struct{ account, user string }

// verdict is what becomes of an op.
type verdict uint8

const (
	passed  verdict = iota
	waits           // it is to be presented again, later
	dropped         // it was answered
	fatal           // the session is closed
)

// ratesFor returns what somebody in acc is limited to, nil without limits.
func ratesFor(s *Settings, acc *account.Account, id *auth.Identity) *limit.Scopes {
	if acc == s.System {
		return nil
	}
	var own limit.Scopes
	if id != nil && len(id.Tags) > 0 {
		var errs []error
		own, errs = limit.Tags(id.Tags)
		for _, err := range errs {
			s.Log.Warn("rate limit in a user's JWT is passed over", "user", id.User, "account", acc.Name(), "error", err)
		}
	}
	if s.RateLimits == nil {
		if own == (limit.Scopes{}) {
			return nil
		}
		return (&limit.Limits{}).For(acc.Name(), own)
	}
	return s.RateLimits.For(acc.Name(), own)
}

// metered returns what measures the session, nil if nothing does. It is called
// once a read, and after CONNECT.
func (c *Client) metered(s *Settings) *meter {
	g := c.grant.Load()
	mt := c.meter.Load()
	if mt == nil {
		if g.rates == nil {
			return nil
		}
		mt = &meter{}
		c.meter.Store(mt)
	}
	if mt.rates != g.rates {
		c.remeter(s, mt, g)
	}
	if len(mt.pub)+len(mt.sub) == 0 {
		return nil
	}
	mt.now = time.Now()
	return mt
}

// remeter makes mt measure what g says.
func (c *Client) remeter(s *Settings, mt *meter, g *grant) {
	now := time.Now()
	mt.drop(now)
	mt.rates = g.rates
	if g.rates == nil || c.exempt(s) {
		c.conn.ReadAtMost(0)
		return
	}
	r := g.rates
	if mt.own == nil {
		mt.own = &limit.Group{}
	}
	mt.own.Set(r.Connection)
	mt.add(mt.own, r.Connection, true)
	acc, t := g.acc.Name(), &c.m.rates
	if !r.User.None() {
		key := g.userKey()
		u := t.users.Acquire(key, r.User, now)
		mt.add(u, r.User, false)
		mt.door(u, r.User)
		mt.release = append(mt.release, func(now time.Time) { t.users.Release(key, now) })
	}
	if !r.Account.None() {
		a := t.accounts.Acquire(acc, r.Account, now)
		mt.add(a, r.Account, false)
		mt.door(a, r.Account)
		mt.release = append(mt.release, func(now time.Time) { t.accounts.Release(acc, now) })
	}
	if !r.Address.None() && c.ip.IsValid() {
		key := limit.Network(c.ip)
		mt.add(t.addresses.Acquire(key, r.Address, now), r.Address, false) // its door is the listener's
		mt.release = append(mt.release, func(now time.Time) { t.addresses.Release(key, now) })
	}
	mt.most = 0
	if mt.throttle {
		mt.most = firstRead
	}
	c.conn.ReadAtMost(mt.most)
}

// userKey names the user whom the limits of users are of: those who need no
// credentials are one.
func (g *grant) userKey() userKey {
	k := userKey{account: g.acc.Name()}
	if g.id != nil && !g.id.Anonymous {
		k.user = g.id.User
	}
	return k
}

// exempt reports whether the session is not limited, whatever limits there are.
func (c *Client) exempt(s *Settings) bool {
	return c.ep.Type == auth.TypeInProcess || s.RateLimits != nil && s.RateLimits.Exempts(c.ip)
}

// refund takes back what the last message cost: it was not permitted.
func (c *Client) refund() {
	mt := c.meter.Load()
	if mt == nil || mt.charged < 0 {
		return
	}
	for i := range mt.pub {
		mt.pub[i].left += mt.pub[i].cost(mt.charged)
	}
	mt.charged = -1
}

// pass decides whether op may go on now. Only messages and SUBs are measured.
func (c *Client) pass(b *router.Batch, s *Settings, mt *meter, op *wire.Op) verdict {
	gauges, m := mt.pub, &op.Msg
	size := float64(len(m.Data))
	switch op.Kind {
	case wire.Pub, wire.HPub:
	case wire.Sub:
		gauges = mt.sub
	default:
		return passed
	}
	short := mt.charge(gauges, size)
	if short == nil {
		return passed
	}
	pub := op.Kind != wire.Sub
	if g := c.grant.Load(); pub && g.publish != nil && !g.publish.Allows(m.Subject) && !c.mayRespond(m.Subject, false) {
		return passed // to be refused for that
	}
	switch short.action {
	case limit.Drop:
		mt.dropped.Add(1)
		c.m.rates.counters.dropped.Add(1)
		if pub {
			c.dropPublish(b, mt, m)
		} else {
			c.sayErr(b, violation(string(op.Subject), string(op.Queue)))
		}
		return dropped
	case limit.Disconnect:
		c.m.rates.counters.disconnected.Add(1)
		c.cut(b, conn.RateLimit, "") // no text: clients take those that they don't know for final
		return fatal
	}
	mt.throttled.Add(1)
	c.m.rates.counters.throttled.Add(1)
	c.hold(mt, mt.reserve(gauges, size))
	return waits
}

// hold has the session not be read for d.
func (c *Client) hold(mt *meter, d time.Duration) {
	mt.held = true
	mt.paused.Store(true)
	mt.until.Store(time.Now().Add(d).UnixNano())
	c.conn.Suspend()
	time.AfterFunc(min(d, napTime), c.wake)
}

// wake ends hold when it is time, or when the session was closed or has other
// limits now.
func (c *Client) wake() {
	mt := c.meter.Load()
	left := time.Until(time.Unix(0, mt.until.Load()))
	if left > 0 && c.conn.Reason() == conn.NotClosed && c.grant.Load().rates == mt.rates {
		time.AfterFunc(min(left, napTime), c.wake)
		return
	}
	c.conn.Resume()
}

// holding reports whether the session is held still. It is called when a read
// begins.
func (c *Client) holding(mt *meter) bool {
	if !mt.held {
		return false
	}
	if c.conn.Suspended() {
		return true
	}
	mt.held = false
	mt.paused.Store(false)
	return false
}

// consumed is called at the end of a read of which n bytes were consumed.
func (c *Client) consumed(mt *meter, n int) {
	if mt.read += n; mt.throttle {
		switch {
		case mt.held: // what is read next is to last for one pause or two
			mt.most = min(max(2*mt.read, minRead), maxRead)
			mt.read = 0
		case n >= mt.most/2 && mt.most < maxRead: // the rest may be one large op
			mt.most *= 2
		}
		c.conn.ReadAtMost(mt.most)
	}
	mt.settle(mt.held)
}

// dropPublish counts a message that is dropped, and tells its publisher.
func (c *Client) dropPublish(b *router.Batch, mt *meter, m *wire.Msg) {
	c.worked = true
	c.inMsgs++
	c.inBytes += int64(len(m.Data))
	if mt.told == nil {
		mt.told = limit.NewBucket(toldRate, toldRate)
	}
	if c.has(flagVerbose) || mt.told.Take(mt.now, 1) { // verbose clients wait for an answer
		c.sayErr(b, fmt.Sprintf("Permissions Violation for Publish to %q", m.Subject))
	}
	if len(m.Reply) > 0 && c.has(flagHeaders) {
		hdr := append([]byte("NATS/1.0 429 Too Many Requests\r\nNats-Subject: "), m.Subject...)
		c.tellStatus(b, bytes.Clone(m.Reply), append(hdr, "\r\n\r\n"...))
	}
}

// admitAddress counts a new connection from ip. It returns how long the
// connection is to wait before it is served; false if it is to be closed.
func (m *Manager) admitAddress(s *Settings, e *Endpoint, ip netip.Addr) (time.Duration, bool) {
	if s.RateLimits == nil || s.RateLimits.Address.Connects <= 0 || !ip.IsValid() || e.Type == auth.TypeInProcess || s.RateLimits.Exempts(ip) {
		return 0, true
	}
	now := time.Now()
	r := s.RateLimits.Address
	key := limit.Network(ip)
	g := m.rates.addresses.Acquire(key, r, now)
	defer m.rates.addresses.Release(key, now)
	return m.admit(&g.Connects, r.Action, now)
}

// admitSession counts a session that said who it is, for its user and account. It
// is held if it is to wait; false if it is to be closed.
func (c *Client) admitSession(s *Settings) bool {
	if c.grant.Load().rates == nil {
		return true
	}
	c.metered(s)
	mt := c.meter.Load()
	var wait time.Duration
	for _, d := range mt.doors {
		w, ok := c.m.admit(d.bucket, d.action, time.Now())
		if !ok {
			return false
		}
		wait = max(wait, w)
	}
	if wait > 0 {
		c.hold(mt, wait)
	}
	return true
}

// admit counts a new connection in a bucket. See admitAddress.
func (m *Manager) admit(b *limit.Bucket, a limit.Action, now time.Time) (time.Duration, bool) {
	most := maxConnectDelay
	if a > limit.Throttle {
		most = 0
	}
	wait, ok := b.Reserve(now, 1, most)
	switch {
	case !ok:
		m.rates.counters.refused.Add(1)
		return 0, false
	case wait > 0:
		m.rates.counters.delayed.Add(1)
	}
	return wait, true
}

// RateCounters count what rate limits did.
type RateCounters struct {
	Throttled    uint64 // pauses of sessions
	Dropped      uint64 // messages and SUBs
	Disconnected uint64 // sessions, for messages or SUBs
	Delayed      uint64 // connections
	Refused      uint64 // connections that were closed
}

// RateCounters returns what rate limits did.
func (m *Manager) RateCounters() RateCounters {
	n := &m.rates.counters
	return RateCounters{Throttled: n.throttled.Load(), Dropped: n.dropped.Load(), Disconnected: n.disconnected.Load(), Delayed: n.delayed.Load(), Refused: n.refused.Load()}
}
