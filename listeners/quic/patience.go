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

// parts is into how many parts a deadline is divided. Each counts if something
// came from the peer while it lasted.
const parts = 4

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
	heard := qc.ConnectionStats().PacketsReceived
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
		now := qc.ConnectionStats().PacketsReceived
		if k > 0 {
			alive = 0
		} else if now != heard {
			alive++
		}
		heard = now
	}
	return n, os.ErrDeadlineExceeded
}
