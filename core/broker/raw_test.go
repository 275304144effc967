package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// raw is a client that speaks the protocol by hand.
type raw struct {
	t testing.TB
	net.Conn
	r     *bufio.Reader
	pings bool // PINGs of the server are lines to be expected
}

// dial connects and reads INFO.
func dial(t testing.TB, url string) *raw {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	c := &raw{t: t, Conn: nc, r: bufio.NewReaderSize(nc, 64<<10)}
	if line := c.line(); !strings.HasPrefix(line, "INFO ") {
		t.Fatalf("no INFO but %q", line)
	}
	return c
}

// quiet is dial with a CONNECT that asks for no +OK.
func quiet(t testing.TB, url string) *raw {
	t.Helper()
	c := dial(t, url)
	c.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n")
	return c
}

func (c *raw) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *raw) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v after %q", err, s)
	}
	if s == "PING\r\n" && !c.pings {
		return c.line()
	}
	return strings.TrimRight(s, "\r\n")
}

// expect reads lines that must be these.
func (c *raw) expect(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// sync waits until everything sent before was handled.
func (c *raw) sync() {
	c.t.Helper()
	c.send("PING\r\n")
	for {
		switch line := c.line(); {
		case line == "PONG":
			return
		case strings.HasPrefix(line, "INFO "):
		default:
			c.t.Fatalf("got %q, want PONG", line)
		}
	}
}

// closed reads to the end and returns what came.
func (c *raw) closed() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("connection did not close: %v", err)
	}
	return string(b)
}
