package quic

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	mergeBuffer = 16 << 10
	// maxOp bounds an op that is gathered: the largest max_payload that there may
	// be, and a line in front of it.
	maxOp = 64<<20 + 64<<10
)

var errOp = errors.New("quic: an op of the server makes no sense")

// whole returns how many bytes at the front of b are whole ops of a NATS server.
func whole(b []byte) (n int, err error) {
	for n < len(b) {
		i := bytes.IndexByte(b[n:], '\n')
		if i < 0 {
			return n, nil
		}
		end := n + i + 1
		if isMsg(b[n:]) {
			size, ok := lastNumber(b[n : end-1])
			if !ok || size > maxOp {
				return n, errOp
			}
			end += size + 2
		}
		if end > len(b) {
			return n, nil
		}
		n = end
	}
	return n, nil
}

// isMsg reports whether a line begins with MSG or HMSG.
func isMsg(line []byte) bool {
	if len(line) > 0 && line[0]|0x20 == 'h' {
		line = line[1:]
	}
	return len(line) > 3 && line[0]|0x20 == 'm' && line[1]|0x20 == 's' && line[2]|0x20 == 'g' && (line[3] == ' ' || line[3] == '\t')
}

// lastNumber returns the number that a line ends with.
func lastNumber(line []byte) (n int, ok bool) {
	line = bytes.TrimRight(line, " \t\r")
	i := bytes.LastIndexAny(line, " \t") + 1
	if i == 0 || i == len(line) || len(line)-i > 9 {
		return 0, false
	}
	for _, d := range line[i:] {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, true
}

// merger puts the whole ops of several streams into one.
type merger struct {
	ops  chan []byte
	done chan struct{} // closed by stop
	once sync.Once
	wg   sync.WaitGroup

	mu       sync.Mutex
	err      error         // of the connection's own stream
	main     chan struct{} // closed when that has ended
	deadline *time.Timer
	expired  chan struct{}

	reading sync.Mutex
	rest    []byte // guarded by reading
}

func newMerger() *merger {
	return &merger{ops: make(chan []byte), done: make(chan struct{}), main: make(chan struct{}), expired: make(chan struct{})}
}

// read goes on with the connection's own stream.
func (m *merger) read(r io.Reader) {
	m.wg.Go(func() {
		err := m.pump(r)
		m.mu.Lock()
		m.err = err
		m.mu.Unlock()
		close(m.main)
	})
}

// pump hands on the whole ops of r, and returns its error.
func (m *merger) pump(r io.Reader) error {
	var buf []byte
	for {
		if cap(buf)-len(buf) < mergeBuffer/2 {
			buf = append(make([]byte, 0, max(2*len(buf), mergeBuffer)), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		k, bad := whole(buf)
		if k > 0 {
			select {
			case m.ops <- buf[:k:k]:
			case <-m.done:
				return net.ErrClosed
			}
			buf = append([]byte(nil), buf[k:]...)
		}
		switch {
		case bad != nil:
			return bad
		case err != nil:
			return err
		case len(buf) > maxOp:
			return errOp
		}
	}
}

// Read returns bytes of whole ops.
func (m *merger) Read(p []byte) (int, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	for len(m.rest) == 0 {
		m.mu.Lock()
		expired := m.expired
		m.mu.Unlock()
		select {
		case <-expired:
			return 0, os.ErrDeadlineExceeded
		default:
		}
		select {
		case m.rest = <-m.ops: // before the end of the connection's own stream
			continue
		default:
		}
		select {
		case m.rest = <-m.ops:
		case <-m.main:
			m.mu.Lock()
			defer m.mu.Unlock()
			return 0, m.err
		case <-m.done:
			return 0, net.ErrClosed
		case <-expired:
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// setDeadline bounds Read.
func (m *merger) setDeadline(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deadline != nil && !m.deadline.Stop() {
		<-m.expired // it has fired: the channel is, or is about to be, closed
	}
	m.deadline = nil
	select {
	case <-m.expired:
		m.expired = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	expired := m.expired
	if d := time.Until(t); d > 0 {
		m.deadline = time.AfterFunc(d, func() { close(expired) })
		return
	}
	close(expired)
}

// drain throws away what still comes and calls over when nothing does.
func (m *merger) drain(over func()) {
	m.wg.Go(func() {
		ended := m.main
		for {
			select {
			case <-m.ops:
			case <-ended:
				over()
				ended = nil // lanes may still have something
			case <-m.done:
				return
			}
		}
	})
}

// stop ends m. Its goroutines end with their streams.
func (m *merger) stop() { m.once.Do(func() { close(m.done) }) }
