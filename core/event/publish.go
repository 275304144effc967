package event

import (
	"encoding/json"
	"time"

	"github.com/nats-io/nuid"

	"ganglion/core/monitor"
)

// publish publishes events until Close, and then those that are left.
func (s *Service) publish() {
	var batch []event
	for {
		select {
		case e := <-s.events:
			batch = s.drain(append(batch[:0], e))
			s.publishAll(batch)
		case <-s.stop:
			s.publishAll(s.drain(batch[:0]))
			return
		}
		clear(batch)
	}
}

// drain appends what waits, as much as there is at most at a time.
func (s *Service) drain(batch []event) []event {
	for len(batch) < maxEvents {
		select {
		case e := <-s.events:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// publishAll publishes a batch in order. Of an account's changes within it only
// the outcome is told: while connections come by the thousand nobody could use
// more.
func (s *Service) publishAll(batch []event) {
	var names []string
	seen := map[string]bool{}
	for _, e := range batch {
		if e.subject == "" && !seen[e.account] {
			seen[e.account] = true
			names = append(names, e.account)
		}
	}
	stats := s.stats(names)
	for _, e := range batch {
		if e.subject != "" {
			s.publishClient(&e)
			continue
		}
		if st, ok := stats[e.account]; ok {
			delete(stats, e.account)
			s.publishAccount(st, e.at)
		}
	}
}

// stats returns the counters of accounts by name.
func (s *Service) stats(names []string) map[string]monitor.AccountStat {
	if len(names) == 0 {
		return nil
	}
	by := make(map[string]monitor.AccountStat, len(names))
	for _, st := range s.opts.Source.AccountStatz(monitor.AccountStatzOptions{Accounts: names, IncludeUnused: true}).Accounts {
		by[st.Account] = st
	}
	return by
}

func (s *Service) head(kind string, at time.Time) head {
	return head{Type: kind, ID: nuid.Next(), Time: at.UTC(), Server: s.server()}
}

func (s *Service) publishClient(e *event) {
	h := s.head(e.kind, e.at)
	if e.kind == connectType {
		s.sendJSON(e.subject, &connectEvent{h, e.ended.Client})
		return
	}
	s.sendJSON(e.subject, &disconnectEvent{h, e.ended.Client, e.ended.Sent, e.ended.Received, e.ended.Reason})
}

func (s *Service) accountEvent(st monitor.AccountStat, at time.Time) *accountEvent {
	return &accountEvent{s.head(connsType, at), st}
}

func (s *Service) publishAccount(st monitor.AccountStat, at time.Time) {
	e := s.accountEvent(st, at)
	for i, subj := range accountSubjects(st.Account) {
		if i > 0 {
			e.Server = s.server()
		}
		s.sendJSON(subj, e)
	}
}

func (s *Service) sendJSON(subj string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.log.Error("system account: an event is no JSON", "subject", subj, "error", err)
		return
	}
	s.send(subj, b)
}

// announce publishes what concerns the server alone.
func (s *Service) announce(what string) {
	s.sendJSON("$SYS.SERVER."+s.opts.Identity.ID+"."+what, s.server())
}

// beat publishes what is published without an occasion, until Close.
func (s *Service) beat() {
	statsz, accounts := time.NewTimer(firstStatsz), time.NewTicker(connsInterval)
	defer statsz.Stop()
	defer accounts.Stop()
	pause := min(secondStatsz, s.opts.StatszInterval)
	for {
		select {
		case <-s.stop:
			return
		case <-statsz.C:
			if subj := "$SYS.SERVER." + s.opts.Identity.ID + ".STATSZ"; s.opts.Peer.Interested(subj) {
				s.sendJSON(subj, s.statsz())
			}
			statsz.Reset(pause)
			pause = min(2*pause, s.opts.StatszInterval)
		case now := <-accounts.C:
			s.remind(now)
		}
	}
}

// remind announces the accounts in use to those who want to know.
func (s *Service) remind(now time.Time) {
	z, err := s.opts.Source.Accountz(monitor.AccountzOptions{})
	if err != nil {
		return
	}
	var names []string
	for _, name := range z.Accounts {
		if s.accountWanted(name) {
			names = append(names, name)
		}
	}
	for _, st := range s.stats(names) {
		if st.TotalConns > 0 {
			s.publishAccount(st, now)
		}
	}
}
