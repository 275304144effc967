// Package listenertest is the suite that every listener passes: what the core
// relies on, and what a connection offers beyond net.Conn, checked when it does.
package listenertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"ganglion/listeners"
)

// Dial connects to a listener as a client of its transport does. Where the
// transport has a handshake that waits for the server, Dial leaves it to
// HandshakeContext, which the suite calls on both ends.
type Dial func(ctx context.Context, ln net.Listener) (net.Conn, error)

// suite is what a test of the suite works with.
type suite struct {
	open func(t *testing.T) net.Listener
	dial Dial
}

// patience is how long the suite waits for what must come before it says that
// something hangs.
const patience = 30 * time.Second

// Run checks that listeners made by open behave as the core relies on.
func Run(t *testing.T, open func(t *testing.T) net.Listener, dial Dial) {
	s := suite{open, dial}
	for _, tc := range []struct {
		name string
		test func(*testing.T, suite)
	}{
		{"Echo", testEcho},
		{"EOF", testEOF},
		{"CloseUnblocksRead", testCloseUnblocksRead},
		{"WriteDeadline", testWriteDeadline},
		{"ReadDeadline", testReadDeadline},
		{"DeadlineUnblocksRead", testDeadlineUnblocksRead},
		{"DeadlineMoved", testDeadlineMoved},
		{"Addresses", testAddresses},
		{"CloseUnblocksAccept", testCloseUnblocksAccept},
		{"Traffic", testTraffic},
		{"HalfClose", testHalfClose},
		{"CloseUnderLoad", testCloseUnderLoad},
		{"Many", testMany},
		{"SyscallConn", testSyscallConn},
		{"NetConn", testNetConn},
		{"ConnectionState", testConnectionState},
		{"Request", testRequest},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, s) })
	}
}

func testEcho(t *testing.T, s suite) {
	near, far := s.pair(t)
	msg := bytes.Repeat([]byte("ganglion"), 1<<15)
	go func() { near.Write(msg) }()
	got := make([]byte, len(msg))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, msg) {
		t.Fatalf("read %v", err)
	}
}

func testEOF(t *testing.T, s suite) {
	near, far := s.pair(t)
	near.Close()
	if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read after the peer closed: %d, %v", n, err)
	}
}

func testCloseUnblocksRead(t *testing.T, s suite) {
	_, far := s.pair(t)
	done := make(chan error, 1)
	go func() { _, err := far.Read(make([]byte, 1)); done <- err }()
	far.Close()
	if err := <-done; err == nil {
		t.Fatal("read succeeded on a closed connection")
	}
}

func testAddresses(t *testing.T, s suite) {
	near, far := s.pair(t)
	if far.RemoteAddr() == nil || far.LocalAddr() == nil {
		t.Fatalf("addresses: %v, %v", far.RemoteAddr(), far.LocalAddr())
	}
	got := far.RemoteAddr().String()
	if _, unix := near.LocalAddr().(*net.UnixAddr); unix {
		if got == "" || got == "@" {
			t.Fatalf("remote address %q says nothing", got)
		}
		return
	}
	if got != near.LocalAddr().String() {
		t.Fatalf("remote address %s of a connection from %s", got, near.LocalAddr())
	}
}

func testCloseUnblocksAccept(t *testing.T, s suite) {
	ln := s.open(t)
	done := make(chan error, 1)
	go func() { _, err := ln.Accept(); done <- err }()
	ln.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accept after close: %v", err)
	}
}

// pair opens a listener and returns the client's and the server's end of one
// connection to it.
func (s suite) pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ln := s.open(t)
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	go func() { c, err := ln.Accept(); ch <- accepted{c, err} }()
	near, err := s.dial(ctx, ln)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { near.Close() })
	a := <-ch
	if a.err != nil {
		t.Fatalf("accept: %v", a.err)
	}
	t.Cleanup(func() { a.c.Close() })
	if err := shake(ctx, near, a.c); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return near, a.c
}

// shake makes the handshake of connections that have one.
func shake(ctx context.Context, conns ...net.Conn) error {
	errs := make(chan error, len(conns))
	for _, c := range conns {
		go func() {
			var err error
			if h, ok := find[interface{ HandshakeContext(context.Context) error }](c); ok {
				err = h.HandshakeContext(ctx)
			}
			errs <- err
		}()
	}
	var all error
	for range conns {
		all = errors.Join(all, <-errs)
	}
	return all
}

// find returns the outermost of c and the connections below it that is a T.
func find[T any](c net.Conn) (T, bool) {
	for {
		if v, ok := c.(T); ok {
			return v, true
		}
		n, ok := c.(netConner)
		if !ok {
			var none T
			return none, false
		}
		c = n.NetConn()
	}
}

// Failing is a transport that cannot be opened, for tests of sets.
func Failing(context.Context, listeners.Config) (net.Listener, error) {
	return nil, errors.New("made to fail")
}
