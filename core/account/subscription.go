package account

import (
	"strings"
	"sync/atomic"
	"unsafe"

	"ganglion/core/conn"
	"ganglion/core/permission"
	"ganglion/core/sublist"
	"ganglion/core/wire"
)

// Subscription is the interest of one Sink in one subject pattern. What a
// delivery looks at stands first, in one cache line, down to the entry's Value:
// with 100,000 subscriptions each further line is a trip to memory.
type Subscription struct {
	// Static after construction.
	Sink    Sink
	short   [13]byte // " sid " for a wildcard pattern, if it fits
	length  uint8    // of it; 0 when it stands in head
	Literal bool     // the pattern has no wildcard

	// Closed is guarded by the Sink's own lock: nothing more is delivered.
	Closed bool

	// Via is nil for what a Sink subscribed to itself; static.
	Via *Via

	// Guarded by the Sink's own lock.
	Msgs int64 // delivered
	Max  int64 // ends after so many; 0 is never

	entry    sublist.Entry[*Subscription]
	head     string
	account  *Account
	Listener string // whose clients' deliver hooks apply; "" for none

	// deny holds the subjects that match but must not be delivered.
	deny atomic.Pointer[permission.Set]
	// shadows are what it sees of other accounts, guarded by account.importing.
	shadows []*Subscription
}

// Linked is a Sink that is a link to another server. It is given a message once
// however many of its subscriptions match, and a queue group's message only when
// nobody here is in the group.
type Linked interface {
	Sink
	// Takes reports whether a message of from may go over the link now.
	Takes(from Sink) bool
	// Weight returns how many members the queue group of sub, which is the
	// link's, has beyond it.
	Weight(sub *Subscription) int
}

// Link reports whether s is what is wanted beyond a link.
func (s *Subscription) Link() bool {
	_, ok := s.Sink.(Linked)
	return ok
}

// Via says how messages reach somebody in another account. One of its fields is
// set.
type Via struct {
	// Parent is the subscription on whose behalf this one, its shadow, stands in
	// the account that a stream is imported from.
	Parent *Subscription
	stream *bridge
	// AllowTrace has traces go on in the importing account.
	AllowTrace bool

	// Service has messages go on in the account of a service.
	Service *ServiceImport
	// Replies has messages go back to who asked a service.
	Replies *Replies
}

// Near appends what the importer of a stream calls subj.
func (v *Via) Near(dst, subj []byte) []byte { return v.stream.toNear(dst, subj) }

// NewSubscription returns a subscription to be given to Account.Subscribe. queue
// is "" for a plain one.
func NewSubscription(sink Sink, subject, queue, sid string) *Subscription {
	s := &Subscription{Sink: sink, Literal: !strings.ContainsAny(subject, "*>")}
	switch {
	case s.Literal:
		s.head = "HMSG " + subject + " " + sid + " "
		subject = s.head[5 : 5+len(subject)]
	case len(sid)+2 <= len(s.short):
		s.length = uint8(copy(s.short[:], " "+sid+" "))
	default:
		s.head = " " + sid + " "
	}
	s.entry.Subject, s.entry.Queue = subject, queue
	return s
}

// newShadow returns what parent sees of the account that stream is imported
// from, where its pattern is far.
func newShadow(parent *Subscription, stream *bridge, far string, allowTrace bool) *Subscription {
	s := NewSubscription(parent.Sink, parent.Subject(), parent.Queue(), parent.SID())
	s.Via = &Via{Parent: parent, stream: stream, AllowTrace: allowTrace}
	s.Listener = parent.Listener
	s.entry.Subject = far
	return s
}

// Root returns the subscription whose deliveries s's are: s, or what it is a
// shadow of.
func (s *Subscription) Root() *Subscription {
	if s.Via != nil && s.Via.Parent != nil {
		return s.Via.Parent
	}
	return s
}

// Denies reports whether messages that come as subj, which of a shadow is what
// its root knows it by, must not be delivered.
func (s *Subscription) Denies(subj []byte) bool {
	deny := s.Root().deny.Load()
	return deny != nil && !deny.Allows(subj)
}

// DeniesFar is Denies for messages that come as subj in the account that s stands
// in, which a shadow's root knows by another name.
func (s *Subscription) DeniesFar(subj []byte) bool {
	if s.Root() == s || s.deny.Load() == nil && s.Root().deny.Load() == nil {
		return s.Denies(subj)
	}
	return s.Denies(s.Via.Near(nil, subj))
}

// Denials returns the filter of s, nil for none.
func (s *Subscription) Denials() *permission.Set { return s.deny.Load() }

// Filter has s not be given what deny does not allow; nil is no filter. For a
// subscription that is in its account already it takes hold with
// Account.Refiltered.
func (s *Subscription) Filter(deny *permission.Set) { s.deny.Store(deny) }

// AppendHead appends what stands on the wire in front of a message on subject:
// MSG or, with header, HMSG, the subject and the subscription's id.
func (s *Subscription) AppendHead(b, subject []byte, header bool) []byte {
	if s.Literal {
		if header {
			return append(b, s.head...)
		}
		return append(b, s.head[1:]...)
	}
	if header {
		b = append(b, 'H')
	}
	b = append(b, "MSG "...)
	b = append(b, subject...)
	if s.length > 0 {
		return append(b, s.short[:s.length]...)
	}
	return append(b, s.head...)
}

// HeadLen returns how many bytes AppendHead appends at most.
func (s *Subscription) HeadLen(subject []byte) int {
	if s.Literal || s.length == 0 {
		return len(s.head) + len(subject) + 5
	}
	return int(s.length) + len(subject) + 5
}

// SID returns the id that the subscriber gave the subscription.
func (s *Subscription) SID() string {
	switch {
	case s.Root() != s:
		return s.Via.Parent.SID()
	case s.Literal:
		return s.head[6+len(s.entry.Subject) : len(s.head)-1]
	case s.length > 0:
		return string(s.short[1 : s.length-1])
	}
	return s.head[1 : len(s.head)-1]
}

// Subject returns the pattern.
func (s *Subscription) Subject() string { return s.entry.Subject }

// Queue returns the queue group, "" for a plain subscription.
func (s *Subscription) Queue() string { return s.entry.Queue }

// Account returns where s is or was subscribed.
func (s *Subscription) Account() *Account { return s.account }

// Sink is anything that receives. The object behind it must be a pointer.
type Sink interface {
	// Stage appends sub's copy of m to st, which the publisher's batch owns: no
	// lock, no wake-up, m is not kept. It returns false when the message is not
	// taken (closed, own echo, full); the router then tries another queue member
	// or counts one less.
	Stage(st *Stage, sub *Subscription, m *wire.Msg) bool
	// Commit takes over what was staged: one lock, one append, one write or
	// wake. Deliveries to subscriptions of a queue group that were closed since
	// they were staged are put back with st.Return.
	Commit(st *Stage)
}

// Delivery is one staged message: up to where its bytes reach in the Stage's
// Buffer.
type Delivery struct {
	Sub    *Subscription
	Own    int32 // end among the own bytes
	Pieces int32 // end among the borrowed pieces
	Size   int32 // header and payload bytes, for counting
}

// Stage is what one reader's batch holds for one receiver.
type Stage struct {
	conn.Buffer
	Deliveries []Delivery

	// Owner is the receiver.
	Owner Sink
	// Now is the time of the flush in unix nanoseconds, 0 when nobody looked.
	Now int64
	// Slow is set by Owner in Stage when its peer falls behind.
	Slow bool
	// Sender is the sink on whose behalf messages are being staged, so that a
	// receiver recognises its own echo.
	Sender Sink
	// Returned are messages of queue groups whose member closed.
	Returned []Returned
}

// Returned is a message that a queue group's member could not take any more.
type Returned struct {
	Sub *Subscription
	Msg wire.Msg // owns its bytes
}

// Delivered notes that the bytes appended since the last call are m for sub.
func (st *Stage) Delivered(sub *Subscription, size int) {
	own, pieces := st.Mark()
	if sub != nil {
		sub = sub.Root()
	}
	st.Deliveries = append(st.Deliveries, Delivery{sub, int32(own), int32(pieces), int32(size)})
}

// Memory returns how many bytes st holds on to.
func (st *Stage) Memory() int {
	return st.Cap() + cap(st.Deliveries)*int(unsafe.Sizeof(Delivery{}))
}

// maxKept is for how many deliveries an empty stage keeps room: what a few
// reads of small messages stage, so that they don't grow it anew each time.
const maxKept = 16 << 10

// Clear empties st. It keeps up to keep bytes of its buffer; with keep 0 it gives
// all memory back.
func (st *Stage) Clear(keep int) {
	st.Reset(keep)
	if keep == 0 || cap(st.Deliveries) > maxKept {
		st.Deliveries = nil
	}
	clear(st.Deliveries)
	st.Deliveries = st.Deliveries[:0]
	st.Returned = nil
	st.Sender, st.Owner, st.Slow, st.Now = nil, nil, false, 0
}
