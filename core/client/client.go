package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/conn"
	"ganglion/core/hook"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// Flags of a session that others look at while it runs.
const (
	flagVerbose uint32 = 1 << iota
	flagPedantic
	flagEcho
	flagHeaders
	flagNoResponders
	flagConnected // CONNECT was accepted
	flagInfo      // understands INFO at any time (protocol 1)
	flagToldInfo  // connect_info was sent
	flagAwaitAuth // must authenticate before anything else
	flagAwaitTLS  // must begin with TLS, or may
	flagFirstInfo // somebody has taken it on to send the first INFO
	flagLateInfo  // it is sent when TLS stands
	flagSecure    // under TLS
	flagResponses // may publish to where it is asked, see responses
)

// A producer whose consumer falls behind is not read for stallPause for each
// stallBytes that it published, and for minStall at least.
const (
	stallPause = 5 * time.Millisecond
	stallBytes = 128 << 10
	minStall   = 500 * time.Microsecond
)

// Client is one session. Its methods are safe for concurrent use except those
// of conn.Handler.
type Client struct {
	// Static after construction.
	m      *Manager
	conn   *conn.Conn
	cid    uint64
	start  time.Time
	remote string
	ip     netip.Addr // of remote, if that is one
	port   int
	ep     *Endpoint
	packs  bool // messages go out as deflate blocks

	// Owned by the reader of the moment.
	parser  wire.Parser
	shake   *handshake
	joined  *account.Account // where it counts as a connection; guarded by Manager.mu
	origin  *hook.Origin     // made when a hook wants it
	inMsgs  int64
	inBytes int64
	worked  bool // ops other than PING and PONG were read
	lanes   []string

	flags     atomic.Uint32
	grant     atomic.Pointer[grant]
	responses atomic.Pointer[responses] // nil without flagResponses
	who       atomic.Pointer[identity]  // nil before CONNECT
	meter     atomic.Pointer[meter]     // nil until there are rate limits

	// Copies of the reader's counters, and clocks.
	in       struct{ msgs, bytes atomic.Int64 }
	last     atomic.Int64 // unix nanoseconds of the last input
	active   atomic.Int64 // unix nanoseconds of the last message in or out, or SUB
	pinged   atomic.Int64 // unix nanoseconds of the unanswered PING, 0 for none
	rtt      atomic.Int64 // nanoseconds, of a PING
	firstRTT atomic.Int64 // nanoseconds from INFO to CONNECT, until rtt is known
	pings    atomic.Int32 // unanswered

	// Guarded by the connection's outbound lock.
	subs     subset
	outMsgs  int64
	outBytes int64
	stop     time.Time // when the session ended
	numSubs  int       // that it had then
}

// identity is what CONNECT said.
type identity struct {
	name, lang, version string
	user                string
}

// CID returns the connection's id.
func (c *Client) CID() uint64 { return c.cid }

// Listener returns the name of the listener that the session came through.
func (c *Client) Listener() string { return c.ep.Name }

func (c *Client) has(f uint32) bool { return c.flags.Load()&f != 0 }

func (c *Client) setFlag(f uint32, on bool) {
	if on {
		c.flags.Or(f)
	} else {
		c.flags.And(^f)
	}
}

// begin sends INFO and starts to read, or refuses the session when the broker
// is full.
func (c *Client) begin(s *Settings, full bool) {
	if s.Auth.Required(c.ep.Name) {
		c.setFlag(flagAwaitAuth, true)
	}
	if s.Auth.NeedsNonce() {
		c.shake = &handshake{nonce: auth.NewNonce()}
	}
	c.take(c.m.open(s, c.ep))
	c.setFlag(flagSecure, c.ep.Secure)
	c.parser.Lanes = c.conn.TakesLanes()
	c.configure(s)
	if t := c.ep.TLS; t != nil && !full {
		c.awaitTLS(t)
		if t.Mode != AfterInfo {
			s.Log.Debug("client connection created", "cid", c.cid, "remote", c.addr(), "listener", c.ep.Name)
			c.conn.Schedule(c.firstTick(s))
			c.conn.Start()
			return
		}
	}
	c.setFlag(flagFirstInfo, true)
	var x conn.Buffer
	info := c.info(s)
	x.Set(info.Append(x.Reserve(1024)))
	if full {
		x.Set(wire.AppendErr(x.Reserve(64), wire.TextMaxConns))
	}
	c.conn.Lock()
	c.conn.Send(&x)
	x.Reset(0)
	if full {
		c.conn.Close(conn.MaxConns)
		s.Log.Error(wire.TextMaxConns, "cid", c.cid, "remote", c.addr(), "max_connections", s.MaxConns)
	} else {
		s.Log.Debug("client connection created", "cid", c.cid, "remote", c.addr(), "listener", c.ep.Name)
		c.conn.Schedule(c.firstTick(s))
	}
	c.conn.Start()
}

// configure takes over the limits of s. Until a client that must authenticate
// has done so it may not make us hold a payload for it.
func (c *Client) configure(s *Settings) {
	c.parser.MaxControlLine = s.MaxControlLine
	c.parser.MaxPayload = c.grant.Load().maxPayload
	if c.has(flagAwaitAuth) {
		c.parser.MaxPayload = 1
	}
}

// info returns this session's INFO.
func (c *Client) info(s *Settings) wire.Info {
	i := s.Info
	i.ClientID, i.ClientIP = c.cid, c.remote
	if e := c.ep; e.Port != 0 {
		i.Host, i.Port = e.Host, e.Port
	}
	i.AuthRequired = s.Auth.Required(c.ep.Name)
	i.Nonce = c.shake.nonce
	i.Lanes = c.parser.Lanes
	i.TLSRequired = c.ep.Secure
	if t := c.ep.TLS; t != nil {
		i.TLSRequired, i.TLSAvailable = !t.AllowPlain, t.AllowPlain
		i.TLSVerify = t.Config.ClientAuth == tls.RequireAndVerifyClientCert
	}
	return i
}

// sendInfo sends INFO to a session that may get it at any time.
func (c *Client) sendInfo() {
	if !c.has(flagInfo) {
		return
	}
	i := c.info(c.m.Settings())
	c.conn.SendString(string(i.Append(nil)))
}

// SendLameDuck tells the client that the server will close soon.
func (c *Client) SendLameDuck() {
	if !c.has(flagInfo) {
		return
	}
	i := c.info(c.m.Settings())
	i.LameDuck = true
	c.conn.SendString(string(i.Append(nil)))
}

// Consume parses and executes whole ops (conn.Handler).
func (c *Client) Consume(batch conn.Batch, data []byte) (int, error) {
	mt := c.meter.Load()
	if mt != nil && c.holding(mt) {
		return 0, nil
	}
	used, err := c.consume(batch.(*router.Batch), data)
	if mt = c.meter.Load(); mt != nil {
		c.consumed(mt, used)
	}
	return used, err
}

// consume is Consume of a session that is not held.
func (c *Client) consume(b *router.Batch, data []byte) (int, error) {
	s := c.m.Settings()
	if a := c.shake.attempt; a != nil {
		if c.conn.Suspended() {
			return 0, nil
		}
		c.shake.attempt = nil
		if err := c.connected(b, s, &a.opts, a.id, a.err); err != nil || c.conn.Suspended() {
			return 0, err
		}
	}
	c.configure(s)
	mt := c.metered(s)
	op := &b.Op
	used := 0
	for used < len(data) {
		n, err := c.parser.Next(data[used:], op)
		if err != nil {
			c.parseFailed(b, s, err)
			return used, err
		}
		used += n
		if n == 0 {
			break
		}
		if op.Kind == wire.None {
			continue
		}
		verdict := passed
		if mt != nil {
			if verdict = c.pass(b, s, mt, op); verdict == waits {
				return used - n, nil
			}
		}
		if s.Trace {
			c.trace(s, op)
		}
		switch verdict {
		case dropped:
			continue
		case fatal:
			return used, errClosed
		}
		if op.Kind == wire.Pub && !c.has(flagAwaitAuth) {
			c.worked = true
			c.publish(b, s, &op.Msg)
			continue
		}
		if err := c.execute(b, s, op); err != nil || c.shake.attempt != nil || c.conn.Suspended() {
			return used, err
		}
		if op.Kind == wire.Connect {
			mt = c.metered(s)
		}
	}
	return used, nil
}

// execute runs every op but PUB, whose way is shorter.
func (c *Client) execute(b *router.Batch, s *Settings, op *wire.Op) error {
	if c.has(flagAwaitAuth) && op.Kind != wire.Connect {
		return c.cut(b, conn.AuthViolation, wire.TextAuthorization)
	}
	c.worked = c.worked || op.Kind != wire.Ping && op.Kind != wire.Pong
	switch op.Kind {
	case wire.Pub:
		c.publish(b, s, &op.Msg)
	case wire.HPub:
		if !c.has(flagHeaders) {
			return c.cut(b, conn.HeaderViolation, "")
		}
		c.publish(b, s, &op.Msg)
	case wire.Sub:
		c.subscribe(b, s, op)
	case wire.Unsub:
		c.unsubscribe(b, op)
	case wire.Ping:
		c.ping(b, s)
	case wire.Pong:
		c.pong()
	case wire.Connect:
		return c.connect(b, s, op.Arg)
	case wire.ErrFrom:
		return c.cut(b, conn.ClientClosed, "")
	case wire.Lane:
		if !c.nameLane(string(op.Arg)) {
			c.sayErr(b, wire.TextInvalidSubject)
			break
		}
		c.ok(b)
	}
	return nil
}

// Need returns the length of the op that is not whole yet (conn.Handler).
func (c *Client) Need() int { return c.parser.Need() }

// ReadDone publishes the counters of one read (conn.Handler).
func (c *Client) ReadDone(batch conn.Batch) {
	c.in.msgs.Store(c.inMsgs)
	read := c.inBytes - c.in.bytes.Swap(c.inBytes)
	now := time.Now().UnixNano()
	c.last.Store(now)
	if c.worked {
		c.worked = false
		c.active.Store(now)
	}
	if batch.(*router.Batch).Slow() && !c.m.Settings().NoStall {
		c.m.stalled.Add(1)
		c.conn.Pause(max(stallPause*time.Duration(min(read, stallBytes))/stallBytes, minStall))
	}
}

// Closed ends the session (conn.Handler).
func (c *Client) Closed(r conn.CloseReason) {
	c.conn.Lock()
	c.stop, c.numSubs = time.Now(), c.subs.len()
	subs := c.subs.takeAll()
	for _, sub := range subs {
		sub.Closed = true
	}
	c.conn.Unlock()
	if len(subs) > 0 {
		subs[0].Account().UnsubscribeAll(subs)
		endLanes(subs)
	}
	c.in.msgs.Store(c.inMsgs)
	c.in.bytes.Store(c.inBytes)
	c.m.remove(c)
	c.responses.Store(nil)
	if mt := c.meter.Load(); mt != nil {
		mt.drop(time.Now())
	}
	s := c.m.Settings()
	level := slog.LevelDebug // who was cut has a line that says so already
	if r == conn.SlowPending || r == conn.SlowDeadline {
		level = slog.LevelWarn
	}
	s.Log.Log(context.Background(), level, "client connection closed", "cid", c.cid, "remote", c.addr(), "listener", c.ep.Name, "reason", r.String())
	if c.m.events != nil {
		c.m.events.Disconnected(c)
	}
}

// Close ends the session for the reason r.
func (c *Client) Close(r conn.CloseReason) { c.conn.Close(r) }

// Abandon ends the session without waiting for what is queued.
func (c *Client) Abandon() { c.conn.Abort() }

func (c *Client) addr() string {
	if a, err := netip.ParseAddr(c.remote); err == nil {
		return netip.AddrPortFrom(a, uint16(c.port)).String()
	}
	return c.remote
}

// Origin tells hooks about this session (router.Publisher).
func (c *Client) Origin() *hook.Origin {
	if c.origin == nil {
		o := &hook.Origin{CID: c.cid, Account: c.Account().Name(), Listener: c.ep.Name}
		if a, err := netip.ParseAddr(c.remote); err == nil {
			o.Remote = netip.AddrPortFrom(a, uint16(c.port))
		}
		if id := c.who.Load(); id != nil {
			o.Name, o.User = id.name, id.user
		}
		c.origin = o
	}
	return c.origin
}

// AppendRequestor says who asks a service (router.Publisher).
func (c *Client) AppendRequestor(b []byte, acc string, share bool) []byte {
	rtt := c.rtt.Load()
	if rtt == 0 {
		rtt = c.firstRTT.Load()
	}
	if share {
		return c.appendRequestor(b, acc, rtt)
	}
	b = strconv.AppendQuote(append(b, `{"acc":`...), acc)
	b = strconv.AppendInt(append(b, `,"rtt":`...), rtt, 10)
	return append(b, '}')
}

// totals returns the session's counters.
func (c *Client) totals() Totals {
	c.conn.Lock()
	defer c.conn.Unlock()
	return Totals{InMsgs: c.in.msgs.Load(), InBytes: c.in.bytes.Load(), OutMsgs: c.outMsgs, OutBytes: c.outBytes}
}
