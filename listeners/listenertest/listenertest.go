// Package listenertest is the suite that every listener passes.
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

// Dial connects to a listener as a client of its transport does.
type Dial func(ctx context.Context, ln net.Listener) (net.Conn, error)

// Run checks that listeners made by open behave as the core relies on.
func Run(t *testing.T, open func(t *testing.T) net.Listener, dial Dial) {
	t.Run("Echo", func(t *testing.T) {
		near, far := pair(t, open(t), dial)
		msg := bytes.Repeat([]byte("ganglion"), 1<<15)
		go func() { near.Write(msg) }()
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("read %v", err)
		}
	})
	t.Run("EOF", func(t *testing.T) {
		near, far := pair(t, open(t), dial)
		near.Close()
		if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Fatalf("read after the peer closed: %d, %v", n, err)
		}
	})
	t.Run("CloseUnblocksRead", func(t *testing.T) {
		_, far := pair(t, open(t), dial)
		done := make(chan error, 1)
		go func() { _, err := far.Read(make([]byte, 1)); done <- err }()
		far.Close()
		if err := <-done; err == nil {
			t.Fatal("read succeeded on a closed connection")
		}
	})
	t.Run("WriteDeadline", func(t *testing.T) {
		_, far := pair(t, open(t), dial)
		far.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		var err error
		for err == nil { // nobody reads
			_, err = far.Write(make([]byte, 1<<20))
		}
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Fatalf("write past its deadline: %v", err)
		}
	})
	t.Run("Addresses", func(t *testing.T) {
		near, far := pair(t, open(t), dial)
		if far.RemoteAddr() == nil || far.LocalAddr() == nil || far.RemoteAddr().String() != near.LocalAddr().String() {
			t.Fatalf("addresses: %v, %v", far.RemoteAddr(), near.LocalAddr())
		}
	})
	t.Run("CloseUnblocksAccept", func(t *testing.T) {
		ln := open(t)
		done := make(chan error, 1)
		go func() { _, err := ln.Accept(); done <- err }()
		ln.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accept after close: %v", err)
		}
	})
}

// pair returns the client's and the server's end of one connection.
func pair(t *testing.T, ln net.Listener, dial Dial) (near, far net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	go func() { c, err := ln.Accept(); ch <- accepted{c, err} }()
	near, err := dial(ctx, ln)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	a := <-ch
	if a.err != nil {
		t.Fatalf("accept: %v", a.err)
	}
	t.Cleanup(func() { near.Close(); a.c.Close() })
	return near, a.c
}

// Failing is a transport that cannot be opened, for tests of sets.
func Failing(context.Context, listeners.Config) (net.Listener, error) {
	return nil, errors.New("made to fail")
}
