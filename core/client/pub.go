package client

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/router"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// publish runs PUB and HPUB.
func (c *Client) publish(b *router.Batch, s *Settings, m *wire.Msg) {
	c.inMsgs++
	c.inBytes += int64(len(m.Data))
	flags := c.flags.Load()
	g := c.grant.Load()
	if flags&(flagPedantic|flagVerbose) != 0 || reserved(m.Subject) || reserved(m.Reply) {
		if !c.admit(b, s, g, m, flags) {
			return
		}
	}
	if m.HdrLen > 0 && bytes.Contains(m.Header(), traceMark) && c.traced(b, s, g, m, flags) {
		return
	}
	name := m.Subject // as sent, which is what a 503 names
	out := b.Publish(c, g.acc, g.publish, m)
	if out.Receivers == 0 {
		c.undelivered(b, s, g, m, name, flags, out)
	}
}

// reserved is a quick test for subjects that admit looks at closely.
func reserved(subj []byte) bool {
	if len(subj) < 4 {
		return false
	}
	switch subj[0] {
	case '_':
		return subj[1] == 'R' || subj[1] == 'G'
	case '$':
		return subj[1] == 'G' || subj[1] == 'N' || subj[1] == 'J'
	}
	return false
}

// admit is publish's uncommon part: reserved subjects, pedantic, verbose. It
// returns false if the message is refused.
func (c *Client) admit(b *router.Batch, s *Settings, g *grant, m *wire.Msg, flags uint32) bool {
	if hasPrefix(m.Subject, "_GR_.", "$GR.", "$NRG.") {
		c.sayErr(b, fmt.Sprintf("Permissions Violation for Publish to %q", m.Subject))
		return false
	}
	if hasPrefix(m.Reply, "$JS.ACK.", "_R_.", "_GR_.", "$GR.") {
		c.sayErr(b, fmt.Sprintf("Permissions Violation for Publish with Reply of %q", m.Reply))
		return false
	}
	if flags&flagVerbose != 0 && g.publish != nil && !g.publish.Allows(m.Subject) && !c.mayRespond(m.Subject, false) {
		c.refusePublish(b, s, g, m.Subject)
		return false
	}
	if flags&flagPedantic != 0 && !subject.ValidPublish(m.Subject) {
		c.sayErr(b, wire.TextInvalidPubSubj)
	}
	c.ok(b)
	return true
}

func hasPrefix(subj []byte, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(subj) >= len(p) && string(subj[:len(p)]) == p {
			return true
		}
	}
	return false
}

// undelivered handles a message that nobody got: refused by a hook, or a request
// that nobody answers.
func (c *Client) undelivered(b *router.Batch, s *Settings, g *grant, m *wire.Msg, name []byte, flags uint32, out router.Outcome) {
	switch {
	case out.Denied:
		if !c.mayRespond(name, true) {
			c.refusePublish(b, s, g, name)
			return
		}
		if out = b.Publish(c, g.acc, nil, m); out.Receivers == 0 {
			c.undelivered(b, s, g, m, name, flags, out)
		}
	case out.Verdict == hook.Reject:
		c.rejected(b, s, m, name, out.Err)
	case out.Verdict == hook.Drop:
	case len(m.Reply) > 0 && flags&flagNoResponders != 0:
		c.noResponders(b, m.Reply, name)
	}
}

// rejected tells the client that a hook rejected its message, and who asked what
// for a status with which.
func (c *Client) rejected(b *router.Batch, s *Settings, m *wire.Msg, name []byte, err error) {
	text := fmt.Sprintf("Permissions Violation for Publish to %q", name)
	status := &hook.Rejection{}
	switch {
	case errors.As(err, &status):
		status = &hook.Rejection{Code: status.Code, Reason: plain(status.Reason)}
		if status.Reason != "" {
			text += ": " + status.Reason
		}
	case err != nil:
		s.Log.Warn("publish hook failed", "cid", c.cid, "subject", string(name), "error", err)
	}
	c.sayErr(b, text)
	if len(m.Reply) == 0 || !c.has(flagHeaders) {
		return
	}
	if status.Code == 0 {
		status.Code = 403
	}
	if status.Reason == "" {
		status.Reason = "Rejected"
	}
	hdr := fmt.Appendf(nil, "NATS/1.0 %d %s\r\nNats-Subject: %s\r\n\r\n", status.Code, status.Reason, name)
	c.tellStatus(b, bytes.Clone(m.Reply), hdr)
}

// plain returns a reason as it may stand in an -ERR and in a status line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return ' '
		case r == '\'':
			return '"'
		}
		return r
	}, s)
}

// mayRespond reports whether subj may be published to because the session was
// asked there, and with use counts that as one answer.
func (c *Client) mayRespond(subj []byte, use bool) bool {
	r := c.responses.Load()
	if r == nil {
		return false
	}
	return r.use(subj, time.Now().UnixNano(), use)
}

// refusePublish tells the client that it may not publish on subj.
func (c *Client) refusePublish(b *router.Batch, s *Settings, g *grant, subj []byte) {
	if c.m.logAuth() {
		s.Log.Error("publish violation", "cid", c.cid, "remote", c.addr(), "user", g.user(), "account", g.acc.Name(), "subject", string(subj))
	}
	c.refund()
	c.sayErr(b, fmt.Sprintf("Permissions Violation for Publish to %q", subj))
}

// noResponders tells a client that nobody listens on name.
func (c *Client) noResponders(b *router.Batch, reply, name []byte) {
	c.tellStatus(b, bytes.Clone(reply), wire.AppendNoResponders(nil, name))
}

// tellStatus delivers a header block to the client's own subscription on reply,
// if it has one. It keeps what it is given.
func (c *Client) tellStatus(b *router.Batch, reply, hdr []byte) {
	var res account.Result
	c.Account().Match(int(c.cid), reply, &res)
	for _, sub := range res.Plain {
		if c.stageStatus(b, sub, reply, hdr) {
			return
		}
	}
	for i := range res.Groups {
		for _, sub := range res.Groups[i].Members {
			if c.stageStatus(b, sub, reply, hdr) {
				return
			}
		}
	}
}

func (c *Client) stageStatus(b *router.Batch, sub *account.Subscription, reply, hdr []byte) bool {
	if !c.owns(sub) {
		return false
	}
	m := wire.Msg{Subject: reply, Data: hdr, HdrLen: len(hdr)}
	st := b.Own(c)
	st.Set(wire.AppendMsg(st.Reserve(len(reply)+len(sub.SID())+len(hdr)+64), &m, sub.SID(), true))
	st.Delivered(nil, 0) // a status is no message: UNSUB's maximum does not count it
	return true
}
