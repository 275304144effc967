package broker

import (
	"errors"
	"time"

	"ganglion/core/account"
	"ganglion/core/monitor"
	"ganglion/core/subject"
	"ganglion/core/wire"
)

// Varz returns the broker's state (monitor.Source).
func (b *Broker) Varz() *monitor.Varz {
	o, s, st := b.Options(), b.clients.Settings(), b.clients.Stats()
	pending, cuts := b.loop.PendingTotal()
	b.mu.Lock()
	loaded := b.loaded
	b.mu.Unlock()
	now := time.Now()
	slow := st.SlowPending + st.SlowDeadline
	return &monitor.Varz{
		ID: b.id, Name: s.Info.ServerName, Version: wire.Version, Proto: 1, GitCommit: o.GitCommit, GoVersion: s.Info.Go,
		Host: o.Host, Port: o.Port, AuthRequired: s.Info.AuthRequired,
		MaxConnections: o.MaxConnections, MaxSubscriptions: o.MaxSubscriptions, PingInterval: o.PingInterval, PingMax: o.PingMax,
		AuthTimeout: s.Auth.Timeout().Seconds(), MaxControlLine: o.MaxControlLine, MaxPayload: o.MaxPayload, MaxPending: o.MaxPending,
		TLSTimeout: 2, WriteDeadline: o.WriteDeadline,
		Start: b.start.UTC(), Now: now.UTC(), Uptime: monitor.Uptime(now.Sub(b.start)),
		Connections: st.Open, TotalConnections: st.Accepted,
		InMsgs: st.InMsgs, InBytes: st.InBytes, InClientMsgs: st.InMsgs, InClientBytes: st.InBytes,
		OutMsgs: st.OutMsgs, OutBytes: st.OutBytes, OutClientMsgs: st.OutMsgs, OutClientBytes: st.OutBytes,
		SlowConsumers: int64(slow), StaleConnections: int64(st.Stale), StalledClients: int64(st.Stalled),
		Subscriptions: b.global.Stats().Count, ConfigLoadTime: loaded.UTC(), ConfigDigest: o.ConfigDigest, Tags: o.Tags, Metadata: o.Metadata,
		FeatureFlags: map[string]bool{
			"js_ack_fc_v2": false, "js_api_reply_v2": false, "js_raft_delete_range": true, "js_snapshot_sources": false,
		},
		SystemAccount:     "$SYS",
		SlowConsumerStats: monitor.KindCounts{Clients: slow}, StaleStats: monitor.KindCounts{Clients: st.Stale},
		GanglionVersion: o.Version, PendingBytes: pending, MaxPendingTotal: max(o.MaxPendingTotal, 0), PendingCuts: cuts,
	}
}

// Conns returns the connections that q asks for (monitor.Source).
func (b *Broker) Conns(q monitor.ConnQuery) []monitor.ConnInfo {
	var list []monitor.ConnInfo
	if !isAccount(q.Account) {
		return nil
	}
	if q.Open {
		for _, c := range b.clients.Clients() {
			if q.CID == 0 || q.CID == c.CID() {
				list = append(list, c.Info(q.Subs))
			}
		}
	}
	if q.Closed {
		for _, c := range b.clients.ClosedClients() {
			if q.CID == 0 || q.CID == c.CID {
				list = append(list, c)
			}
		}
	}
	return list
}

// NumConns counts the connections that q asks for, whatever its CID
// (monitor.Source).
func (b *Broker) NumConns(q monitor.ConnQuery) int {
	n := 0
	if !isAccount(q.Account) {
		return 0
	}
	if q.Open {
		n += len(b.clients.Clients())
	}
	if q.Closed {
		n += len(b.clients.ClosedClients())
	}
	return n
}

// isAccount reports whether acc, in a query, is where connections are.
func isAccount(acc string) bool { return acc == "" || acc == account.Global }

// SublistStats returns the counters of the interest (monitor.Source).
func (b *Broker) SublistStats() *monitor.Subsz {
	s := b.global.Stats()
	return &monitor.Subsz{NumSubs: s.Count, NumInserts: s.Inserts, NumRemoves: s.Removes, NumMatches: s.Matches}
}

// Subscriptions returns subscriptions of clients (monitor.Source).
func (b *Broker) Subscriptions(acc, test string) []monitor.SubDetail {
	if !isAccount(acc) {
		return nil
	}
	all := b.clients.Subscriptions()
	list := all[:0]
	for _, s := range all {
		if test == "" || subject.Match(s.Subject, test) {
			list = append(list, s)
		}
	}
	return list
}

// ValidLiteral reports whether subj may be published to (monitor.Source).
func (b *Broker) ValidLiteral(subj string) bool { return subject.ValidPublish([]byte(subj)) }

// Healthy returns why the broker is not serving, or nil (monitor.Source).
func (b *Broker) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return errors.New("shutting down")
	case b.lameDuck:
		return errors.New("in lame duck mode")
	}
	return nil
}

// ClosedByReason counts ended connections (monitor.Reasons).
func (b *Broker) ClosedByReason() map[string]uint64 { return b.clients.ClosedByReason() }

// Monitor returns the HTTP handler that shows b.
func (b *Broker) Monitor(o monitor.Options) *monitor.Handler { return monitor.New(b, o) }
