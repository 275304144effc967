package listeners_test

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"ganglion/listeners"
)

// fullConn offers all that a socket does.
type fullConn struct {
	*peerConn
	did []string
}

func (c *fullConn) SyscallConn() (syscall.RawConn, error) {
	c.did = append(c.did, "SyscallConn")
	return nil, nil
}
func (c *fullConn) CloseRead() error  { c.did = append(c.did, "CloseRead"); return nil }
func (c *fullConn) CloseWrite() error { c.did = append(c.did, "CloseWrite"); return nil }

// halfConn offers what TLS does.
type halfConn struct{ *peerConn }

func (halfConn) CloseWrite() error { return io.ErrShortWrite }

// rawOnly offers a descriptor and no half-close.
type rawOnly struct{ *peerConn }

func (rawOnly) SyscallConn() (syscall.RawConn, error) { return nil, io.ErrNoProgress }

// The wrapper offers what the connection does, no more.
func TestWrapperOffers(t *testing.T) {
	_, s, accepted := gate(t, listeners.Limits{})
	give := func(c net.Conn) net.Conn {
		s.conns <- c
		got := <-accepted
		if got.(interface{ NetConn() net.Conn }).NetConn() != c {
			t.Fatalf("NetConn of %T", got)
		}
		return got
	}
	fresh := func() *peerConn {
		_, far := net.Pipe()
		return &peerConn{Conn: far, from: &net.TCPAddr{}}
	}
	type (
		closeReader interface{ CloseRead() error }
		closeWriter interface{ CloseWrite() error }
	)
	full := &fullConn{peerConn: fresh()}
	c := give(full)
	c.(syscall.Conn).SyscallConn()
	c.(closeReader).CloseRead()
	c.(closeWriter).CloseWrite()
	if fmt.Sprint(full.did) != "[SyscallConn CloseRead CloseWrite]" {
		t.Fatalf("did %v", full.did)
	}
	for _, tc := range []struct {
		name            string
		inner           net.Conn
		raw, read, half bool
	}{
		{"plain", fresh(), false, false, false},
		{"TLS", halfConn{fresh()}, false, false, true},
		{"descriptor", rawOnly{fresh()}, true, false, false},
	} {
		c := give(tc.inner)
		sc, raw := c.(syscall.Conn)
		_, read := c.(closeReader)
		cw, half := c.(closeWriter)
		if raw != tc.raw || read != tc.read || half != tc.half {
			t.Errorf("%s: raw %v, read %v, half %v", tc.name, raw, read, half)
		}
		if half && cw.CloseWrite() != io.ErrShortWrite {
			t.Errorf("%s: CloseWrite is not the connection's", tc.name)
		}
		if raw {
			if _, err := sc.SyscallConn(); err != io.ErrNoProgress {
				t.Errorf("%s: SyscallConn is not the connection's", tc.name)
			}
		}
	}
}

// patient is a connection whose Close waits for its peer.
type patient struct {
	*peerConn
	now chan struct{}
}

func (c patient) Close() error    { <-c.now; return nil }
func (c patient) CloseNow() error { close(c.now); return nil }

// A refusal does not wait for a peer.
func TestRefuseWaitsForNobody(t *testing.T) {
	_, s, accepted := gate(t, listeners.Limits{MaxConns: 1})
	s.arrive("10.0.0.1:1")
	first := <-accepted
	_, far := net.Pipe()
	c := patient{&peerConn{Conn: far, from: &net.TCPAddr{}}, make(chan struct{})}
	s.conns <- c
	<-c.now
	h := hesitant{&peerConn{Conn: far, from: &net.TCPAddr{}}, make(chan struct{})}
	s.conns <- h
	<-h.late
	first.Close()
	s.arrive("10.0.0.1:2")
	<-accepted
}

// hesitant is a connection whose Close waits for its peer until its deadline.
type hesitant struct {
	*peerConn
	late chan struct{}
}

func (c hesitant) Close() error { <-c.late; return nil }
func (c hesitant) SetDeadline(at time.Time) error {
	if at.Before(time.Now()) {
		close(c.late)
	}
	return nil
}
