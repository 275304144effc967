package listenertest

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func testWriteDeadline(t *testing.T, s suite) {
	_, far := s.pair(t)
	far.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	var err error
	for err == nil { // nobody reads
		_, err = far.Write(make([]byte, 1<<20))
	}
	if !isTimeout(err) {
		t.Fatalf("write past its deadline: %v", err)
	}
}

func testReadDeadline(t *testing.T, s suite) {
	_, far := s.pair(t)
	far.SetReadDeadline(time.Now().Add(-time.Second))
	if n, err := far.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Fatalf("read past its deadline: %d, %v", n, err)
	}
}

func testDeadlineUnblocksRead(t *testing.T, s suite) {
	_, far := s.pair(t)
	done := make(chan error, 1)
	go func() { _, err := far.Read(make([]byte, 1)); done <- err }()
	far.SetDeadline(time.Now().Add(-time.Second)) // before or while it reads
	if err := <-done; !isTimeout(err) {
		t.Fatalf("read at its deadline: %v", err)
	}
}

// A deadline that was taken back does no harm.
func testDeadlineMoved(t *testing.T, s suite) {
	near, far := s.pair(t)
	for _, c := range []net.Conn{near, far} {
		c.SetDeadline(time.Now().Add(time.Hour))
		c.SetDeadline(time.Time{})
	}
	go near.Write([]byte("later"))
	b := make([]byte, 5)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "later" {
		t.Fatalf("read %q, %v", b, err)
	}
}
