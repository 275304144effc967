package leaf

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/conn"
	"ganglion/core/router"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

var errClosed = errors.New("leaf: closed")

// Texts of errors, which are nats-server's.
const (
	textLoop      = "Loop detected for leafnode account=%q. Delaying attempt to reconnect for %v"
	textDuplicate = "Duplicate Remote LeafNode Connection"
	textCluster   = "remote leafnode has same cluster name"
	textWrongPort = "attempted to connect to leaf node port"
	textSub       = "Permissions Violation for Subscription to %q"
	textPub       = "Permissions Violation for Publish to %q"
)

// Consume parses and executes whole ops (conn.Handler).
func (l *Link) Consume(batch conn.Batch, data []byte) (int, error) {
	b := batch.(*router.Batch)
	op := &b.Op
	used := 0
	for used < len(data) {
		n, err := l.parser.Next(data[used:], op)
		if err != nil {
			b.Flush()
			l.m.opts.Log.Error("leafnode link: the peer's bytes make no sense", "cid", l.cid, "remote", l.peer.Addr, "error", err)
			r := conn.ParseError
			switch {
			case errors.Is(err, wire.ErrMaxPayload):
				r = conn.MaxPayload
				l.fail(r, wire.TextMaxPayload)
			case errors.Is(err, wire.ErrControlLine):
				r = conn.MaxControlLine
				l.fail(r, wire.TextControlLine)
			default:
				l.fail(r, wire.TextUnknownOp)
			}
			return used, err
		}
		used += n
		if n == 0 {
			break
		}
		if op.Kind == wire.None {
			continue
		}
		if err := l.execute(b, op); err != nil {
			b.Flush()
			return used, err
		}
	}
	return used, nil
}

func (l *Link) execute(b *router.Batch, op *wire.Op) error {
	switch op.Kind {
	case wire.LeafMsg:
		return l.received(b, &op.Msg)
	case wire.Pub, wire.HPub: // which nats-server takes from leafs too
		op.Msg.Queues = nil
		return l.received(b, &op.Msg)
	case wire.LeafSub:
		return l.want(string(op.Subject), string(op.Queue), op.Max)
	case wire.LeafUnsub:
		l.unwant(key{string(op.Subject), string(op.Queue)})
	case wire.Ping:
		st := b.Own(l)
		st.AppendString(wire.LinePong)
		st.Delivered(nil, 0)
	case wire.Pong:
		l.pong()
	case wire.InfoOp:
		if l.remote != nil {
			l.remote.learn(op.Arg)
		}
	case wire.ErrFrom:
		return l.refused(string(op.Arg))
	}
	return nil
}

// received publishes what came over the link.
func (l *Link) received(b *router.Batch, m *wire.Msg) error {
	l.inMsgs++
	l.inBytes += int64(len(m.Data))
	if l.mayIn != nil && !l.mayIn.Allows(m.Subject) {
		l.m.opts.Log.Error("leafnode link: publish violation", "cid", l.cid, "remote", l.peer.Addr, "account", l.acc.Name(), "subject", string(m.Subject))
		l.fail(conn.ProtocolViolation, fmt.Sprintf(textPub, m.Subject))
		return errClosed
	}
	b.PublishLinked(l, l.acc, m)
	return nil
}

// want takes up that the peer wants subj.
func (l *Link) want(subj, queue string, weight int) error {
	if !subject.Valid(subj) {
		return nil
	}
	if strings.HasPrefix(subj, ldsPrefix) && queue == "" && subj == l.book.lds {
		return l.loop()
	}
	k := key{subj, queue}
	if sub := l.subs[k]; sub != nil {
		if was := int(atomic.LoadInt64(&sub.Max)); queue != "" && was != weight {
			atomic.StoreInt64(&sub.Max, int64(weight))
			l.book.add(k, l, weight-was)
		}
		return nil
	}
	ok := l.mayWant.lets(k)
	if !ok && !strings.HasPrefix(subj, ldsPrefix) {
		l.m.opts.Log.Error("leafnode link: subscription violation", "cid", l.cid, "remote", l.peer.Addr, "account", l.acc.Name(), "subject", subj)
		l.fail(conn.ProtocolViolation, fmt.Sprintf(textSub, subj))
		return errClosed
	}
	if max := l.acc.Spec().Limits.Subs; max >= 0 && l.remote == nil && len(l.subs) >= max {
		l.fail(conn.MaxSubs, wire.TextMaxSubs)
		return errClosed
	}
	sub := account.NewSubscription(l, subj, queue, "")
	atomic.StoreInt64(&sub.Max, int64(max(weight, 1)))
	if ok {
		sub.Filter(l.mayWant.filter())
	}
	l.subs[k] = sub
	l.nsubs.Add(1)
	l.acc.Subscribe(sub)
	return nil
}

func (l *Link) unwant(k key) {
	sub := l.subs[k]
	if sub == nil {
		return
	}
	delete(l.subs, k)
	l.nsubs.Add(-1)
	l.acc.Unsubscribe(sub)
}

// loop ends a link on which our own announcement came back.
func (l *Link) loop() error {
	l.m.opts.Log.Error("leafnode loop detected: what this server announces comes back to it; look for a cycle among the remotes",
		"cid", l.cid, "remote", l.peer.Addr, "account", l.acc.Name(), "retry_in", loopDelay)
	if l.remote != nil {
		l.remote.delay(loopDelay)
	}
	l.fail(conn.ProtocolViolation, fmt.Sprintf(textLoop, l.acc.Name(), loopDelay))
	return errClosed
}

// refused is called with what the peer says is wrong.
func (l *Link) refused(text string) error {
	l.text.Store(&text)
	l.m.opts.Log.Error("leafnode link: the peer says", "cid", l.cid, "remote", l.peer.Addr, "account", l.acc.Name(), "text", text)
	if l.remote != nil && (strings.HasPrefix(text, "Loop detected") || strings.Contains(text, textCluster)) {
		l.remote.delay(loopDelay)
	}
	l.conn.Close(conn.ProtocolViolation)
	return errClosed
}

// Need returns the length of the op that is not whole yet (conn.Handler).
func (l *Link) Need() int { return l.parser.Need() }

// ReadDone publishes the counters of one read (conn.Handler).
func (l *Link) ReadDone(batch conn.Batch) {
	msgs, bytes := l.inMsgs-l.in.msgs.Swap(l.inMsgs), l.inBytes-l.in.bytes.Swap(l.inBytes)
	now := time.Now()
	l.last.Store(now.UnixNano())
	if l.pace != nil {
		if d := l.pace.came(now, msgs, bytes); d > 0 {
			l.conn.Pause(d)
		}
	}
	batch.(*router.Batch).Slow() // links are not slowed down
}

// Tick sends PINGs, and ends a link that answers none (conn.Handler).
func (l *Link) Tick(now time.Time) time.Duration {
	if int(l.pings.Load()) >= l.m.opts.PingMax {
		l.m.opts.Log.Warn("leafnode link is stale", "cid", l.cid, "remote", l.peer.Addr, "unanswered", l.pings.Load())
		l.conn.Close(conn.Stale)
		return 0
	}
	l.ping(now)
	return l.m.opts.PingInterval
}

func (l *Link) ping(now time.Time) {
	l.pings.Add(1)
	l.pinged.CompareAndSwap(0, now.UnixNano())
	l.conn.SendString(wire.LinePing)
}

func (l *Link) pong() {
	l.pings.Store(0)
	if at := l.pinged.Swap(0); at != 0 {
		l.rtt.Store(max(time.Now().UnixNano()-at, 1))
	}
	if l.old != nil { // what the hub wants came before
		l.old.forget()
		l.old = nil
	}
}

// forget takes back what the peer of a link that has ended wanted.
func (l *Link) forget() {
	l.stale.Store(true)
	l.lost.Do(l.drop)
}

// Closed ends the link (conn.Handler).
func (l *Link) Closed(r conn.CloseReason) {
	l.book.detach(l)
	l.in.msgs.Store(l.inMsgs)
	l.in.bytes.Store(l.inBytes)
	l.m.ended(l, r)
}

// drop takes back what the peer wanted.
func (l *Link) drop() {
	if len(l.subs) == 0 {
		return
	}
	subs := make([]*account.Subscription, 0, len(l.subs))
	for _, sub := range l.subs {
		subs = append(subs, sub)
	}
	l.subs = nil
	l.acc.UnsubscribeAll(subs)
}
