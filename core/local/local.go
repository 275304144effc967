// Package local is a peer inside the process: it publishes, requests and
// subscribes through the router like a client, without a connection. Services
// (events, auth callout, streams, plugins' emits) are built on it.
package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"

	"ganglion/core/account"
	"ganglion/core/hook"
	"ganglion/core/router"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// ErrNoResponders is returned by Request when nobody listens on the subject.
var ErrNoResponders = errors.New("local: no responders")

// DefaultQueue is how many messages a subscription holds for its handler.
const DefaultQueue = 4096

// Peer acts in one account. Create it with New; it is safe for concurrent use.
type Peer struct {
	acc    *account.Account
	origin hook.Origin
	reader int

	mu    sync.Mutex // the batch is one reader's
	batch *router.Batch
}

// New returns a Peer in acc. name is what hooks see. reader is a small number
// for the batch, see router.New.
func New(acc *account.Account, name string, reader int, c *router.Counters) *Peer {
	return &Peer{acc: acc, origin: hook.Origin{Account: acc.Name(), Name: name}, reader: reader, batch: router.New(reader, c)}
}

// Origin tells hooks about the peer (router.Publisher).
func (p *Peer) Origin() *hook.Origin { return &p.origin }

// AppendRequestor says which account asks (router.Publisher).
func (p *Peer) AppendRequestor(b []byte, acc string, _ bool) []byte {
	return append(strconv.AppendQuote(append(b, `{"acc":`...), acc), '}')
}

// RTT returns 0: there is no way to go (router.Publisher).
func (p *Peer) RTT() time.Duration { return 0 }

// Stage takes nothing: a Peer's subscriptions are sinks of their own.
func (p *Peer) Stage(*account.Stage, *account.Subscription, *wire.Msg) bool { return false }

// Commit does nothing.
func (p *Peer) Commit(*account.Stage) {}

// Publish delivers m to everybody interested and returns how many took it. m is
// not kept. It never blocks on a receiver.
func (p *Peer) Publish(m *wire.Msg) int { return p.PublishHops(0, m) }

// PublishHops is Publish for a message to which hooks' messages led, hops of them
// one after the other (hook.Origin).
func (p *Peer) PublishHops(hops int, m *wire.Msg) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.origin.Hops = hops
	c := *m
	n := p.batch.Publish(p, p.acc, nil, &c).Receivers
	p.batch.Flush()
	return n
}

// Interested reports whether anybody would see a message on subj, so that one
// that nobody wants need not be made.
func (p *Peer) Interested(subj string) bool {
	var r account.Result
	p.acc.Match(p.reader, []byte(subj), &r)
	return !r.Empty() || r.Chain != nil
}

// Request publishes data on subj and waits for one answer, which the caller owns.
func (p *Peer) Request(ctx context.Context, subj string, data []byte) (*wire.Msg, error) {
	return p.RequestMsg(ctx, subj, nil, data)
}

// RequestMsg is Request with a header block, which may be nil.
func (p *Peer) RequestMsg(ctx context.Context, subj string, header, data []byte) (*wire.Msg, error) {
	reply := "_INBOX." + nuid.Next()
	got := make(chan *wire.Msg, 1)
	sub, err := p.Subscribe(reply, "", 1, func(m *wire.Msg) {
		c := m.Clone()
		select {
		case got <- &c:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	if len(header) > 0 {
		data = slices.Concat(header, data)
	}
	if p.Publish(&wire.Msg{Subject: []byte(subj), Reply: []byte(reply), Data: data, HdrLen: len(header)}) == 0 {
		return nil, fmt.Errorf("%w on %q", ErrNoResponders, subj)
	}
	select {
	case m := <-got:
		return m, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("local: request on %q: %w", subj, ctx.Err())
	}
}

// Subscription calls a function for each message, on one goroutine of its own.
type Subscription struct {
	sub     *account.Subscription
	queue   chan wire.Msg
	dropped atomic.Uint64
	once    sync.Once
	stop    chan struct{}
	done    chan struct{}
}

// Subscribe has f called for each message on the pattern subj, as a member of
// queue unless that is "". At most depth messages wait for f (0 is
// DefaultQueue); what comes beyond is dropped and counted. The message that f
// gets is its own.
func (p *Peer) Subscribe(subj, queue string, depth int, f func(*wire.Msg)) (*Subscription, error) {
	if !subject.Valid(subj) {
		return nil, fmt.Errorf("local: %q is no valid subject to subscribe to", subj)
	}
	if depth <= 0 {
		depth = DefaultQueue
	}
	s := &Subscription{queue: make(chan wire.Msg, depth), stop: make(chan struct{}), done: make(chan struct{})}
	s.sub = account.NewSubscription(s, subj, queue, "0")
	p.acc.Subscribe(s.sub)
	go s.run(f)
	return s, nil
}

func (s *Subscription) run(f func(*wire.Msg)) {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		case m := <-s.queue:
			f(&m)
		}
	}
}

// Stage queues m for the handler (account.Sink).
func (s *Subscription) Stage(_ *account.Stage, _ *account.Subscription, m *wire.Msg) bool {
	if len(s.queue) == cap(s.queue) {
		s.dropped.Add(1)
		return false
	}
	select {
	case s.queue <- m.Clone():
		return true
	default:
		s.dropped.Add(1)
		return false
	}
}

// Commit does nothing: Stage has handed the message over.
func (s *Subscription) Commit(*account.Stage) {}

// Dropped returns how many messages found the queue full.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription and waits for its handler. It must not be called
// by the handler.
func (s *Subscription) Close() {
	s.once.Do(func() {
		s.sub.Account().Unsubscribe(s.sub)
		close(s.stop)
	})
	<-s.done
}
