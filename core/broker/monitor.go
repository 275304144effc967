package broker

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/account"
	"ganglion/core/event"
	"ganglion/core/monitor"
	"ganglion/core/operator"
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
	tokens, claims := operators(o.Auth.Operator)
	return &monitor.Varz{
		OperatorsJWT: tokens, OperatorsClaim: claims,
		ID: b.ID(), Name: s.Info.ServerName, Version: wire.Version, Proto: 1, GitCommit: o.GitCommit, GoVersion: s.Info.Go,
		Host: o.Host, Port: o.Port, AuthRequired: s.Auth.Required(""),
		MaxConnections: o.MaxConnections, MaxSubscriptions: o.MaxSubscriptions, PingInterval: o.PingInterval, PingMax: o.PingMax,
		AuthTimeout: s.Auth.Timeout("").Seconds(), MaxControlLine: o.MaxControlLine, MaxPayload: o.MaxPayload, MaxPending: o.MaxPending,
		TLSTimeout: 2, WriteDeadline: o.WriteDeadline,
		Start: b.start.UTC(), Now: now.UTC(), Uptime: monitor.Uptime(now.Sub(b.start)),
		Leafs: len(b.links()), Connections: st.Open, TotalConnections: st.Accepted,
		InMsgs: st.InMsgs, InBytes: st.InBytes, InClientMsgs: st.InMsgs, InClientBytes: st.InBytes,
		OutMsgs: st.OutMsgs, OutBytes: st.OutBytes, OutClientMsgs: st.OutMsgs, OutClientBytes: st.OutBytes,
		SlowConsumers: int64(slow), StaleConnections: int64(st.Stale), StalledClients: int64(st.Stalled),
		Subscriptions: b.SublistStats("").NumSubs, ConfigLoadTime: loaded.UTC(), ConfigDigest: o.ConfigDigest(), Tags: o.Tags, Metadata: o.Metadata,
		FeatureFlags: featureFlags(), SystemAccount: b.SystemAccount(),
		SlowConsumerStats: monitor.KindCounts{Clients: slow}, StaleStats: monitor.KindCounts{Clients: st.Stale},
		GanglionVersion: o.Version, PendingBytes: pending, MaxPendingTotal: max(o.MaxPendingTotal, 0), PendingCuts: cuts, RateLimits: b.rateLimits(),
	}
}

// operators returns the operators' JWTs, as far as t tells them, and what they
// say.
func operators(t *operator.Trust) (tokens []string, claims []any) {
	if t == nil {
		return nil, nil
	}
	for _, token := range t.Operators() {
		if c, err := jwt.DecodeOperatorClaims(token); err == nil {
			tokens, claims = append(tokens, token), append(claims, c)
		}
	}
	return tokens, claims
}

// featureFlags are what nats-server's are called, of which none does anything
// here yet.
func featureFlags() map[string]bool {
	return map[string]bool{"js_ack_fc_v2": false, "js_api_reply_v2": false, "js_raft_delete_range": true, "js_snapshot_sources": false}
}

// Conns returns the connections that q asks for (monitor.Source).
func (b *Broker) Conns(q monitor.ConnQuery) []monitor.ConnInfo {
	var list []monitor.ConnInfo
	if q.Open {
		for _, c := range b.clients.Clients() {
			if (q.CID == 0 || q.CID == c.CID()) && (q.Account == "" || q.Account == c.Account().Name()) {
				list = append(list, c.Info(q.Subs))
			}
		}
	}
	if q.Closed {
		for _, c := range b.clients.ClosedClients() {
			if (q.CID == 0 || q.CID == c.CID) && (q.Account == "" || q.Account == c.Account) {
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
	if q.Open {
		for _, c := range b.clients.Clients() {
			if q.Account == "" || q.Account == c.Account().Name() {
				n++
			}
		}
	}
	if q.Closed {
		for _, c := range b.clients.ClosedClients() {
			if q.Account == "" || q.Account == c.Account {
				n++
			}
		}
	}
	return n
}

// SublistStats returns the counters of the interest in the account acc, or of all
// (monitor.Source).
func (b *Broker) SublistStats(acc string) *monitor.Subsz {
	accounts := b.accounts.All()
	if acc != "" {
		accounts = nil
		if a := b.accounts.Get(acc); a != nil {
			accounts = append(accounts, a)
		}
	}
	z := &monitor.Subsz{}
	for _, a := range accounts {
		s := a.Stats()
		z.NumSubs += s.Count
		z.NumInserts += s.Inserts
		z.NumRemoves += s.Removes
		z.NumMatches += s.Matches
	}
	return z
}

// Subscriptions returns subscriptions of clients (monitor.Source).
func (b *Broker) Subscriptions(acc, test string) []monitor.SubDetail {
	return slices.DeleteFunc(b.clients.Subscriptions(), func(s monitor.SubDetail) bool {
		return acc != "" && s.Account != acc || test != "" && !subject.Match(s.Subject, test)
	})
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

// Monitor returns the HTTP handler that shows b. VARZ of the system account shows
// what the last one knows of its listeners.
func (b *Broker) Monitor(o monitor.Options) *monitor.Handler {
	h := monitor.New(b, o)
	h.Register(b.leafSamples)
	b.events.shown.Store(h)
	return h
}

// SystemAccount returns the system account's name (monitor.Source).
func (b *Broker) SystemAccount() string { return b.accounts.System().Name() }

// AccountNames returns the names of all accounts (monitor.Source).
func (b *Broker) AccountNames() []string {
	var names []string
	for _, a := range b.accounts.All() {
		names = append(names, a.Name())
	}
	return names
}

// Account returns what is known of an account, nil if there is none of that name
// (monitor.Source).
func (b *Broker) Account(name string) *monitor.AccountInfo {
	a := b.accounts.Get(name)
	if a == nil {
		return nil
	}
	s, st := a.Spec(), a.Stats()
	i := &monitor.AccountInfo{
		Name: name, Updated: s.Updated.UTC(), IsSystem: a == b.accounts.System(), Complete: true,
		Expired: !s.Expires.IsZero() && !time.Now().Before(s.Expires),
		Clients: b.NumConns(monitor.ConnQuery{Open: true, Account: name}), Leafs: b.linksIn(a), NumSubs: st.Count,
		Mappings: mapped(s.Mappings), JWT: s.JWT, IssuerKey: s.Issuer, NameTag: nameTag(s),
		Sublist: &monitor.SublistStats{NumSubs: st.Count, NumInserts: st.Inserts, NumRemoves: st.Removes, NumMatches: st.Matches},
	}
	if c, err := jwt.DecodeAccountClaims(s.JWT); err == nil {
		i.Claims, i.Tags = c, c.Tags
	}
	if s.Updated.IsZero() {
		i.Updated = b.start.UTC()
	}
	for k := range s.Exports {
		i.Exports = append(i.Exports, exported(&s.Exports[k]))
	}
	if i.IsSystem {
		i.Exports, i.Imports = systemServices(name)
	}
	services := map[*account.Import]bool{}
	for _, sub := range a.ServiceImports() {
		s := sub.Via.Service
		services[s.Import] = true
		i.Imports = append(i.Imports, imported(s.Import, s.Near))
	}
	for k := range s.Imports {
		imp := &s.Imports[k]
		if services[imp] {
			continue
		}
		m := imported(imp, cmp.Or(imp.To, imp.Subject))
		m.Invalid = imp.Kind == account.Service // it would be among the others
		i.Imports = append(i.Imports, m)
	}
	return i
}

// systemServices returns what the system account, called name, exports to all
// others, and that it may ask after its own users.
func systemServices(name string) (exports []monitor.Export, imports []monitor.Import) {
	for _, imp := range event.Imports() {
		of := func(who string) string { return strings.Replace(imp.Subject, "{account}", who, 1) }
		e := exported(&account.Export{Kind: account.Service, Subject: of("*"), Response: account.Streamed})
		if imp.Share {
			e.ResponseType = account.Singleton.String()
			imports = append(imports, imported(&account.Import{Kind: account.Service, Account: name, Subject: of(name), Share: true}, imp.To))
		}
		if !slices.ContainsFunc(exports, func(x monitor.Export) bool { return x.Subject == e.Subject }) {
			exports = append(exports, e)
		}
	}
	return exports, imports
}

// nameTag returns the name of an account for people.
func nameTag(s *account.Spec) string { return cmp.Or(s.NameTag, s.Name) }

func exported(e *account.Export) monitor.Export {
	x := monitor.Export{
		Subject: e.Subject, Type: e.Kind.String(), TokenRequired: e.Token, Revocations: e.Revoked,
		TokenPosition: e.TokenPosition, AllowTrace: e.AllowTrace, Accounts: e.Accounts,
	}
	if e.Kind == account.Service {
		if x.ResponseType = e.Response.String(); e.Response == account.Streamed {
			x.ResponseType = "Streamed"
		}
	}
	if l := e.Latency; l != nil {
		x.Latency = &monitor.Latency{Sampling: l.Sampling, Subject: l.Subject}
	}
	return x
}

func imported(i *account.Import, near string) monitor.Import {
	m := monitor.Import{Subject: i.Subject, Account: i.Account, LocalSubject: near, Type: i.Kind.String(), AllowTrace: i.AllowTrace, Share: i.Share}
	if i.Kind == account.Service {
		m.To = near
	}
	return m
}

// mapped returns mappings by their source, as far as they tell it.
func mapped(ms []*subject.Mapping) map[string][]monitor.Mapped {
	by := map[string][]monitor.Mapped{}
	for _, d := range ms {
		src, rest := d.Source(), 100 // what is over keeps its subject
		for _, to := range d.Dests() {
			by[src] = append(by[src], monitor.Mapped{Subject: to.Subject, Weight: to.Weight, Cluster: to.Cluster})
			if rest -= to.Weight; to.Subject == src {
				rest = 0
			}
		}
		if rest > 0 {
			by[src] = append(by[src], monitor.Mapped{Subject: src, Weight: rest})
		}
	}
	return by
}

// AccountStats returns the counters of accounts (monitor.Source).
func (b *Broker) AccountStats(names []string) []monitor.AccountStat {
	var list []monitor.AccountStat
	at := map[*account.Account]int{}
	for _, a := range b.accounts.All() {
		if names != nil && !slices.Contains(names, a.Name()) {
			continue
		}
		at[a] = len(list)
		list = append(list, monitor.AccountStat{Account: a.Name(), Name: nameTag(a.Spec()), NumSubs: a.Stats().Count})
	}
	for a, t := range b.clients.EndedIn() {
		if k, ok := at[a]; ok {
			list[k].Sent.MsgBytes = monitor.MsgBytes{Msgs: t.OutMsgs, Bytes: t.OutBytes}
			list[k].Received.MsgBytes = monitor.MsgBytes{Msgs: t.InMsgs, Bytes: t.InBytes}
			list[k].SlowConsumers = t.Slow
		}
	}
	for _, c := range b.clients.Clients() {
		k, ok := at[c.Account()]
		if !ok {
			continue
		}
		s, i := &list[k], c.Info(false)
		s.Conns++
		s.TotalConns++
		s.Sent.Msgs += i.OutMsgs
		s.Sent.Bytes += i.OutBytes
		s.Received.Msgs += i.InMsgs
		s.Received.Bytes += i.InBytes
	}
	for _, l := range b.links() {
		k, ok := at[l.Account()]
		if !ok {
			continue
		}
		s, i := &list[k], l.Info(false)
		s.Leafs++
		s.TotalConns++
		for _, d := range []struct {
			to          *monitor.DataStats
			msgs, bytes int64
		}{{&s.Sent, i.OutMsgs, i.OutBytes}, {&s.Received, i.InMsgs, i.InBytes}} {
			d.to.Msgs += d.msgs
			d.to.Bytes += d.bytes
			d.to.Leafs.Msgs += d.msgs
			d.to.Leafs.Bytes += d.bytes
		}
	}
	return list
}
