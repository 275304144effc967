package listenertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

const (
	// trafficBytes flow each way.
	trafficBytes = 2 << 20
	// burst is what a broker writes at once to a receiver that lags.
	burst = 64 << 10
)

// at is the byte that stands at offset i of a test stream.
func at(i int) byte { return byte(uint32(i) * 2654435761 >> 20) }

// send writes the test stream as a broker does: many small messages, now and then
// a burst.
func send(c net.Conn) error {
	b := make([]byte, burst)
	for k, sent := 0, 0; sent < trafficBytes; k++ {
		n := 16 + k*37%240
		if k%200 == 199 {
			n = burst
		}
		n = min(n, trafficBytes-sent)
		for i := range n {
			b[i] = at(sent + i)
		}
		if m, err := c.Write(b[:n]); err != nil || m != n {
			return fmt.Errorf("write %d at %d of %d bytes: %d, %v", k, sent, n, m, err)
		}
		sent += n
	}
	return nil
}

// receive reads the test stream with buffers of all sizes and checks it.
func receive(c net.Conn) error {
	b := make([]byte, 70_000)
	for k, got := 0, 0; got < trafficBytes; k++ {
		n, err := c.Read(b[:1+k*7919%len(b)])
		for i := range n {
			if b[i] != at(got+i) {
				return fmt.Errorf("wrong byte at %d", got+i)
			}
		}
		if got += n; err != nil && got < trafficBytes {
			return fmt.Errorf("read at %d: %w", got, err)
		}
	}
	return nil
}

func testTraffic(t *testing.T, s suite) {
	near, far := s.pair(t)
	all(t, func() error { return send(near) }, func() error { return send(far) },
		func() error { return receive(near) }, func() error { return receive(far) })
}

func testHalfClose(t *testing.T, s suite) {
	type halfCloser interface{ CloseWrite() error }
	near, far := s.pair(t)
	nearHalf, ok := near.(halfCloser)
	if !ok {
		t.Skip("the client's end offers no CloseWrite")
	}
	all(t,
		func() error {
			if _, err := near.Write([]byte("request")); err != nil {
				return err
			}
			return nearHalf.CloseWrite()
		},
		func() error {
			b, err := io.ReadAll(far)
			if err != nil || string(b) != "request" {
				return fmt.Errorf("read %q, %v", b, err)
			}
			_, err = far.Write([]byte("reply"))
			return err
		},
		func() error {
			b := make([]byte, 5)
			if _, err := io.ReadFull(near, b); err != nil || string(b) != "reply" {
				return fmt.Errorf("read %q, %v", b, err)
			}
			return nil
		})
	farHalf, ok := far.(halfCloser)
	if !ok {
		t.Skip("the server's end offers no CloseWrite")
	}
	if err := farHalf.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := near.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("read after the server's half-close: %d, %v", n, err)
	}
}

// all runs fs at the same time and fails when one of them does, or hangs.
func all(t *testing.T, fs ...func() error) {
	t.Helper()
	errs := make(chan error, len(fs))
	for _, f := range fs {
		go func() { errs <- f() }()
	}
	hung := time.NewTimer(patience)
	defer hung.Stop()
	for range fs {
		select {
		case err := <-errs:
			if err != nil {
				t.Error(err)
			}
		case <-hung.C:
			t.Fatalf("hangs:\n%s", stacks())
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// stacks returns what all goroutines do.
func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}
