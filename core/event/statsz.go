package event

import (
	"time"

	"ganglion/core/monitor"
)

// serverStats is STATSZ.
type serverStats struct {
	Server *server `json:"server"`
	Stats  stats   `json:"statsz"`
}

type stats struct {
	Start            time.Time           `json:"start"`
	Mem              int64               `json:"mem"`
	Cores            int                 `json:"cores"`
	CPU              float64             `json:"cpu"`
	Connections      int                 `json:"connections"`
	TotalConnections uint64              `json:"total_connections"`
	ActiveAccounts   int                 `json:"active_accounts"`
	Subscriptions    int                 `json:"subscriptions"`
	Sent             monitor.MsgBytes    `json:"sent"`
	SentToClients    monitor.MsgBytes    `json:"sent_to_clients"`
	Received         monitor.MsgBytes    `json:"received"`
	ReceivedClients  monitor.MsgBytes    `json:"received_from_clients"`
	SlowConsumers    int64               `json:"slow_consumers"`
	SlowStats        *monitor.KindCounts `json:"slow_consumer_stats,omitempty"`
	Stale            int64               `json:"stale_connections,omitempty"`
	StaleStats       *monitor.KindCounts `json:"stale_connection_stats,omitempty"`
	ActiveServers    int                 `json:"active_servers"`
	MemLimit         int64               `json:"gomemlimit,omitempty"`
	MaxProcs         int                 `json:"gomaxprocs"`
}

func (s *Service) statsz() *serverStats {
	v := s.opts.Source.Varz()
	out := monitor.MsgBytes{Msgs: v.OutMsgs, Bytes: v.OutBytes}
	in := monitor.MsgBytes{Msgs: v.InMsgs, Bytes: v.InBytes}
	z := stats{
		Start: v.Start, Mem: v.Mem, Cores: v.Cores, CPU: v.CPU, Connections: v.Connections, TotalConnections: v.TotalConnections,
		ActiveAccounts: len(s.opts.Source.AccountStatz(monitor.AccountStatzOptions{}).Accounts),
		Subscriptions:  v.Subscriptions, Sent: out, SentToClients: out, Received: in, ReceivedClients: in,
		SlowConsumers: v.SlowConsumers, Stale: v.StaleConnections, ActiveServers: 1, MemLimit: v.MemLimit, MaxProcs: v.MaxProcs,
	}
	if v.SlowConsumers > 0 {
		z.SlowStats = &v.SlowConsumerStats
	}
	if v.StaleConnections > 0 {
		z.StaleStats = &v.StaleStats
	}
	return &serverStats{s.server(), z}
}
