package client

import (
	"sync"
	"time"

	"ganglion/core/account"
	"ganglion/core/conn"
	"ganglion/core/router"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// maxLaneNames bounds the subjects that one session may name for lanes.
const maxLaneNames = 256

// lane delivers one subscription on a stream of its own (account.Sink), so that
// what is lost there holds up nothing else. Permissions, echo, maximum and
// counters are the session's; see package listeners/quic for what clients see.
type lane struct {
	c *Client

	mu    sync.Mutex
	conn  *conn.Conn // nil until the first message, and where there is no lane
	tried bool       // conn is what it will be
	ended bool
}

// nameLane has new subscriptions within subj delivered on lanes.
func (c *Client) nameLane(subj string) bool {
	if !subject.Valid(subj) || len(c.lanes) >= maxLaneNames {
		return false
	}
	c.lanes = append(c.lanes, subj)
	return true
}

// nameLanes takes over what CONNECT says.
func (c *Client) nameLanes(b *router.Batch, list []string) {
	if !c.parser.Lanes {
		return
	}
	c.lanes = nil
	for _, subj := range list {
		if !c.nameLane(subj) {
			c.sayErr(b, wire.TextInvalidSubject)
		}
	}
}

// sinkFor returns what a subscription to subj is delivered to.
func (c *Client) sinkFor(subj string) account.Sink {
	for _, name := range c.lanes {
		if subject.Covers(name, subj) {
			return &lane{c: c}
		}
	}
	return c
}

// owns reports whether sub is the session's, on a lane or not.
func (c *Client) owns(sub *account.Subscription) bool {
	if l, ok := sub.Sink.(*lane); ok {
		return l.c == c
	}
	return sub.Sink == account.Sink(c)
}

// Stage appends m as the session does (account.Sink).
func (l *lane) Stage(st *account.Stage, sub *account.Subscription, m *wire.Msg) bool {
	if !l.c.Stage(st, sub, m) {
		return false
	}
	l.mu.Lock()
	if l.conn != nil && l.conn.Congested() {
		st.Slow = true
	}
	l.mu.Unlock()
	return true
}

// Commit hands what was staged to the lane, which it opens for the first message,
// or to the connection where there can be none (account.Sink).
func (l *lane) Commit(st *account.Stage) {
	c := l.c
	c.conn.Lock()
	before := c.outMsgs
	spent := c.settle(st)
	any := c.outMsgs != before
	c.conn.Unlock()
	if any {
		c.active.Store(time.Now().UnixNano())
	}
	to := l.out(any)
	to.Lock()
	to.Send(&st.Buffer)
	for _, sub := range spent {
		sub.Account().Unsubscribe(sub)
		endLane(sub)
	}
}

// out returns where to send.
func (l *lane) out(open bool) *conn.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if open && !l.tried && !l.ended {
		l.tried = true
		if x, err := l.c.conn.OpenLane(l); err == nil {
			l.conn = x
		}
	}
	if l.conn == nil {
		return l.c.conn
	}
	return l.conn
}

// endLane ends the lane of a subscription that is over, if it has one, behind its
// last message.
func endLane(sub *account.Subscription) {
	l, ok := sub.Sink.(*lane)
	if !ok {
		return
	}
	l.mu.Lock()
	l.ended = true
	x := l.conn
	l.mu.Unlock()
	switch {
	case x == nil:
	case l.c.conn.Reason() == conn.SlowPending, l.c.conn.Reason() == conn.SlowDeadline:
		x.Close(l.c.conn.Reason()) // nobody takes it
	default:
		x.EndLane()
	}
}

func endLanes(subs []*account.Subscription) {
	for _, sub := range subs {
		endLane(sub)
	}
}

// Closed ends the session when its client did not take what came on a lane
// (conn.Handler).
func (l *lane) Closed(r conn.CloseReason) {
	switch r {
	case conn.SlowPending, conn.SlowDeadline, conn.WriteError:
		l.c.conn.Close(r)
	}
}

// A lane is never read.

func (*lane) Consume(conn.Batch, []byte) (int, error) { return 0, errClosed }
func (*lane) Need() int                               { return 0 }
func (*lane) ReadDone(conn.Batch)                     {}
func (*lane) Tick(time.Time) time.Duration            { return 0 }
