package quic

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// Patience makes of a write deadline, which says when a peer that does not take
// what it is sent is cut, one that passes only while the peer is heard from: a link
// that is cut for a while is not the peer's fault, and its end is the idle
// timeout's matter. The zero value has no deadline.
type Patience struct{ until atomic.Int64 }

// parts is into how many parts a deadline is divided. Each counts unless it was
// spent asking in vain.
const parts = 4

// probes is how many packets that nobody answers make a link count as cut. One may
// be an acknowledgement, which is never answered.
const probes = 2

// stream is what Patience needs of a stream that is written.
type stream interface {
	Write(p []byte) (int, error)
	SetWriteDeadline(t time.Time) error
}

// SetDeadline says by when writes must have got on; the zero time is never.
func (w *Patience) SetDeadline(s stream, t time.Time) error {
	if t.IsZero() {
		w.until.Store(0)
		return s.SetWriteDeadline(t)
	}
	w.until.Store(t.UnixNano())
	d := time.Until(t)
	return s.SetWriteDeadline(time.Now().Add(max(d/parts, 0)))
}

// Write writes p to s, a stream of qc.
func (w *Patience) Write(qc *quicgo.Conn, s stream, p []byte) (int, error) {
	until := w.until.Load()
	n, err := s.Write(p)
	if until == 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	part := max(time.Until(time.Unix(0, until))/(parts-1), 0)
	was := qc.ConnectionStats()
	for alive := 1; alive < parts && part > 0; {
		s.SetWriteDeadline(time.Now().Add(part))
		k, err := s.Write(p[n:])
		n += k
		if w.until.Load() != until { // somebody wants it to end, or to go on for longer
			return n, err
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		now := qc.ConnectionStats()
		switch {
		case k > 0:
			alive, was = 0, now
		case now.PacketsReceived != was.PacketsReceived:
			alive, was = alive+1, now
		case now.PacketsSent-was.PacketsSent < probes:
			alive++ // nothing was sent that it had to answer: it is its turn
		}
	}
	return n, os.ErrDeadlineExceeded
}
