package tcp

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ganglion/listeners"
)

// logText is a log that tests read.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// openProxy opens a listener that expects headers.
func openProxy(t *testing.T, o Options) (*proxyListener, *logText) {
	t.Helper()
	log := &logText{}
	o.ProxyProtocol, o.Logger = true, slog.New(slog.NewTextHandler(log, nil))
	if o.ProxyTimeout == 0 {
		o.ProxyTimeout = time.Hour // nothing of a test may depend on it
	}
	ln, err := Opener(o)(t.Context(), listeners.Config{Name: "lb", Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*proxyListener), log
}

// say connects to l and writes s.
func say(t *testing.T, l net.Listener, s string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ended waits until the listener has closed c.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	n, err := c.Read(make([]byte, 1))
	if ne, ok := err.(net.Error); n != 0 || err == nil || ok && ne.Timeout() {
		t.Fatalf("a refused connection: %d, %v", n, err)
	}
}

func TestProxyAddresses(t *testing.T) {
	l, _ := openProxy(t, Options{})
	for _, tc := range []struct{ name, header, remote, local string }{
		{"v1", "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\r\n", "203.0.113.7:1234", "10.0.0.1:4222"},
		{"v2", v2(1, 0x21, local6), "[2001:db8::7]:1234", "[2001:db8::1]:4222"},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", "", ""},
		{"LOCAL", v2(0, 0, ""), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			near := say(t, l, tc.header+"PING\r\n")
			far := accept(t, l)
			remote, local := tc.remote, tc.local
			if remote == "" {
				remote, local = near.LocalAddr().String(), near.RemoteAddr().String()
			}
			if far.RemoteAddr().String() != remote || far.LocalAddr().String() != local {
				t.Fatalf("from %v to %v", far.RemoteAddr(), far.LocalAddr())
			}
			if _, ok := far.(syscall.Conn); !ok {
				t.Fatal("no descriptor")
			}
			b := make([]byte, 6)
			if _, err := io.ReadFull(far, b); err != nil || string(b) != "PING\r\n" {
				t.Fatalf("read %q, %v", b, err)
			}
			// A connection that is quiet for longer than a header may take stays.
			if err := far.SetReadDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What all headers of the table lead to on a connection.
func TestProxyTable(t *testing.T) {
	l, _ := openProxy(t, Options{})
	refused := uint64(0)
	for _, tc := range headers {
		near := say(t, l, tc.in+"PING\r\n")
		if tc.err != "" {
			ended(t, near)
			refused++
			continue
		}
		far := accept(t, l)
		if tc.remote != "" && far.RemoteAddr().String() != tc.remote {
			t.Errorf("%s: remote %v", tc.name, far.RemoteAddr())
		}
		b := make([]byte, 6)
		if _, err := io.ReadFull(far, b); err != nil || string(b) != "PING\r\n" {
			t.Errorf("%s: read %q, %v", tc.name, b, err)
		}
	}
	waitFor(t, func() bool { return l.Refused() == refused })
}

// waitFor waits for what other goroutines do.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("did not happen")
		}
	}
}

func TestProxyRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, say string
		o         Options
		want      string // in the log
	}{
		{"no header", "CONNECT {}\r\n", Options{}, "does not begin with a PROXY header"},
		{"bad header", "PROXY TCP4 1 2 3 4\r\n", Options{}, "bad PROXY header"},
		{"silence", "", Options{ProxyTimeout: time.Millisecond}, "no whole PROXY header within 1ms"},
		{"half a header", "PROXY TCP4 ", Options{ProxyTimeout: time.Millisecond}, "no whole PROXY header within 1ms"},
		{"optional, bad header", "PROXY TCP4 1 2 3 4\r\n", Options{ProxyOptional: true}, "bad PROXY header"},
		{"optional, half a header", "PRO", Options{ProxyOptional: true, ProxyTimeout: time.Second}, "no whole PROXY header within 1s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, log := openProxy(t, tc.o)
			near := say(t, l, tc.say)
			ended(t, near)
			waitFor(t, func() bool { return strings.Contains(log.String(), tc.want) })
			if !strings.Contains(log.String(), "remote="+near.LocalAddr().String()) || l.Refused() != 1 {
				t.Fatalf("%d refused, log %s", l.Refused(), log)
			}
		})
	}
}

// Load balancers look whether a port is open: that is no news.
func TestProxyHealthCheck(t *testing.T) {
	l, log := openProxy(t, Options{})
	say(t, l, "").Close()
	reset := say(t, l, "")
	reset.SetLinger(0)
	reset.Close()
	waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.pending) == 0 })
	say(t, l, "PROXY UNKNOWN\r\n")
	accept(t, l)
	if log.String() != "" || l.Refused() != 0 {
		t.Fatalf("%d refused, log %s", l.Refused(), log)
	}
}

// Connections whose header does not come hold up no other, up to a number of them.
func TestProxyPending(t *testing.T) {
	inner, err := Open(t.Context(), listeners.Config{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	const pending = 5
	l := newProxyListener(inner.(*net.TCPListener), "lb", Options{ProxyTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)}, pending)
	t.Cleanup(func() { l.Close() })
	var silent []net.Conn
	for range pending - 1 {
		silent = append(silent, say(t, l, ""))
	}
	say(t, l, "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\r\n")
	if a := accept(t, l).RemoteAddr().String(); a != "203.0.113.7:1234" {
		t.Fatalf("from %s", a)
	}
	// With one more that is silent, the next waits in the backlog.
	silent = append(silent, say(t, l, ""))
	waitFor(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.pending) == pending })
	say(t, l, "PROXY TCP4 203.0.113.8 10.0.0.1 1234 4222\r\n")
	silent[0].Close()
	if a := accept(t, l).RemoteAddr().String(); a != "203.0.113.8:1234" {
		t.Fatalf("from %s", a)
	}
	// Close ends those that wait, and waits for them.
	l.Close()
	if len(l.pending) != 0 {
		t.Fatalf("%d pending", len(l.pending))
	}
	for _, c := range silent[1:] {
		ended(t, c)
	}
}

func TestProxyFrom(t *testing.T) {
	inside := netip.MustParsePrefix("127.0.0.0/8")
	outside := netip.MustParsePrefix("192.0.2.0/24")
	const header = "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\r\n"

	l, _ := openProxy(t, Options{ProxyFrom: []netip.Prefix{outside, inside}})
	say(t, l, header)
	if a := accept(t, l).RemoteAddr().String(); a != "203.0.113.7:1234" {
		t.Fatalf("from %s", a)
	}

	// From elsewhere connections are as they are, at once.
	l, _ = openProxy(t, Options{ProxyFrom: []netip.Prefix{outside}})
	near := say(t, l, "")
	far := accept(t, l)
	if _, bare := far.(*net.TCPConn); !bare || far.RemoteAddr().String() != near.LocalAddr().String() {
		t.Fatalf("%T from %v", far, far.RemoteAddr())
	}
	// A header that comes later is not one.
	io.WriteString(near, header)
	b := make([]byte, len(header))
	if _, err := io.ReadFull(far, b); err != nil || string(b) != header {
		t.Fatalf("read %q, %v", b, err)
	}
}

func TestProxyTrusted(t *testing.T) {
	l := &proxyListener{o: Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}}}
	for addr, want := range map[string]bool{
		"10.1.2.3:4": true, "[::ffff:10.1.2.3]:4": true, "[fe80::1%1]:4": true, "11.0.0.1:4": false, "[2001:db8::1]:4": false,
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.trusted(a); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
}

// The time for the header is not the connection's, and the time for its first byte
// is not the header's.
func TestProxyDeadlines(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	for _, tc := range []struct {
		name string
		o    Options
		say  [2]string // the second after the limit
	}{
		{"timeout", Options{ProxyTimeout: limit}, [2]string{"PROXY UNKNOWN\r\n", "PING\r\n"}},
		{"timeout, with addresses", Options{ProxyTimeout: limit}, [2]string{headers[0].in, "PING\r\n"}},
		{"grace", Options{ProxyOptional: true, ProxyGrace: limit}, [2]string{"PRO", "XY UNKNOWN\r\nPING\r\n"}},
		{"no header", Options{ProxyOptional: true, ProxyGrace: limit}, [2]string{"PING", "\r\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l, _ := openProxy(t, tc.o)
			near := say(t, l, tc.say[0])
			time.AfterFunc(limit+limit/5, func() { io.WriteString(near, tc.say[1]) })
			far := accept(t, l)
			b := make([]byte, 6)
			if _, err := io.ReadFull(far, b); err != nil || string(b) != "PING\r\n" {
				t.Fatalf("read %q, %v", b, err)
			}
		})
	}
}

// A header from elsewhere that is there when the connection is accepted is
// refused, with the reason in the log.
func TestProxyFromElsewhere(t *testing.T) {
	inner, err := Open(t.Context(), listeners.Config{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	near := say(t, inner, "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\r\n")
	log := &logText{}
	l := newProxyListener(inner.(*net.TCPListener), "lb", Options{
		ProxyTimeout: time.Hour, ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}, maxPending)
	t.Cleanup(func() { l.Close() })
	if peek(near, 1) != nil {
		t.Fatal("peeked at something that nobody sent")
	}
	go l.Accept() // where nobody can peek, it gets the connection
	if !canPeek {
		t.Skip("cannot look ahead here")
	}
	ended(t, near)
	waitFor(t, func() bool { return strings.Contains(log.String(), "not one that may send them") })
}

func TestProxyOptional(t *testing.T) {
	l, _ := openProxy(t, Options{ProxyOptional: true, ProxyGrace: 5 * time.Millisecond})
	// A NATS client waits for the server.
	near := say(t, l, "")
	far := accept(t, l)
	if _, bare := far.(*net.TCPConn); !bare || far.RemoteAddr().String() != near.LocalAddr().String() {
		t.Fatalf("%T from %v", far, far.RemoteAddr())
	}
	// One that does not wait. What it said is still to be read.
	near = say(t, l, "PING\r\n")
	far = accept(t, l)
	if _, ok := far.(syscall.Conn); ok && far.RemoteAddr().String() != near.LocalAddr().String() {
		t.Fatalf("%T from %v", far, far.RemoteAddr())
	}
	io.WriteString(near, "more")
	near.CloseWrite()
	if b, err := io.ReadAll(iotestSmall{far}); err != nil || string(b) != "PING\r\nmore" {
		t.Fatalf("read %q, %v", b, err)
	}

	l, _ = openProxy(t, Options{ProxyOptional: true, ProxyGrace: time.Hour})
	say(t, l, "PROXY TCP4 203.0.113.7 10.0.0.1 1234 4222\r\n")
	if a := accept(t, l).RemoteAddr().String(); a != "203.0.113.7:1234" {
		t.Fatalf("from %s", a)
	}
	say(t, l, "PING\r\n")
	far = accept(t, l)
	if _, ok := far.(syscall.Conn); ok {
		t.Fatal("a descriptor, although bytes were read")
	}
}

// iotestSmall reads a few bytes at a time.
type iotestSmall struct{ r io.Reader }

func (s iotestSmall) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), 4)]) }

// Who sends nonsense cannot fill the log.
func TestProxyLogBounded(t *testing.T) {
	l, log := openProxy(t, Options{})
	const n = 200
	for range n {
		c := say(t, l, "GET / HTTP/1.1\r\n\r\n")
		ended(t, c)
		c.Close()
	}
	waitFor(t, func() bool { return l.Refused() == n })
	if lines := strings.Count(log.String(), "\n"); lines < 10 || lines > 100 {
		t.Fatalf("%d lines about %d connections", lines, n)
	}
}
