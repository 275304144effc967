package quic

import (
	"net"
	"sync/atomic"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// Path is what is known of the way to a client, for monitoring.
type Path struct {
	RTT                      time.Duration // smoothed
	PacketsSent, PacketsLost uint64
	Migrations               uint64
	Streams, Lanes           int // open, of the QUIC connection; of the NATS connection
	Early                    bool
}

// Stats returns p by the names that monitoring has for it.
func (p Path) Stats() map[string]int64 {
	return map[string]int64{
		"rtt": int64(p.RTT), "packets_sent": int64(p.PacketsSent), "packets_lost": int64(p.PacketsLost),
		"migrations": int64(p.Migrations), "streams": int64(p.Streams), "lanes": int64(p.Lanes),
	}
}

// Way watches the path of a QUIC connection of a Port.
type Way struct {
	port   *Port
	qc     *quicgo.Conn
	remote atomic.Pointer[net.Addr] // as last seen
	moves  atomic.Uint64
}

// Watch watches qc, whose changes of address count for p.
func (p *Port) Watch(qc *quicgo.Conn) *Way {
	w := &Way{port: p, qc: qc}
	addr := qc.RemoteAddr()
	w.remote.Store(&addr)
	return w
}

// Look notes a change of the client's address.
func (w *Way) Look() {
	now := w.qc.RemoteAddr()
	old := w.remote.Load()
	if *old == now {
		return
	}
	moved := (*old).String() != now.String()
	if w.remote.CompareAndSwap(old, &now) && moved {
		w.moves.Add(1)
		w.port.migrations.Add(1)
		w.port.opts.Logger.Debug("quic connection migrated", "from", *old, "to", now)
	}
}

// Path returns what is known; the numbers of streams and lanes are the caller's.
func (w *Way) Path(streams, lanes int) Path {
	w.Look()
	s := w.qc.ConnectionStats()
	return Path{
		RTT: s.SmoothedRTT, PacketsSent: s.PacketsSent, PacketsLost: s.PacketsLost, Migrations: w.moves.Load(),
		Streams: streams, Lanes: lanes, Early: w.qc.ConnectionState().Used0RTT,
	}
}
