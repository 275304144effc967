package client

import (
	"bytes"
	"time"

	"ganglion/core/account"
	"ganglion/core/conn"
	"ganglion/core/wire"
)

// borrowMin is from how many bytes on a message is not copied before it is known
// that it must wait.
const borrowMin = 4 << 10

// Stage appends m as MSG or HMSG for sub (account.Sink).
func (c *Client) Stage(st *account.Stage, sub *account.Subscription, m *wire.Msg) bool {
	flags := c.flags.Load()
	if flags&flagEcho == 0 && st.Sender == account.Sink(c) || c.conn.Reason() != conn.NotClosed {
		return false
	}
	if c.conn.Congested() {
		st.Slow = true
	}
	if flags&flagResponses != 0 && len(m.Reply) > 0 {
		if r := c.responses.Load(); r != nil {
			r.allow(m.Reply, time.Now().UnixNano())
		}
	}
	if c.packs {
		c.stagePacked(st, sub, m, flags&flagHeaders != 0)
		return true
	}
	if m.Tail == nil || m.HdrLen > 0 && flags&flagHeaders == 0 {
		c.stageAnew(st, sub, m, flags&flagHeaders != 0)
		return true
	}
	n := sub.HeadLen(m.Subject)
	if len(m.Tail) < borrowMin {
		n += len(m.Tail)
	}
	b := sub.AppendHead(st.Reserve(n), m.Subject, m.HdrLen > 0)
	if len(m.Tail) < borrowMin {
		st.Set(append(b, m.Tail...))
	} else {
		st.Set(b)
		st.Borrow(m.Tail)
	}
	st.Delivered(sub, len(m.Data))
	return true
}

// stageAnew encodes a message whose published form can't be passed on as it is.
func (c *Client) stageAnew(st *account.Stage, sub *account.Subscription, m *wire.Msg, headers bool) {
	n := len(m.Subject) + len(sub.SID()) + len(m.Reply) + len(m.Data) + 64
	st.Set(wire.AppendMsg(st.Reserve(n), m, sub.SID(), headers))
	size := len(m.Data)
	if !headers {
		size -= m.HdrLen
	}
	st.Delivered(sub, size)
}

// Commit hands what was staged to the connection (account.Sink). Under the
// outbound lock it is decided which subscriptions still take it.
func (c *Client) Commit(st *account.Stage) {
	c.conn.Lock()
	before := c.outMsgs
	spent := c.settle(st)
	if c.outMsgs != before {
		now := st.Now
		if now == 0 {
			now = time.Now().UnixNano()
		}
		c.active.Store(now)
	}
	c.conn.Send(&st.Buffer)
	for _, sub := range spent {
		sub.Account().Unsubscribe(sub)
	}
}

// settle counts the deliveries and drops those whose subscription closed since
// they were staged. It returns the subscriptions that reached their maximum.
func (c *Client) settle(st *account.Stage) (spent []*account.Subscription) {
	closed := c.conn.IsClosed()
	var kept conn.Buffer
	rebuilt := false
	var own, pieces int32
	for i := range st.Deliveries {
		d := &st.Deliveries[i]
		sub := d.Sub
		switch {
		case sub == nil:
		case closed || sub.Closed:
			if !rebuilt {
				rebuilt = true
				kept.AppendRange(&st.Buffer, 0, 0, int(own), int(pieces))
			}
			if sub.Queue() != "" {
				var one conn.Buffer
				one.AppendRange(&st.Buffer, int(own), int(pieces), int(d.Own), int(d.Pieces))
				b := one.Bytes(nil)
				if c.packs {
					b = unpack(b)
				}
				st.Returned = append(st.Returned, account.Returned{Sub: sub, Msg: decode(b)})
			}
			own, pieces = d.Own, d.Pieces
			continue
		default:
			sub.Msgs++
			c.outMsgs++
			c.outBytes += int64(d.Size)
			if sub.Max > 0 && sub.Msgs >= sub.Max {
				sub.Closed = true
				c.subs.remove(sub)
				spent = append(spent, sub)
			}
		}
		if rebuilt {
			kept.AppendRange(&st.Buffer, int(own), int(pieces), int(d.Own), int(d.Pieces))
		}
		own, pieces = d.Own, d.Pieces
	}
	if rebuilt {
		st.Swap(&kept)
		kept.Reset(0)
	}
	return spent
}

// decode reads back one message that Stage encoded.
func decode(b []byte) wire.Msg {
	line, data, _ := bytes.Cut(b, []byte("\r\n"))
	f := bytes.Fields(line)
	m := wire.Msg{Subject: f[1], Data: data[:len(data)-2]}
	n := len(f) - 4 // reply and sizes behind verb, subject, sid, less one size
	if f[0][0] == 'H' {
		for _, d := range f[len(f)-2] {
			m.HdrLen = m.HdrLen*10 + int(d-'0')
		}
		n--
	}
	if n > 0 {
		m.Reply = f[3]
	}
	return m
}
