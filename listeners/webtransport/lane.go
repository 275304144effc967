package webtransport

import (
	"errors"
	"net"
	"sync"
	"time"

	wt "github.com/quic-go/webtransport-go"

	"ganglion/listeners/quic"
)

// errNoLane is returned by OpenLane where there can't be another.
var errNoLane = errors.New("webtransport: no further lane")

// TakesLanes reports whether OpenLane may be called.
func (c *Conn) TakesLanes() bool { return c.pre.Lanes && c.s.opts.MaxLanes > 0 }

// OpenLane opens a stream to the client beside this one: only Write, Goodbye,
// Close, addresses and the deadline of writes are of use on it. It does not block;
// an error means that the client allows no further one at the moment.
func (c *Conn) OpenLane() (net.Conn, error) {
	if !c.TakesLanes() {
		return nil, errNoLane
	}
	if int(c.lanes.Add(1)) > c.s.opts.MaxLanes {
		c.lanes.Add(-1)
		return nil, errNoLane
	}
	str, err := c.s.s.OpenUniStream()
	if err != nil {
		c.lanes.Add(-1)
		return nil, err
	}
	l := &lane{c: c, str: str}
	if _, err := str.Write(quic.AppendLaneHead(nil, c.pre.Number)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// lane is a unidirectional stream of a connection.
type lane struct {
	c        *Conn
	str      *wt.SendStream
	write    sync.Mutex
	patience quic.Patience
	once     sync.Once

	mu     sync.Mutex
	code   uint64
	abrupt bool
}

func (l *lane) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

func (l *lane) Write(p []byte) (int, error) {
	l.write.Lock()
	defer l.write.Unlock()
	return l.patience.Write(l.c.s.v.qc, l.str, p)
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
			l.str.CancelWrite(wt.StreamErrorCode(code))
		}
		l.SetWriteDeadline(past) // as in Conn.Close
		l.c.lanes.Add(-1)
	})
	return nil
}

func (l *lane) LocalAddr() net.Addr  { return l.c.LocalAddr() }
func (l *lane) RemoteAddr() net.Addr { return l.c.RemoteAddr() }

func (l *lane) SetDeadline(t time.Time) error      { return l.SetWriteDeadline(t) }
func (l *lane) SetReadDeadline(time.Time) error    { return nil }
func (l *lane) SetWriteDeadline(t time.Time) error { return l.patience.SetDeadline(l.str, t) }
