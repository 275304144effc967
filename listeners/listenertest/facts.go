package listenertest

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
)

type netConner interface{ NetConn() net.Conn }

// testSyscallConn checks that a descriptor that is offered is the stream, from
// the first byte on: nothing was read ahead, nothing is written in between.
func testSyscallConn(t *testing.T, s suite) {
	near, far := s.pair(t)
	sc, ok := far.(syscall.Conn)
	if !ok {
		t.Skip("no SyscallConn")
	}
	if !rawAccess {
		t.Skip("descriptors cannot be read here")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), burst/16)
	all(t,
		func() error {
			_, err := near.Write(append([]byte("first"), big...))
			return err
		},
		func() error {
			got := make([]byte, 0, len(big)+5)
			for len(got) < 5 {
				n, err := readRaw(raw, got[len(got):5])
				if err != nil || n <= 0 {
					t.Errorf("raw read: %d, %v", n, err)
					return nil
				}
				got = got[:len(got)+n]
			}
			// And the rest in turns with Read.
			for k := 0; len(got) < cap(got); k++ {
				b := got[len(got):min(len(got)+1000, cap(got))]
				read := far.Read
				if k%2 == 1 {
					read = func(b []byte) (int, error) { return readRaw(raw, b) }
				}
				n, err := read(b)
				if err != nil || n <= 0 {
					t.Errorf("read %d: %d, %v", k, n, err)
					return nil
				}
				got = got[:len(got)+n]
			}
			if string(got[:5]) != "first" || !bytes.Equal(got[5:], big) {
				t.Error("the descriptor is not the stream")
			}
			return nil
		})
	all(t,
		func() error { return writeRaw(raw, []byte("answer")) },
		func() error {
			b := make([]byte, 6)
			if _, err := io.ReadFull(near, b); err != nil || string(b) != "answer" {
				t.Errorf("read %q, %v", b, err)
			}
			return nil
		})
}

// testNetConn checks that the connections below one end, and carry it.
func testNetConn(t *testing.T, s suite) {
	_, far := s.pair(t)
	if _, ok := far.(netConner); !ok {
		t.Skip("no NetConn")
	}
	inner := far
	for depth := 0; ; depth++ {
		n, ok := inner.(netConner)
		if !ok {
			break
		}
		if inner = n.NetConn(); inner == nil || depth > 10 {
			t.Fatalf("NetConn at depth %d: %v", depth, inner)
		}
	}
	done := make(chan error, 1)
	go func() { _, err := far.Read(make([]byte, 1)); done <- err }()
	inner.Close()
	if err := <-done; err == nil {
		t.Fatal("read succeeded although the connection below is closed")
	}
}

// testConnectionState checks that TLS, where there is some, is done when the core
// asks about it.
func testConnectionState(t *testing.T, s suite) {
	_, far := s.pair(t)
	c, ok := find[interface{ ConnectionState() tls.ConnectionState }](far)
	if !ok {
		t.Skip("no ConnectionState")
	}
	if cs := c.ConnectionState(); !cs.HandshakeComplete || cs.Version < tls.VersionTLS12 {
		t.Fatalf("state %+v", cs)
	}
}

// testRequest checks that the HTTP request of a connection is there from the
// beginning.
func testRequest(t *testing.T, s suite) {
	_, far := s.pair(t)
	c, ok := find[interface{ Request() *http.Request }](far)
	if !ok {
		t.Skip("no Request")
	}
	if r := c.Request(); r == nil || r.URL == nil || r.Header == nil || r.Host == "" {
		t.Fatalf("request %+v", r)
	}
}
