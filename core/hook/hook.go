// Package hook is the subject boundary as the core sees it: small interfaces,
// one event each, that see a message or a session before the core acts on it.
//
// Hooks run on the goroutine that reads the publisher's connection, with no lock
// held. They must not block: other connections share that goroutine. What they
// are given is borrowed for the length of the call.
package hook

import (
	"net/netip"

	"ganglion/core/wire"
)

// Origin says where a message or request comes from. It is shared and must not
// be changed or kept.
type Origin struct {
	CID      uint64 // connection id, 0 inside the process
	Account  string
	User     string // "" without authentication
	Name     string // as given in CONNECT
	Listener string // name of the listener, "" inside the process
	Remote   netip.AddrPort
	Hops     int // how many hooks' messages led to this one
}

// Zone says where a message goes to.
type Zone struct {
	Account  string
	Listener string // whose clients get it
	Hops     int    // see Origin
}

// Verdict is what becomes of a message.
type Verdict uint8

const (
	// Pass lets the message on, with the changes that the hook made to it: a
	// hook may replace Subject, Reply or Data (with HdrLen) of the Msg by bytes
	// that nobody changes any more, or that it appended to the Msg's Scratch.
	Pass Verdict = iota
	// Drop ends the message in silence.
	Drop
	// Reject ends the message and tells the publisher
	// (Permissions Violation for Publish).
	Reject
)

// Rejection is an error with which a hook says why it rejects a message; it is
// told to the publisher and not logged.
type Rejection struct {
	Code   int    // status that a request is answered with; 0 is 403
	Reason string // one line, for the publisher
}

// Error returns the reason.
func (r *Rejection) Error() string { return r.Reason }

// Publish sees a message when it enters the core. An error counts as Reject and,
// if it is no *Rejection, is logged.
type Publish interface {
	OnPublish(from *Origin, m *wire.Msg) (Verdict, error)
}

// Deliver sees a message once for each listener to whose clients it goes. It
// may change Reply and Data, not the subject.
type Deliver interface {
	OnDeliver(to Zone, m *wire.Msg) (Verdict, error)
}

// Connect sees a session after authentication. An error refuses it
// (Authorization Violation) and is logged. Credentials are blanked in c.
type Connect interface {
	OnConnect(from *Origin, c *wire.ConnectOptions) error
}

// Subscribe sees a subscription before it is added; queue is "" for a plain one.
// An error refuses it (Permissions Violation for Subscription).
type Subscribe interface {
	OnSubscribe(from *Origin, subject, queue string) error
}

// PublishFunc, DeliverFunc, ConnectFunc and SubscribeFunc make hooks of functions.
type (
	PublishFunc   func(from *Origin, m *wire.Msg) (Verdict, error)
	DeliverFunc   func(to Zone, m *wire.Msg) (Verdict, error)
	ConnectFunc   func(from *Origin, c *wire.ConnectOptions) error
	SubscribeFunc func(from *Origin, subject, queue string) error
)

// OnPublish calls f.
func (f PublishFunc) OnPublish(from *Origin, m *wire.Msg) (Verdict, error) { return f(from, m) }

// OnDeliver calls f.
func (f DeliverFunc) OnDeliver(to Zone, m *wire.Msg) (Verdict, error) {
	return f(to, m)
}

// OnConnect calls f.
func (f ConnectFunc) OnConnect(from *Origin, c *wire.ConnectOptions) error { return f(from, c) }

// OnSubscribe calls f.
func (f SubscribeFunc) OnSubscribe(from *Origin, subject, queue string) error {
	return f(from, subject, queue)
}
