package quic

import (
	"sync"
	"time"

	quicgo "github.com/quic-go/quic-go"
)

// How long what has no stream is kept: one that the client left may be wanted
// again, one whose last stream the server ended has but to deliver its last words.
const (
	lingerIdle  = 10 * time.Second
	lingerEnded = time.Second
	lingerMin   = 20 * time.Millisecond
)

// Linger counts the streams of a QUIC connection, or of a session within one, and
// ends it some time after the last of them. Create it with NewLinger.
type Linger struct {
	done   <-chan struct{}
	qc     *quicgo.Conn
	expire func(code uint64, text string)

	mu      sync.Mutex
	streams int
	timer   *time.Timer
	stopped bool
	code    uint64 // of the stream that ended last
	text    string
}

// NewLinger has expire called, on a goroutine of its own, when there was no stream
// for long enough: with what End said last, or that no stream came in time. When
// done is closed, that is as soon as what was sent on qc can have arrived.
func NewLinger(done <-chan struct{}, qc *quicgo.Conn, expire func(code uint64, text string)) *Linger {
	return &Linger{done: done, qc: qc, expire: expire}
}

// Begin counts a stream and returns how many there are.
func (l *Linger) Begin() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams++
	if l.timer != nil {
		l.timer.Stop()
	}
	return l.streams
}

// End counts a stream that ended, for the reason given.
func (l *Linger) End(code uint64, text string) {
	l.mu.Lock()
	l.code, l.text = code, text
	l.streams--
	l.mu.Unlock()
	l.Wake()
}

// Streams returns how many streams there are.
func (l *Linger) Streams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

// Wake looks whether it is time to end: after done was closed.
func (l *Linger) Wake() {
	d := lingerIdle
	select {
	case <-l.done: // what was sent last needs a round trip, and perhaps another
		d = max(3*l.qc.ConnectionStats().SmoothedRTT, lingerMin)
	default:
		l.mu.Lock()
		if l.code != CodeNone {
			d = lingerEnded
		}
		l.mu.Unlock()
	}
	l.Idle(d)
}

// Idle ends after d, unless there is a stream or one comes.
func (l *Linger) Idle(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped || l.streams > 0:
	case l.timer == nil:
		l.timer = time.AfterFunc(d, l.over)
	default:
		l.timer.Reset(d)
	}
}

func (l *Linger) over() {
	l.mu.Lock()
	left, code, text := l.streams, l.code, l.text
	stopped := l.stopped
	l.mu.Unlock()
	if left > 0 || stopped {
		return
	}
	if code == CodeNone && text == "" {
		select {
		case <-l.done:
			code, text = CodeClosed, "Listener Closed"
		default:
			code, text = CodeTimeout, "No Stream"
		}
	}
	l.expire(code, text)
}

// Stop has expire not called any more, once a call that runs has returned.
func (l *Linger) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
