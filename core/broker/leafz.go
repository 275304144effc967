package broker

import (
	"ganglion/core/account"
	"ganglion/core/leaf"
	"ganglion/core/monitor"
)

// leafManager returns b.leafs, nil while b is being made.
func (b *Broker) leafManager() *leaf.Manager {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leafs
}

func (b *Broker) links() []*leaf.Link {
	if m := b.leafManager(); m != nil {
		return m.Links()
	}
	return nil
}

// Links returns the links to other servers (monitor.Source).
func (b *Broker) Links(subs bool) []monitor.LeafInfo {
	var list []monitor.LeafInfo
	for _, l := range b.links() {
		i := l.Info(subs)
		p := &i.Peer
		x := monitor.LeafInfo{
			CID: i.CID, Name: p.Name, IsSpoke: p.Hub, IsIsolated: i.Isolated, Account: i.Account, IP: p.IP, Port: p.Port,
			InMsgs: i.InMsgs, OutMsgs: i.OutMsgs, InBytes: i.InBytes, OutBytes: i.OutBytes, NumSubs: i.Subs, Subs: i.Subjects,
			Compression: string(p.Compression), Start: i.Start.UTC(), Remote: i.Remote, RemoteAccount: p.Account, Listener: p.Listener, User: p.User,
			Cluster: p.Cluster, Domain: p.Domain, PendingBytes: i.Pending, InWireBytes: i.WireIn, OutWireBytes: i.WireOut, Dropped: i.Dropped, Latency: i.RTT,
		}
		if x.Name == "" {
			x.Name = p.ServerID
		}
		if i.RTT > 0 {
			x.RTT = i.RTT.String()
		}
		if w := i.WireIn + i.WireOut; w > 0 {
			x.WireRatio = float64(i.InBytes+i.OutBytes) / float64(w)
		}
		list = append(list, x)
	}
	return list
}

// Remotes returns the hubs that are solicited (monitor.Source).
func (b *Broker) Remotes() []monitor.LeafRemote {
	m := b.leafManager()
	if m == nil {
		return nil
	}
	var list []monitor.LeafRemote
	for _, i := range m.Remotes() {
		r := monitor.LeafRemote{
			URLs: len(i.Remote.URLs), Discovered: i.Found, Account: i.Account, State: i.State, LastError: i.LastError, CID: i.CID,
			Attempts: i.Attempts, Reconnects: i.Reconnects, Reasons: i.Reasons, Missed: i.Missed,
		}
		if !i.Since.IsZero() {
			r.Since = i.Since.UTC()
		}
		if len(i.Remote.URLs) > 0 {
			r.URL = leaf.Shown(i.Remote.URLs[0])
		}
		list = append(list, r)
	}
	return list
}

// linksIn counts the links of an account.
func (b *Broker) linksIn(a *account.Account) int {
	n := 0
	for _, l := range b.links() {
		if l.Account() == a {
			n++
		}
	}
	return n
}

// leafSamples are the links' metrics.
func (b *Broker) leafSamples() []monitor.Sample {
	return monitor.LeafSamples(b.Links(false), b.Remotes())
}
