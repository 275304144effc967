package client

import (
	"time"

	"ganglion/core/conn"
	"ganglion/core/router"
	"ganglion/core/wire"
)

// ping answers PING. The first answer to a client that understands it is
// followed by an INFO that says what became of its CONNECT.
func (c *Client) ping(b *router.Batch, s *Settings) {
	c.say(b, wire.LinePong)
	const both = flagConnected | flagInfo
	if f := c.flags.Load(); f&both == both && f&flagToldInfo == 0 {
		c.setFlag(flagToldInfo, true)
		i := c.info(s)
		acc := c.Account()
		i.ConnectInfo, i.RemoteAccount, i.Nonce = true, acc.Name(), ""
		i.AccountIsSys = acc == s.System
		c.say(b, string(i.Append(nil)))
	}
}

// pong takes the answer to our PING.
func (c *Client) pong() {
	c.pings.Store(0)
	if at := c.pinged.Swap(0); at != 0 {
		c.rtt.Store(max(time.Now().UnixNano()-at, 1))
	}
}

// firstTick returns when Tick is first to be called: in time for the CONNECT
// that must come, soon after CONNECT to learn the round-trip time, and after the
// ping interval for a client that says nothing.
func (c *Client) firstTick(s *Settings) time.Duration {
	switch {
	case c.has(flagAwaitTLS) && c.ep.TLS.Mode == Auto && !c.has(flagFirstInfo):
		return c.ep.TLS.delay()
	case c.has(flagAwaitTLS) && !(c.ep.TLS.AllowPlain && c.has(flagFirstInfo)):
		return c.ep.TLS.timeout()
	case c.has(flagAwaitAuth):
		return s.Auth.Timeout(c.ep.Name)
	case c.has(flagConnected):
		return min(rttPing, c.pingInterval(s))
	}
	return c.pingInterval(s)
}

// pingInterval returns after which silence the client is pinged.
func (c *Client) pingInterval(s *Settings) time.Duration {
	if d := c.ep.PingInterval; d > 0 {
		return d
	}
	return s.PingInterval
}

// Tick cuts the session if it did not authenticate in time or did not answer,
// and pings it otherwise (conn.Handler). Input postpones pings, except the one
// that measures the round trip.
func (c *Client) Tick(now time.Time) time.Duration {
	if end, text := c.expiry(); !end.IsZero() && !now.Before(end) {
		c.end(conn.AuthExpired, text)
		return 0
	}
	return c.untilExpiry(c.tick(now))
}

// expiry returns when the session's credentials end, or its account does, zero
// for never, and what its client is told then.
func (c *Client) expiry() (end time.Time, text string) {
	g := c.grant.Load()
	if g.id != nil {
		end, text = g.id.Expires, wire.TextAuthExpired
	}
	if x := g.acc.Spec().Expires; !x.IsZero() && (end.IsZero() || x.Before(end)) {
		end, text = x, wire.TextAccountExpired
	}
	return end, text
}

// untilExpiry returns d, or what is left until the session's credentials end.
func (c *Client) untilExpiry(d time.Duration) time.Duration {
	end, _ := c.expiry()
	if end.IsZero() {
		return d
	}
	left := max(time.Until(end), time.Millisecond)
	if d == 0 {
		return left
	}
	return min(d, left)
}

func (c *Client) tick(now time.Time) time.Duration {
	s := c.m.Settings()
	if c.has(flagAwaitTLS) {
		if next, waiting := c.tlsTick(); waiting {
			return next
		}
	}
	if c.has(flagAwaitAuth) {
		c.end(conn.AuthTimeout, wire.TextAuthTimeout)
		return 0
	}
	interval := c.pingInterval(s)
	if mt := c.meter.Load(); mt != nil && mt.paused.Load() {
		c.pings.Store(0) // its answer is not read
		c.pinged.Store(0)
		return interval
	}
	idle := now.Sub(time.Unix(0, c.last.Load()))
	if idle < interval && c.rtt.Load() != 0 && c.pings.Load() == 0 {
		return interval - idle
	}
	if int(c.pings.Load()) >= s.PingMax {
		if idle < interval {
			return interval
		}
		c.end(conn.Stale, wire.TextStale)
		return 0
	}
	c.pings.Add(1)
	c.pinged.Store(now.UnixNano())
	c.conn.SendString(wire.LinePing)
	return interval
}

// end closes the session from outside its reader, with -ERR 'text'.
func (c *Client) end(r conn.CloseReason, text string) {
	c.m.logCut(c, r, text)
	c.conn.SendString(string(wire.AppendErr(nil, text)))
	c.conn.Close(r)
}
