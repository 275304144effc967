package leaf

import (
	"maps"
	"net/url"
	"time"
)

// LinkInfo is what a link looks like at the moment.
type LinkInfo struct {
	CID     uint64
	Peer    Peer
	Account string
	Remote  string // whom we solicited, "" for a leaf that was accepted
	// Isolated says that one end is not told what other leafs want.
	Isolated bool
	Start    time.Time
	RTT      time.Duration
	Pending  int64 // bytes that wait to be sent
	// Messages and their bytes, header and payload, seen from here.
	InMsgs, OutMsgs, InBytes, OutBytes int64
	// WireIn and WireOut are the bytes of a compressed link as they travel; 0 where
	// nothing is compressed.
	WireIn, WireOut int64
	// Dropped is how many messages the link's limits kept from going.
	Dropped int64
	// Subs is how many subscriptions the peer announced, Subjects what they are, if
	// asked for.
	Subs     int
	Subjects []string
}

// Info describes l; subjects asks for what the peer announced.
func (l *Link) Info(subjects bool) LinkInfo {
	i := LinkInfo{
		CID: l.cid, Peer: l.peer, Account: l.acc.Name(), Isolated: l.peer.Isolate, Start: l.start, RTT: l.RTT(), Pending: l.conn.Pending(), Dropped: l.Dropped(),
		InMsgs: l.in.msgs.Load(), InBytes: l.in.bytes.Load(), OutMsgs: l.out.msgs.Load(), OutBytes: l.out.bytes.Load(), Subs: int(l.nsubs.Load()),
	}
	if l.remote != nil {
		i.Remote, i.Isolated = Shown(l.remote.URLs[0]), i.Isolated || l.remote.Isolate
	}
	if l.wire != nil {
		i.WireIn, i.WireOut = l.wire.in.Load(), l.wire.out.Load()
		i.Peer.Compression = effective(l.peer.Compression, l.RTT())
	}
	if subjects {
		i.Subjects = l.book.of(l)
	}
	return i
}

// Shown is u without its user, who may be a token.
func Shown(u *url.URL) string {
	c := *u
	c.User = nil
	return c.String()
}

// of returns the subjects that the peer of l announced.
func (b *book) of(l *Link) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for k, r := range b.rows {
		if r.links[l] > 0 {
			list = append(list, k.subject)
		}
	}
	return list
}

// RemoteInfo is what is known of a hub that is solicited.
type RemoteInfo struct {
	Remote     *Remote
	Account    string
	State      string // connecting, connected, waiting or disabled
	LastError  string // why it is not connected
	CID        uint64 // of its link, 0 for none
	Attempts   uint64
	Reconnects uint64 // links that ended
	Reasons    map[string]uint64
	// Missed counts messages that had interest only beyond a link that was down.
	Missed int64
	Since  time.Time // of the last link
	Found  int       // addresses that the hub named beside its own
}

// Remotes describes the hubs that are solicited, in the order of the options.
func (m *Manager) Remotes() []RemoteInfo {
	m.mu.Lock()
	remotes := m.remotes
	m.mu.Unlock()
	list := make([]RemoteInfo, 0, len(remotes))
	for _, r := range remotes {
		i := RemoteInfo{Remote: r.Remote, Account: r.acc.Name(), Missed: r.missed.Load()}
		r.mu.Lock()
		i.State, i.LastError, i.Attempts, i.Reconnects, i.Reasons = r.state, r.lastError, r.attempts, r.reconnects, maps.Clone(r.reasons)
		i.Since, i.Found = r.since, len(r.found)
		if r.link != nil {
			i.CID = r.link.cid
		}
		r.mu.Unlock()
		list = append(list, i)
	}
	return list
}

// Accepted counts the leafs that were let in since the start.
func (m *Manager) Accepted() uint64 { return m.accepted.Load() }
