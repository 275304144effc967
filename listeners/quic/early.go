package quic

import (
	"crypto/tls"
	"sync"
	"time"
)

// singleUse gives each session out once: a ticket that is used twice would let
// who listens link the connections (RFC 8446, C.4), and quic-go writes to it.
type singleUse struct {
	mu    sync.Mutex
	cache tls.ClientSessionCache
	last  *tls.SessionState // given out last
}

func (u *singleUse) Get(key string) (*tls.ClientSessionState, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s, ok := u.cache.Get(key)
	if ok {
		u.cache.Put(key, nil)
	}
	if !ok || s == nil {
		return s, false
	}
	_, u.last, _ = s.ResumptionState()
	return s, true
}

func (u *singleUse) Put(key string, s *tls.ClientSessionState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cache.Put(key, s)
}

// early reports whether the handshake that u is for may be sending early data.
func (u *singleUse) early() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last != nil && u.last.EarlyData
}

// holdMax bounds how long a handshake is held; never is it anywhere near, unless
// the session is of no use after all.
const holdMax = 100 * time.Millisecond

// hold returns when the stream for the preamble is open. A handshake with early
// data is held up, in its VerifyConnection, by that: with the server's answer
// quic-go replaces what it remembers of the server's limits, which whoever opens
// a stream at that moment reads without a lock.
func (s *Session) hold() {
	t := time.NewTimer(holdMax)
	defer t.Stop()
	select {
	case <-s.ready:
	case <-s.ctx.Done():
	case <-t.C:
	}
}

// reserve opens the stream for the preamble, if that may travel early, and lets
// the handshake go on.
func (s *Session) reserve() {
	select {
	case <-s.qc.HandshakeComplete():
	default:
		s.first, _ = s.qc.OpenStream() // nil where the server allows none: then Open waits
	}
	close(s.ready)
}
