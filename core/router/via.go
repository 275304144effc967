package router

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"ganglion/core/account"
	"ganglion/core/wire"
)

const (
	// maxDepth bounds through how many accounts a message goes. Configurations
	// with cycles are refused; this is for what slips through.
	maxDepth = 16
	// requestInfo names the header that tells a service who asks.
	requestInfo = "Nats-Request-Info"
)

// deliverVia hands m to somebody in another account, and returns how many took
// it.
func (b *Batch) deliverVia(from Publisher, sub *account.Subscription, m *wire.Msg) int {
	v := sub.Via
	if v.Parent == nil && b.depth == maxDepth {
		return 0
	}
	switch {
	case v.Parent != nil:
		far := m.Subject
		b.near = v.Near(b.near[:0], far)
		m.Subject = b.near
		n := 0
		if b.trace != nil {
			n = b.shadowTraced(from, sub, m)
		} else {
			n = b.stageFor(from, sub, m)
		}
		m.Subject = far
		return n
	case v.Service != nil:
		if bytes.HasPrefix(m.Subject, []byte(account.ReplyPrefix)) {
			return 0 // answers go where they are owed, not where an import of > leads
		}
		return b.ask(from, v.Service, m)
	default:
		return b.answer(from, v.Replies, m)
	}
}

// enter returns the room for one account more.
func (b *Batch) enter() *level {
	if b.depth == len(b.levels) {
		b.levels = append(b.levels, &level{})
	}
	b.depth++
	return b.levels[b.depth-1]
}

// publishIn stages m for everybody interested in acc, an account that it came to
// by an import.
func (b *Batch) publishIn(from Publisher, lv *level, acc *account.Account, m *wire.Msg) int {
	if b.trace != nil {
		e := b.everybody(acc, m.Subject)
		if e.res.Chain.Delivers() && !b.trace.only {
			return b.fanOutHooked(from, e.res.Chain, &e.res, m)
		}
		return b.fanOut(from, &e.res, m)
	}
	e := b.nested(lv, acc, m.Subject)
	if sub := e.only; sub != nil {
		return b.deliver(from, sub, m)
	}
	if e.res.Chain.Delivers() {
		return b.fanOutHooked(from, e.res.Chain, &e.res, m)
	}
	return b.fanOut(from, &e.res, m)
}

// ask has a request, or a message without a reply, go on in the account of a
// service.
func (b *Batch) ask(from Publisher, s *account.ServiceImport, m *wire.Msg) int {
	lv := b.enter()
	if b.depth == 1 {
		b.home = s.From
	}
	b.asked++
	defer func() { b.depth--; b.asked-- }()
	lv.subject = s.Far(lv.subject[:0], m.Subject)
	next := wire.Msg{Subject: lv.subject}
	if mp := s.To.Map(lv.subject); mp != nil {
		lv.mapped = mp.Append(lv.mapped[:0], lv.subject, uint32(b.rng.Uint64()>>32))
		if next.Subject = lv.mapped; len(lv.mapped) == 0 {
			return 0
		}
	}
	var x *account.Measure
	if len(m.Reply) > 0 {
		now := time.Now().UnixNano()
		x = b.measure(from, s, m, now)
		lv.reply = s.To.Replies().Await(lv.reply[:0], s, m.Reply, now, x)
		next.Reply = lv.reply
	}
	var dest []byte
	if t := b.trace; t != nil {
		dest = b.traceService(s, m.Subject, next.Subject)
		if !s.Export.AllowTrace {
			t.paused++
			defer func() { t.paused-- }()
		}
	}
	lv.data, next.HdrLen = b.appendInfo(lv.data[:0], from, s, m, dest)
	next.Data = lv.data
	n := b.publishIn(from, lv, s.To, &next)
	if n == 0 && next.Reply != nil {
		s.To.Replies().Forget(next.Reply)
		if x != nil {
			b.reportLatency(from, &account.Reply{Import: s, Measure: x}, statusNobody, descriptionNobody)
		}
	}
	return n
}

// appendInfo appends m's header block, with the field that says who asks in
// place of any that came with it, and its payload. It returns the length of the
// block. A block that is not well-formed is left out, or it might say who asks to
// a service that reads it otherwise. A service asked through another is told who
// asked the first. traceDest replaces where the trace of the message goes, unless
// it is nil.
func (b *Batch) appendInfo(dst []byte, from Publisher, s *account.ServiceImport, m *wire.Msg, traceDest []byte) ([]byte, int) {
	head := m.Header()
	switch {
	case !bytes.HasPrefix(head, []byte("NATS/1.0")) || !bytes.HasSuffix(head, []byte("\r\n\r\n")):
		// None, or one that says who knows what to whom.
		dst = append(dst, "NATS/1.0\r\n"...)
	case traceDest != nil:
		dst = wire.AppendWithout(dst, wire.AppendWithout(nil, head[:len(head)-2], headerTraceDest), requestInfo)
	default:
		dst = wire.AppendWithout(dst, head[:len(head)-2], requestInfo)
	}
	dst = append(dst, requestInfo+": "...)
	if first := wire.HeaderValue(head, requestInfo); b.asked > 1 && first != nil {
		dst = appendVia(dst, first, s.From.Name())
	} else {
		dst = from.AppendRequestor(dst, b.home.Name(), s.Import.Share)
	}
	if traceDest != nil {
		dst = append(dst, "\r\n"+headerTraceDest+": "...)
		dst = append(dst, traceDest...)
	}
	dst = append(dst, "\r\n\r\n"...)
	n := len(dst)
	return append(dst, m.Payload()...), n
}

// appendVia appends info, which says who asked the first of several services,
// with the account by which the last of them is asked.
func appendVia(dst, info []byte, acc string) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(info, &m) != nil {
		return append(dst, info...)
	}
	const key = `"acc":`
	at := bytes.Index(info, []byte(key))
	if at < 0 {
		return append(dst, info...)
	}
	at += len(key) + len(m["acc"])
	dst = append(append(dst, info[:at]...), `,"svc":`...)
	dst = strconv.AppendQuote(dst, acc)
	rest := info[at:]
	if old := m["svc"]; old != nil {
		rest = bytes.TrimPrefix(rest, append([]byte(`,"svc":`), old...))
	}
	return append(dst, rest...)
}

// answer has the answer of a service go on to who asked.
func (b *Batch) answer(from Publisher, r *account.Replies, m *wire.Msg) int {
	lv := b.enter()
	defer func() { b.depth-- }()
	var q account.Reply
	var ok bool
	now := time.Now().UnixNano()
	if lv.subject, ok = r.Take(lv.subject[:0], m.Subject, len(m.Data) == 0, now, &q); !ok {
		return 0
	}
	if b.depth == 1 {
		b.home = q.Import.To
	}
	if q.Measure != nil {
		b.reportLatency(from, &q, statusOK, "")
	}
	next := *m
	next.Subject = q.Subject
	if len(m.Reply) == 0 {
		return b.publishIn(from, lv, q.Import.From, &next)
	}
	// The answer asks in turn; who gets it can't reach the subject itself.
	replies := q.Import.From.Replies()
	lv.reply = replies.Await(lv.reply[:0], q.Import.Back(), m.Reply, now, nil)
	next.Reply, next.Tail = lv.reply, nil
	n := b.publishIn(from, lv, q.Import.From, &next)
	if n == 0 {
		replies.Forget(next.Reply)
	}
	return n
}
