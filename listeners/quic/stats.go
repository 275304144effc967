package quic

// Stats are counters of a Port.
type Stats struct {
	Conns, Handshakes        int    // open, and of these in their handshake
	Accepted, Refused        uint64 // connections
	Retried, Failed          uint64 // made to show their address; handshakes that failed
	Resumed, Early           uint64 // sessions taken up again; with early data
	Malformed                uint64 // streams without a preamble
	Migrations               uint64 // changes of a client's address
	PacketsSent, PacketsLost uint64
}

// Stats returns the counters of p. Packets of open connections are included.
func (p *Port) Stats() Stats {
	s := Stats{
		Conns: int(p.conns.Load()), Handshakes: int(p.handshakes.Load()), Accepted: p.accepted.Load(), Refused: p.refused.Load(),
		Retried: p.retried.Load(), Failed: p.failed.Load(), Resumed: p.resumed.Load(), Early: p.early.Load(), Malformed: p.odd.Load(),
		Migrations: p.migrations.Load(), PacketsSent: p.sent.Load(), PacketsLost: p.lost.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for qc := range p.open {
		c := qc.ConnectionStats()
		s.PacketsSent += c.PacketsSent
		s.PacketsLost += c.PacketsLost
	}
	return s
}
