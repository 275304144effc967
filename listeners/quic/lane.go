package quic

import (
	"errors"
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// lane is a unidirectional stream of a connection.
type lane struct {
	*Conn    // for its addresses
	str      *quicgo.SendStream
	write    sync.Mutex
	patience Patience
	load     int  // of writes, in bytes, by the last few; guarded by write
	heavy    bool // guarded by write
	once     sync.Once

	mu     sync.Mutex
	code   uint64
	abrupt bool
}

func (l *lane) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// Urgency of lanes (RFC 9218; a connection's own stream has 3): where there is no
// room for all, a lane that carries little at a time goes first, so that a large
// feed holds up no small one.
const (
	urgencyLight = 2
	urgencyHeavy = 5
	heavyWrite   = 1 << 10 // bytes
)

func (l *lane) Write(p []byte) (int, error) {
	l.write.Lock()
	defer l.write.Unlock()
	l.load += (len(p) - l.load) / 4
	if heavy := l.load > heavyWrite; heavy != l.heavy {
		l.heavy = heavy
		l.str.SetPriority(l.urgency(), true)
	}
	return l.patience.Write(l.s.qc, l.str, p)
}

func (l *lane) urgency() int8 {
	if l.heavy {
		return urgencyHeavy
	}
	return urgencyLight
}

func (l *lane) Goodbye(code uint64, _ string, abrupt bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.code, l.abrupt = code, abrupt
}

func (l *lane) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		code, abrupt := l.code, l.abrupt
		l.mu.Unlock()
		if !abrupt && l.write.TryLock() {
			l.str.Close()
			l.write.Unlock()
		} else {
			l.str.CancelWrite(quicgo.StreamErrorCode(code))
		}
		l.lanes.Add(-1)
	})
	return nil
}

func (l *lane) SetDeadline(t time.Time) error      { return l.SetWriteDeadline(t) }
func (l *lane) SetReadDeadline(time.Time) error    { return nil }
func (l *lane) SetWriteDeadline(t time.Time) error { return l.patience.SetDeadline(l.str, t) }
