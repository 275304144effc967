package leaf

import (
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/conn"
	"ganglion/core/hook"
	"ganglion/core/permission"
	"ganglion/core/wire"
)

// Peer is what is known of the other end of a link.
type Peer struct {
	ServerID, Name, Cluster, Domain, Version string
	// Account is what the other end calls the account.
	Account string
	// Hub says that this end is the leaf: what comes from other hubs does not go
	// there.
	Hub bool
	// Isolate has it not be told what other leafs want.
	Isolate bool
	Headers bool
	// Compression is what is in use, Off for none.
	Compression Compression
	Addr        string // of the other end
	IP          string
	Port        int
	Listener    string // that it came by, "" for a hub that was solicited
	User        string
}

// Link is one connection to another server in one account: a sink of the account
// for what is wanted beyond, and a publisher of what comes from there
// (conn.Handler, account.Linked, router.Publisher).
type Link struct {
	// Static after construction.
	m      *Manager
	remote *remote // nil for a leaf that was accepted
	conn   *conn.Conn
	cid    uint64
	start  time.Time
	acc    *account.Account
	book   *book
	peer   Peer
	// mayIn is what may come from the peer and mayOut what it may be given; of
	// subscriptions mayWant says which are let in, mayTell which are told.
	mayIn, mayOut    *permission.Set
	mayWant, mayTell *scope
	denyOut          *permission.Set
	origin           hook.Origin
	pace             *pacer   // nil for no limits
	wire             *counted // bytes on the wire; nil where nobody compresses

	// Owned by the reader of the moment.
	parser  wire.LeafParser
	subs    map[key]*account.Subscription
	inMsgs  int64
	inBytes int64

	gone   chan struct{} // closed when it has ended
	old    *Link         // whose interest it replaces; of the reader, then of nobody
	lost   sync.Once
	down   atomic.Bool // it is remembered only
	stale  atomic.Bool // another link has taken its place
	in     struct{ msgs, bytes atomic.Int64 }
	out    struct{ msgs, bytes atomic.Int64 }
	nsubs  atomic.Int64
	last   atomic.Int64 // unix nanoseconds of the last input
	pinged atomic.Int64 // of the unanswered PING, 0 for none
	pings  atomic.Int32
	rtt    atomic.Int64
	text   atomic.Pointer[string] // the last -ERR of the peer

	// sending is held while notes and messages go to the connection, so that what
	// is announced stays in front of what was published after it.
	sending sync.Mutex
	notesMu sync.Mutex
	notes   []byte      // LS+ and LS- to be sent
	told    map[key]int // guarded by book.mu: what the peer knows
	writing bool        // somebody is about to send notes; guarded by notesMu
}

// passes reports whether what l wants may be told to x, and its messages given to
// it: two hubs have nothing to do with each other through us.
func (l *Link) passes(x *Link) bool {
	switch {
	case l == x:
		return false
	case l.peer.Hub && x.peer.Hub:
		return false
	case x.peer.Isolate && !l.peer.Hub:
		return false
	}
	return true
}

// announceLDS tells the peer the subject by which loops are found.
func (l *Link) announceLDS(lds string) {
	l.told[key{subject: lds}] = 1
	l.note(wire.AppendLeafSub(nil, lds, "", 0))
}

// announce has the peer know that n want k; book.mu is held.
func (l *Link) announce(k key, n int) {
	if k.queue == "" {
		n = min(n, 1)
	}
	if n == l.told[k] || n > 0 && !l.tells(k) {
		return
	}
	var room [256]byte
	if n > 0 {
		l.told[k] = n
		l.note(wire.AppendLeafSub(room[:0], k.subject, k.queue, n))
		return
	}
	delete(l.told, k)
	l.note(wire.AppendLeafUnsub(room[:0], k.subject, k.queue))
}

// tells reports whether the peer may know that somebody wants k: a violation would
// end the link.
func (l *Link) tells(k key) bool {
	return l.mayTell.lets(k)
}

// note queues a line for the peer, in front of everything published later.
func (l *Link) note(line []byte) {
	l.notesMu.Lock()
	l.notes = append(l.notes, line...)
	start := !l.writing
	l.writing = true
	l.notesMu.Unlock()
	if start {
		l.m.wg.Add(1)
		go func() {
			defer l.m.wg.Done()
			l.sending.Lock()
			l.sendNotes()
			l.sending.Unlock()
		}()
	}
}

// sendNotes sends what is to be announced; sending is held.
func (l *Link) sendNotes() {
	l.notesMu.Lock()
	b := l.notes
	l.notes, l.writing = nil, false
	l.notesMu.Unlock()
	if len(b) == 0 || l.conn == nil {
		return
	}
	var x conn.Buffer
	x.Append(b)
	l.conn.Lock()
	l.conn.Send(&x)
	x.Reset(0)
}

// Takes reports whether a message of from may go over the link now
// (account.Linked).
func (l *Link) Takes(from account.Sink) bool {
	if o, ok := from.(*Link); ok && !o.passes(l) {
		return false
	}
	return !l.down.Load() && l.conn.Reason() == conn.NotClosed
}

// Weight returns how many members the group of sub has at the peer
// (account.Linked).
func (l *Link) Weight(sub *account.Subscription) int {
	return int(atomic.LoadInt64(&sub.Max))
}

// borrowMin is from how many bytes on a message is not copied before it is known
// that it must wait.
const borrowMin = 4 << 10

// Stage appends m as LMSG or HMSG, for the groups beyond that m.Queues names and
// all plain subscriptions there (account.Sink).
func (l *Link) Stage(st *account.Stage, sub *account.Subscription, m *wire.Msg) bool {
	if o, ok := st.Sender.(*Link); ok && !o.passes(l) {
		return false
	}
	if l.down.Load() {
		if !l.stale.Load() {
			l.remote.missed.Add(1)
		}
		return false
	}
	if l.conn.Reason() != conn.NotClosed || !l.gives(m.Subject) || l.pace != nil && !l.pace.goes(len(m.Data)) {
		return false
	}
	if m.Tail == nil || len(m.Queues) > 0 || m.HdrLen > 0 && !l.peer.Headers {
		n := len(m.Subject) + len(m.Reply) + len(m.Data) + 64
		for _, q := range m.Queues {
			n += len(q) + 1
		}
		st.Set(wire.AppendLeafMsg(st.Reserve(n), m, m.Queues, l.peer.Headers))
		st.Delivered(sub, len(m.Data))
		return true
	}
	n := len(m.Subject) + 8
	if len(m.Tail) < borrowMin {
		n += len(m.Tail)
	}
	b := st.Reserve(n)
	if m.HdrLen > 0 {
		b = append(b, "HMSG "...)
	} else {
		b = append(b, "LMSG "...)
	}
	b = append(append(b, m.Subject...), ' ')
	if len(m.Tail) < borrowMin {
		st.Set(append(b, m.Tail...))
	} else {
		st.Set(b)
		st.Borrow(m.Tail)
	}
	st.Delivered(sub, len(m.Data))
	return true
}

// gives reports whether the peer may be given messages on subj.
func (l *Link) gives(subj []byte) bool {
	return (l.mayOut == nil || l.mayOut.Allows(subj)) && (l.denyOut == nil || l.denyOut.Allows(subj))
}

// Commit hands what was staged to the connection, behind what was announced before
// (account.Sink).
func (l *Link) Commit(st *account.Stage) {
	var n, bytes int64
	for i := range st.Deliveries {
		if st.Deliveries[i].Sub != nil {
			n++
			bytes += int64(st.Deliveries[i].Size)
		}
	}
	l.out.msgs.Add(n)
	l.out.bytes.Add(bytes)
	l.sending.Lock()
	l.sendNotes()
	l.conn.Lock()
	l.conn.Send(&st.Buffer)
	l.sending.Unlock()
}

// Origin tells hooks about the link (router.Publisher).
func (l *Link) Origin() *hook.Origin { return &l.origin }

// AppendRequestor says who asks a service (router.Publisher).
func (l *Link) AppendRequestor(b []byte, acc string, _ bool) []byte {
	b = strconv.AppendQuote(append(b, `{"acc":`...), acc)
	b = strconv.AppendInt(append(b, `,"rtt":`...), l.rtt.Load(), 10)
	return append(b, '}')
}

// RTT returns the round-trip time, 0 when unknown (router.Publisher).
func (l *Link) RTT() time.Duration { return time.Duration(l.rtt.Load()) }

// Account returns the account here.
func (l *Link) Account() *account.Account { return l.acc }

// Peer returns what is known of the other end.
func (l *Link) Peer() Peer { return l.peer }

// Start returns when the link came up.
func (l *Link) Start() time.Time { return l.start }

// Count is a number of messages and of their bytes.
type Count struct{ Msgs, Bytes int64 }

// Counts returns what came over the link and what went.
func (l *Link) Counts() (in, out Count) {
	return Count{l.in.msgs.Load(), l.in.bytes.Load()}, Count{l.out.msgs.Load(), l.out.bytes.Load()}
}

// CID returns the connection's id.
func (l *Link) CID() uint64 { return l.cid }

// Close ends the link.
func (l *Link) Close(r conn.CloseReason) { l.conn.Close(r) }

// fail tells the peer text and ends the link.
func (l *Link) fail(r conn.CloseReason, text string) {
	l.conn.SendString(string(wire.AppendErr(nil, text)))
	l.conn.Close(r)
}

func originOf(cid uint64, acc, listener, name string, remote string) hook.Origin {
	o := hook.Origin{CID: cid, Account: acc, Listener: listener, Name: name}
	if a, err := netip.ParseAddrPort(remote); err == nil {
		o.Remote = a
	}
	return o
}
