package client

import (
	"crypto/tls"
	"strings"
	"time"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/monitor"
)

// Info returns what monitoring shows of the session, with its subscriptions
// when subs is true.
func (c *Client) Info(subs bool) monitor.ConnInfo {
	now := time.Now()
	end := now
	last := time.Unix(0, c.active.Load())
	i := monitor.ConnInfo{
		CID: c.cid, Kind: "Client", Type: "nats", IP: c.remote, Port: c.port, Listener: c.ep.Name,
		Start: c.start.UTC(), LastActivity: last.UTC(), RTTime: time.Duration(c.rtt.Load()),
		Pending: c.conn.Pending(), InMsgs: c.in.msgs.Load(), InBytes: c.in.bytes.Load(), Account: c.Account().Name(),
	}
	if i.RTTime == 0 {
		i.RTTime = time.Duration(c.firstRTT.Load())
	}
	if mt := c.meter.Load(); mt != nil {
		i.Throttled, i.Dropped = mt.throttled.Load(), mt.dropped.Load()
	}
	i.Type = c.transport()
	i.Path = c.conn.PathStats()
	if c.has(flagSecure) {
		if t := c.conn.ConnectionState(); t != nil && t.HandshakeComplete {
			i.TLSVersion, i.TLSCipher = tlsVersion(t.Version), tls.CipherSuiteName(t.CipherSuite)
			i.TLSFirst = c.ep.TLS != nil && c.has(flagLateInfo)
		}
	}
	if id := c.who.Load(); id != nil {
		i.Name, i.Lang, i.Version, i.User = id.name, id.lang, id.version, id.user
	}
	i.NameTag = c.Account().Spec().NameTag
	if id := c.Identity(); id != nil {
		i.JWT, i.Bearer, i.IssuerKey, i.Tags = id.JWT, id.Bearer, id.IssuerKey, id.Tags
		if id.NKey != "" && id.JWT == "" {
			i.IssuerKey = c.Account().Name()
		}
	}
	c.conn.Lock()
	stop := c.stop
	i.OutMsgs, i.OutBytes, i.NumSubs = c.outMsgs, c.outBytes, c.subs.len()
	if !stop.IsZero() {
		i.NumSubs = c.numSubs
	}
	if subs {
		for _, s := range c.subs.all() {
			i.AllSubs = append(i.AllSubs, detail(s, c.cid))
		}
	}
	c.conn.Unlock()
	if !stop.IsZero() {
		at := stop.UTC()
		i.Stop, i.Reason, end = &at, c.conn.Reason().String(), at
	}
	i.RTT = i.RTTime.String()
	i.Uptime, i.Idle = monitor.Uptime(end.Sub(c.start)), monitor.Uptime(max(end.Sub(last), 0))
	return i
}

// transport names what the session travels on, as monitoring shows it.
func (c *Client) transport() string {
	switch {
	case c.conn.Framed():
		return "websocket"
	case c.ep.Type == auth.TypeQUIC:
		return "quic"
	case c.ep.Type == auth.TypeWebTransport:
		return "webtransport"
	}
	return "nats"
}

// tlsVersion is "1.3" for TLS 1.3, as nats-server shows it.
func tlsVersion(v uint16) string { return strings.TrimPrefix(tls.VersionName(v), "TLS ") }

// detail describes a subscription; the caller holds the outbound lock of its
// client.
func detail(s *account.Subscription, cid uint64) monitor.SubDetail {
	return monitor.SubDetail{Account: s.Account().Name(), AccountTag: s.Account().Name(), Subject: s.Subject(), Queue: s.Queue(), SID: s.SID(), Msgs: s.Msgs, Max: s.Max, CID: cid}
}

// Subscriptions returns the subscriptions of all open sessions.
func (m *Manager) Subscriptions() []monitor.SubDetail {
	var list []monitor.SubDetail
	for _, c := range m.Clients() {
		c.conn.Lock()
		for _, s := range c.subs.all() {
			list = append(list, detail(s, c.cid))
		}
		c.conn.Unlock()
	}
	return list
}
