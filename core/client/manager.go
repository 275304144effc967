package client

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/conn"
	"ganglion/core/limit"
	"ganglion/core/monitor"
	"ganglion/core/wire"
)

// Lines a second, and at once, about sessions that were cut.
const (
	cutLogRate  = 100
	cutLogBurst = 1000
)

// logCut says who is cut and why.
func (m *Manager) logCut(c *Client, r conn.CloseReason, told string) {
	if !m.cutLog.Take(time.Now(), 1) {
		m.unlogged.Add(1)
		return
	}
	args := []any{"cid", c.cid, "remote", c.addr(), "reason", r.String(), "told", told}
	if n := m.unlogged.Swap(0); n > 0 {
		args = append(args, "lines_left_out", n)
	}
	m.Settings().Log.Info("client is cut", args...)
}

// Totals are counters over all sessions, those that ended included.
type Totals struct {
	InMsgs, InBytes, OutMsgs, OutBytes int64
	Slow                               int64 // sessions cut as slow consumers
}

// Manager owns the sessions of a broker. Create it with NewManager.
type Manager struct {
	loop     *conn.Loop
	limits   conn.Limits
	settings atomic.Pointer[Settings]
	events   Events

	nextID   atomic.Uint64
	accepted atomic.Uint64
	slow     [2]atomic.Uint64 // by pending bytes, by write deadline
	stale    atomic.Uint64
	stalled  atomic.Uint64
	authLog  *limit.Bucket // lines about refused logins
	rates    rateLimits
	cutLog   *limit.Bucket // lines about cut sessions, so that a flood does not fill the log
	unlogged atomic.Uint64 // such lines left out since the last one

	ctx  context.Context // of checks of credentials
	stop context.CancelFunc

	mu       sync.Mutex
	clients  map[uint64]*Client
	opened   map[*Endpoint]*grant // of sessions before CONNECT, for these settings
	members  map[*account.Account]int
	endedIn  map[*account.Account]Totals
	closed   ring
	reasons  map[conn.CloseReason]uint64
	ended    Totals
	draining bool
	empty    chan struct{} // closed when draining and no client is left
}

// NewManager returns a Manager whose connections loop reads. maxClosed is how
// many ended sessions are remembered for monitoring. events may be nil.
func NewManager(loop *conn.Loop, s *Settings, maxClosed int, events Events) *Manager {
	m := &Manager{loop: loop, events: events, clients: map[uint64]*Client{}, reasons: map[conn.CloseReason]uint64{}, empty: make(chan struct{}), cutLog: limit.NewBucket(cutLogRate, cutLogBurst), authLog: limit.NewBucket(cutLogRate, cutLogBurst),
		opened: map[*Endpoint]*grant{}, members: map[*account.Account]int{}, endedIn: map[*account.Account]Totals{}}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.closed.size = maxClosed
	m.settings.Store(s)
	return m
}

// Limits are the limits of all connections; they may be changed at any time.
func (m *Manager) Limits() *conn.Limits { return &m.limits }

// Settings returns what sessions go by now. It must not be changed.
func (m *Manager) Settings() *Settings { return m.settings.Load() }

// SetSettings replaces what sessions go by.
func (m *Manager) SetSettings(s *Settings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settings.Store(s)
	clear(m.opened)
}

// NextID returns a connection id that no session has.
func (m *Manager) NextID() uint64 { return m.nextID.Add(1) }

// logAuth reports whether a refused login may have a line of its own.
func (m *Manager) logAuth() bool { return m.authLog.Take(time.Now(), 1) }

// open returns what sessions of e may do before CONNECT.
func (m *Manager) open(s *Settings, e *Endpoint) *grant {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.opened[e]
	if g != nil {
		return g
	}
	g = openGrant(s)
	if !s.Auth.Required(e.Name) {
		r := &auth.Request{Connect: &wire.ConnectOptions{}, Listener: e.Name, Type: e.Type, Kind: "Client"}
		if id, err := s.Auth.Authenticate(m.ctx, r); err == nil {
			g = newGrant(s, id)
		}
	}
	if m.settings.Load() == s {
		m.opened[e] = g
	}
	return g
}

// join counts c as a connection of acc; false when that has as many as it may.
func (m *Manager) join(c *Client, acc *account.Account) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.joined == acc {
		return true
	}
	if n := acc.Spec().Limits.Conns; n >= 0 && m.members[acc] >= n {
		return false
	}
	m.leave(c)
	c.joined = acc
	m.members[acc]++
	return true
}

// leave takes c out of the account that it counts in; the lock is held.
func (m *Manager) leave(c *Client) {
	if c.joined == nil {
		return
	}
	if m.members[c.joined]--; m.members[c.joined] == 0 {
		delete(m.members, c.joined)
	}
	c.joined = nil
}

// Serve makes nc a session of a client; e says what nc is.
func (m *Manager) Serve(nc net.Conn, e *Endpoint) {
	s := m.Settings()
	c := &Client{m: m, cid: m.nextID.Add(1), start: time.Now(), ep: e, shake: noShake}
	c.remote, c.port = splitAddr(nc.RemoteAddr())
	c.ip, _ = netip.ParseAddr(c.remote)
	delay, ok := m.admitAddress(s, e, c.ip)
	if !ok {
		s.Log.Debug("connection closed: above rate_limits of its address", "remote", c.addr(), "listener", e.Name)
		nc.Close()
		return
	}
	c.flags.Store(flagVerbose | flagPedantic | flagEcho)
	c.last.Store(c.start.UnixNano())
	c.active.Store(c.start.UnixNano())
	c.conn = m.loop.Add(nc, c, &m.limits)
	c.packs = c.conn.Packs()
	m.accepted.Add(1)

	m.mu.Lock()
	full := s.MaxConns > 0 && len(m.clients) >= s.MaxConns
	refused := m.draining
	if !refused {
		m.clients[c.cid] = c
	}
	m.mu.Unlock()
	if refused {
		nc.Close()
		return
	}
	if d := max(s.Failures.Delay(c.ip), delay); d > 0 && c.ip.IsValid() {
		c.take(openGrant(s))
		time.AfterFunc(d, func() { c.begin(m.Settings(), full) })
		return
	}
	c.begin(s, full)
}

// splitAddr returns host and port of a remote address; a pipe has none.
func splitAddr(a net.Addr) (string, int) {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.String(), a.Port
	case *net.UDPAddr:
		return a.IP.String(), a.Port
	case nil:
		return "", 0
	}
	return a.String(), 0
}

// remove is called once by each session that ended.
func (m *Manager) remove(c *Client) {
	r := c.conn.Reason()
	switch r {
	case conn.SlowPending:
		m.slow[0].Add(1)
	case conn.SlowDeadline:
		m.slow[1].Add(1)
	case conn.Stale:
		m.stale.Add(1)
	}
	t, info := c.totals(), c.Info(false)
	if r == conn.SlowPending || r == conn.SlowDeadline {
		t.Slow = 1
	}
	m.mu.Lock()
	delete(m.clients, c.cid)
	m.leave(c)
	m.ended.add(t)
	in := m.endedIn[c.Account()]
	in.add(t)
	m.endedIn[c.Account()] = in
	m.closed.add(info)
	m.reasons[r]++
	if m.draining && len(m.clients) == 0 {
		select {
		case <-m.empty:
		default:
			close(m.empty)
		}
	}
	m.mu.Unlock()
}

func (t *Totals) add(o Totals) {
	t.InMsgs += o.InMsgs
	t.InBytes += o.InBytes
	t.OutMsgs += o.OutMsgs
	t.OutBytes += o.OutBytes
	t.Slow += o.Slow
}

// Clients returns the open sessions in no order.
func (m *Manager) Clients() []*Client {
	m.mu.Lock()
	defer m.mu.Unlock()
	cs := make([]*Client, 0, len(m.clients))
	for _, c := range m.clients {
		cs = append(cs, c)
	}
	return cs
}

// ClosedClients returns the remembered ended sessions, oldest first.
func (m *Manager) ClosedClients() []monitor.ConnInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed.all()
}

// Stats are counters of a Manager.
type Stats struct {
	Open                      int
	Accepted                  uint64
	SlowPending, SlowDeadline uint64
	Stale, Stalled            uint64
	Totals
}

// Stats sums the counters of all sessions.
func (m *Manager) Stats() Stats {
	cs := m.Clients()
	m.mu.Lock()
	t := m.ended
	m.mu.Unlock()
	for _, c := range cs {
		t.add(c.totals())
	}
	return Stats{Open: len(cs), Accepted: m.accepted.Load(), SlowPending: m.slow[0].Load(), SlowDeadline: m.slow[1].Load(),
		Stale: m.stale.Load(), Stalled: m.stalled.Load(), Totals: t}
}

// Turnover counts the sessions that began and those that ended.
func (m *Manager) Turnover() uint64 {
	accepted := m.accepted.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	return 2*accepted - uint64(len(m.clients))
}

// ClosedByReason counts the sessions that ended.
func (m *Manager) ClosedByReason() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	by := make(map[string]uint64, len(m.reasons))
	for r, n := range m.reasons {
		by[r.String()] = n
	}
	return by
}

// Broadcast sends INFO anew to every session that understands it, as after a
// change of topology or for lame duck.
func (m *Manager) Broadcast() {
	for _, c := range m.Clients() {
		c.sendInfo()
	}
}

// Refuse has no further session accepted.
func (m *Manager) Refuse() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = true
	if len(m.clients) == 0 {
		select {
		case <-m.empty:
		default:
			close(m.empty)
		}
	}
}

// Abort gives up on credentials that are being checked.
func (m *Manager) Abort() { m.stop() }

// Empty is closed when no session is left after Refuse.
func (m *Manager) Empty() <-chan struct{} { return m.empty }

// ring remembers the last sessions that ended: what monitoring shows of them, so
// that they hold nothing else.
type ring struct {
	size int
	list []monitor.ConnInfo
	at   int
}

func (r *ring) add(c monitor.ConnInfo) {
	switch {
	case r.size <= 0:
	case len(r.list) < r.size:
		r.list = append(r.list, c)
	default:
		r.list[r.at] = c
		r.at = (r.at + 1) % r.size
	}
}

func (r *ring) all() []monitor.ConnInfo {
	return append(append([]monitor.ConnInfo(nil), r.list[r.at:]...), r.list[:r.at]...)
}

// EndedIn returns the counters of ended sessions by account.
func (m *Manager) EndedIn() map[*account.Account]Totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.endedIn)
}
