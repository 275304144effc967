package webtransport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"

	"ganglion/listeners/listenertest"
	"ganglion/listeners/quic"
)

func TestListener(t *testing.T) {
	var mu sync.Mutex
	trusts := map[net.Listener]*tls.Config{}
	listenertest.Run(t,
		func(t *testing.T) net.Listener {
			l, trust := serve(t, Options{})
			mu.Lock()
			defer mu.Unlock()
			trusts[l] = trust
			return l
		},
		func(ctx context.Context, ln net.Listener) (net.Conn, error) {
			mu.Lock()
			trust := trusts[ln]
			mu.Unlock()
			return dial(ctx, ln.Addr().String(), trust)
		})
}

// pair returns both ends of a connection on a session of its own.
func pair(t *testing.T, l *Listener, trust *tls.Config, pre quic.Preamble) (*stream, *Conn) {
	t.Helper()
	_, s := openSession(t, l, trust, nil)
	get := accepted(t, l)
	near, err := openStream(t.Context(), s, pre)
	if err != nil {
		t.Fatal(err)
	}
	return near, get()
}

// closedWith waits for the end of s and checks what it says.
func closedWith(t *testing.T, s *wt.Session, code wt.SessionErrorCode, text string) {
	t.Helper()
	_, err := s.AcceptUniStream(t.Context())
	var se *wt.SessionError
	if !errors.As(err, &se) || !se.Remote || se.ErrorCode != code || se.Message != text {
		t.Fatalf("the session ended with %T %v; want %#x, %q", err, err, code, text)
	}
}

// resetWith reads from c and checks the code that it ends with.
func resetWith(t *testing.T, c io.Reader, code wt.StreamErrorCode) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	var se *wt.StreamError
	if !errors.As(err, &se) || !se.Remote || se.ErrorCode != code {
		t.Fatalf("the stream ended with %T %v; want code %#x", err, err, code)
	}
}

// TestCodes ends connections as servers do and looks at what the client learns.
func TestCodes(t *testing.T) {
	for _, abrupt := range []bool{false, true} {
		t.Run(fmt.Sprintf("abrupt %v", abrupt), func(t *testing.T) {
			l, trust := serve(t, Options{})
			c, far := pair(t, l, trust, quic.Preamble{})
			const last = "-ERR 'x'\r\n"
			if !abrupt {
				io.WriteString(far, last)
			}
			far.Goodbye(0x103, "Authentication Failure", abrupt)
			far.Close()
			if abrupt {
				resetWith(t, c, 0x103)
			} else if got, err := io.ReadAll(c); string(got) != last {
				t.Fatalf("read %q, %v", got, err)
			}
			closedWith(t, c.s, 0x103, "Authentication Failure")
		})
	}
}

// TestClosing has a client that looks at how its session is closed, and does not
// answer: the reason must not be overtaken by anything, and the end must come.
func TestClosing(t *testing.T) {
	l, trust := serve(t, Options{HandshakeTimeout: 50 * time.Millisecond})
	cfg := trust.Clone()
	cfg.NextProtos = []string{ALPN}
	qc, err := quicgo.DialAddr(t.Context(), l.Addr().String(), cfg, &quicgo.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
	if err != nil {
		t.Fatal(err)
	}
	defer qc.CloseWithError(0x100, "")
	cc := (&http3.Transport{EnableDatagrams: true}).NewRawClientConn(qc)
	go func() {
		for {
			str, err := qc.AcceptUniStream(t.Context())
			if err != nil {
				return
			}
			go cc.HandleUnidirectionalStream(str)
		}
	}()
	str, err := cc.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "https://"+l.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Proto = "webtransport"
	if err := str.SendRequestHeader(r); err != nil {
		t.Fatal(err)
	}
	if rsp, err := str.ReadResponse(); err != nil || rsp.StatusCode != 200 {
		t.Fatalf("got %v, %v", rsp, err)
	}
	if got, err := io.ReadAll(str); err != nil || !bytes.Equal(got, appendClose(nil, 0x02, "No Stream")) {
		t.Fatalf("read %q, %v", got, err)
	}
	if err := str.Context().Err(); err != nil {
		t.Fatalf("the server stopped reading at once: %v", context.Cause(str.Context()))
	}
	<-str.Context().Done()
	var se *quicgo.StreamError
	if err := context.Cause(str.Context()); !errors.As(err, &se) || !se.Remote || se.ErrorCode != wt.WTSessionGoneErrorCode {
		t.Fatalf("the request ended with %v", err)
	}
}

// TestOrigin asks for sessions as pages of several origins do.
func TestOrigin(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   Options
		origin string // HOST is the listener's
		status int
	}{
		{"anybody", Options{}, "https://else.example", 200},
		{"same", Options{SameOrigin: true}, "https://HOST", 200},
		{"not the same", Options{SameOrigin: true}, "https://else.example", 403},
		{"not the same scheme", Options{SameOrigin: true}, "http://HOST", 403},
		{"no page", Options{SameOrigin: true}, "", 200},
		{"allowed", Options{AllowedOrigins: []string{"https://ok.example"}}, "https://OK.example:443", 200},
		{"not allowed", Options{AllowedOrigins: []string{"https://ok.example"}}, "https://else.example", 403},
		{"null", Options{AllowedOrigins: []string{"https://ok.example"}}, "null", 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, trust := serve(t, tc.opts)
			p, err := connect(t.Context(), l.Addr().String(), trust)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			h := http.Header{}
			if tc.origin != "" {
				h.Set("Origin", strings.Replace(tc.origin, "HOST", p.addr, 1))
			}
			rsp, _, err := p.Dial(t.Context(), "https://"+p.addr+"/", h)
			if rsp == nil || rsp.StatusCode != tc.status || (err == nil) != (tc.status == 200) {
				t.Fatalf("got %v, %v; want %d", rsp, err, tc.status)
			}
			if n := l.Refused(); (n == 1) != (tc.status != 200) {
				t.Fatalf("%d refused", n)
			}
		})
	}
}

// TestRefusals are clients that do it wrong; what they get, and that others are
// served beside them.
func TestRefusals(t *testing.T) {
	l, trust := serve(t, Options{HandshakeTimeout: 300 * time.Millisecond})
	good, far := pair(t, l, trust, quic.Preamble{})

	t.Run("no stream", func(t *testing.T) {
		_, s := openSession(t, l, trust, nil)
		closedWith(t, s, 0x02, "No Stream")
	})
	t.Run("no session", func(t *testing.T) {
		p, err := connect(t.Context(), l.Addr().String(), trust)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		<-p.qc.Context().Done()
		var ae *quicgo.ApplicationError
		if err := context.Cause(p.qc.Context()); !errors.As(err, &ae) || !ae.Remote || ae.ErrorCode != 0x100 {
			t.Fatalf("ended with %v; want H3_NO_ERROR", err)
		}
	})
	t.Run("path", func(t *testing.T) {
		p, err := connect(t.Context(), l.Addr().String(), trust)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, path := range []string{"/leafnode", "/nats/", "/else"} {
			if rsp, _, err := p.Dial(t.Context(), "https://"+p.addr+path, nil); err == nil || rsp.StatusCode != 404 {
				t.Errorf("%s: %v, %v", path, rsp, err)
			}
		}
	})
	t.Run("headers", func(t *testing.T) {
		p, err := connect(t.Context(), l.Addr().String(), trust)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		h := http.Header{"X-Much": {strings.Repeat("x", maxHeaderBytes)}}
		if rsp, _, err := p.Dial(t.Context(), "https://"+p.addr+"/", h); err == nil || rsp != nil && rsp.StatusCode != 431 {
			t.Fatalf("got %v, %v", rsp, err)
		}
	})
	t.Run("two sessions", func(t *testing.T) {
		p, s := openSession(t, l, trust, nil)
		get := accepted(t, l)
		if _, err := openStream(t.Context(), s, quic.Preamble{}); err != nil {
			t.Fatal(err)
		}
		far := get()
		if rsp, _, err := p.Dial(t.Context(), "https://"+p.addr+"/", nil); err == nil {
			t.Fatalf("a second session: %v", rsp)
		}
		io.WriteString(far, "x") // the first goes on
		far.Close()
	})
	for name, p := range map[string]struct {
		text string
		code uint32
	}{
		"no preamble":    {"CONNECT {}\r\n", 0x01},
		"half of it":     {"NAT", 0x02},
		"version":        {"NATS\x09\x00", 0x01},
		"flags":          {"NATS\x01\xfe", 0x01},
		"without number": {"NATS\x01\x01", 0x02},
	} {
		t.Run(name, func(t *testing.T) {
			_, s := openSession(t, l, trust, nil)
			str, err := s.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(str, p.text)
			resetWith(t, str, wt.StreamErrorCode(p.code))
			_, err = s.AcceptUniStream(t.Context())
			var se *wt.SessionError
			if !errors.As(err, &se) || se.ErrorCode != wt.SessionErrorCode(p.code) || se.Message == "" {
				t.Fatalf("the session ended with %v; want code %#x", err, p.code)
			}
		})
	}
	io.WriteString(good, "still")
	if b := make([]byte, 5); readFull(far, b) != "still" {
		t.Fatalf("the good connection read %q", b)
	}
}

func readFull(r io.Reader, b []byte) string {
	n, _ := io.ReadFull(r, b)
	return string(b[:n])
}

// TestStreams has several connections on a session, and one more than allowed.
func TestStreams(t *testing.T) {
	l, trust := serve(t, Options{MaxStreams: 3})
	_, s := openSession(t, l, trust, nil)
	var near []*stream
	var far []*Conn
	open := func() {
		get := accepted(t, l)
		c, err := openStream(t.Context(), s, quic.Preamble{})
		if err != nil {
			t.Fatal(err)
		}
		near, far = append(near, c), append(far, get())
	}
	for range 3 {
		open()
	}
	if n := far[0].Path().Streams; n != 3 {
		t.Fatalf("%d streams; want 3", n)
	}
	c, err := openStream(t.Context(), s, quic.Preamble{})
	if err != nil {
		t.Fatal(err)
	}
	resetWith(t, c, 0x03)
	for i := range near {
		io.WriteString(near[i], string(rune('a'+i)))
	}
	for i := range far {
		if b := make([]byte, 1); readFull(far[i], b) != string(rune('a'+i)) {
			t.Fatalf("connection %d read %q", i, b)
		}
	}
	far[1].Close() // makes room
	open()
	io.WriteString(far[3], "room")
	if b := make([]byte, 4); readFull(near[3], b) != "room" {
		t.Fatalf("read %q", b)
	}
}

func TestLanes(t *testing.T) {
	l, trust := serve(t, Options{MaxLanes: 2})
	c, far := pair(t, l, trust, quic.Preamble{Lanes: true, Number: 0xbeef})
	if !far.TakesLanes() {
		t.Fatal("the client is not said to take lanes")
	}
	var lanes []net.Conn
	var strs []*wt.ReceiveStream
	for i := range 2 {
		lane, err := far.OpenLane()
		if err != nil {
			t.Fatal(err)
		}
		str, err := c.s.AcceptUniStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := quic.ReadLaneHead(str); n != 0xbeef || err != nil {
			t.Fatalf("lane %d: head %#x, %v", i, n, err)
		}
		lanes, strs = append(lanes, lane), append(strs, str)
	}
	if _, err := far.OpenLane(); err == nil || far.PathStats()["lanes"] != 2 {
		t.Fatalf("a lane too many: %v; %v", err, far.PathStats())
	}
	io.WriteString(lanes[0], "flushed")
	lanes[0].Close()
	if got, err := io.ReadAll(strs[0]); string(got) != "flushed" || err != nil {
		t.Fatalf("lane read %q, %v", got, err)
	}
	lanes[1].(interface{ Goodbye(uint64, string, bool) }).Goodbye(0x106, "Slow Consumer (Pending Bytes)", true)
	lanes[1].Close()
	resetWith(t, strs[1], 0x106)
	if p := far.Path(); p.Lanes != 0 {
		t.Fatalf("path: %+v", p)
	}
	// The connection goes on.
	io.WriteString(c, "x")
	if b := make([]byte, 1); readFull(far, b) != "x" {
		t.Fatalf("read %q", b)
	}

	_, plain := pair(t, l, trust, quic.Preamble{})
	if _, err := plain.OpenLane(); plain.TakesLanes() || err == nil {
		t.Fatal("a client that did not ask gets lanes")
	}
}

// TestRequest looks at the request of a session from each of its connections.
func TestRequest(t *testing.T) {
	l, trust := serve(t, Options{})
	_, s := openSession(t, l, trust, http.Header{"Cookie": {"token=abc; other=1"}, "X-Who": {"me"}})
	for range 2 {
		get := accepted(t, l)
		if _, err := openStream(t.Context(), s, quic.Preamble{}); err != nil {
			t.Fatal(err)
		}
		c := get()
		r := c.Request()
		if r == nil {
			t.Fatal("no request")
		}
		cookie, err := r.Cookie("token")
		if err != nil || cookie.Value != "abc" || r.Header.Get("X-Who") != "me" || r.URL.Path != "/nats" || r.Host != l.Addr().String() {
			t.Fatalf("request %+v: %v", r, err)
		}
		r.Header.Set("X-Who", "changed") // is not seen by the next
		if c.Request() != nil {
			t.Fatal("the request is there twice")
		}
	}
}

// TestPages asks for what is no session.
func TestPages(t *testing.T) {
	l, trust := serve(t, Options{})
	p, err := connect(t.Context(), l.Addr().String(), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	get := func(method string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+p.addr+"/nats", nil)
		if err != nil {
			t.Fatal(err)
		}
		rsp, err := p.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer rsp.Body.Close()
		b, _ := io.ReadAll(rsp.Body)
		return rsp.StatusCode, string(b)
	}
	if status, _ := get("GET"); status != 404 {
		t.Fatalf("without a Handler: %d", status)
	}
	if err := l.Set(Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method+" page") })}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{"GET", "POST"} {
		if status, body := get(m); status != 200 || body != m+" page" {
			t.Fatalf("%s: %d %q", m, status, body)
		}
	}
	if err := l.Set(Options{AllowedOrigins: []string{"x"}}); err == nil {
		t.Fatal("wrong options were taken")
	}
}

// held is a socket on which nothing arrives until open is closed.
type held struct {
	net.PacketConn
	open chan struct{}
}

func (h *held) ReadFrom(p []byte) (int, net.Addr, error) {
	<-h.open
	return h.PacketConn.ReadFrom(p)
}

// TestEarly asks with early data: nothing is answered before the handshake is
// complete.
func TestEarly(t *testing.T) {
	complete := make(chan bool, 2)
	l, trust := serve(t, Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Value(visitKey{}).(*visit).qc.HandshakeComplete():
			complete <- true
		default:
			complete <- false
		}
	})})
	cfg := trust.Clone()
	cfg.NextProtos = []string{ALPN}
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	// GET https://edge/ as HEADERS, by the static table of QPACK.
	get := append([]byte{0x01, 11, 0, 0, 0xc0 | 17, 0xc0 | 23, 0xc0 | 1, 0x50, 4}, "edge"...)
	for i := range 2 {
		udp, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		h := &held{udp, make(chan struct{})}
		release := sync.OnceFunc(func() { close(h.open) })
		if i == 0 {
			release()
		}
		tr := &quicgo.Transport{Conn: h}
		qc, err := tr.DialEarly(t.Context(), l.Addr(), cfg, &quicgo.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
		if err != nil {
			release()
			t.Fatal(err)
		}
		str, err := qc.OpenStream()
		if err == nil {
			_, err = str.Write(get)
			str.Close()
		}
		release()
		if err != nil {
			t.Fatal(err)
		}
		if !<-complete {
			t.Fatal("answered before the handshake was complete")
		}
		if b, err := io.ReadAll(str); len(b) == 0 || err != nil {
			t.Fatalf("answer %q, %v", b, err)
		}
		if early := qc.ConnectionState().Used0RTT; early != (i == 1) {
			t.Fatalf("connection %d: early data %v", i, early)
		}
		qc.CloseWithError(0x100, "")
		tr.Close()
		udp.Close()
	}
	if s := l.Port().Stats(); s.Early != 1 || s.Resumed != 1 {
		t.Fatalf("stats: %+v", s)
	}
}

// TestTogether has NATS over QUIC and over WebTransport on one port.
func TestTogether(t *testing.T) {
	l, trust := serve(t, Options{})
	q, err := quic.Listen(l.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if _, err := Listen(l.Port(), Options{}); err == nil {
		t.Fatal("two listeners serve h3")
	}
	far := make(chan net.Conn, 1)
	go func() {
		c, _ := q.Accept()
		far <- c
	}()
	device, err := quic.Dial(t.Context(), l.Addr().String(), quic.DialOptions{TLS: trust})
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	page, pageFar := pair(t, l, trust, quic.Preamble{})
	for _, c := range []struct {
		near, far io.ReadWriter
		text      string
	}{{device, <-far, "device"}, {page, pageFar, "page"}} {
		io.WriteString(c.near, c.text)
		if b := make([]byte, len(c.text)); readFull(c.far, b) != c.text {
			t.Fatalf("%s: read %q", c.text, b)
		}
	}
	// The end of one listener is none of the other's business.
	l.Close()
	another, err := quic.Dial(t.Context(), l.Addr().String(), quic.DialOptions{TLS: trust})
	if err != nil {
		t.Fatal(err)
	}
	another.Close()
}

// TestListenerClosed closes a listener: connections stay, and their sessions and
// QUIC connections end soon after them; those without any end at once.
func TestListenerClosed(t *testing.T) {
	l, trust := serve(t, Options{})
	_, empty := openSession(t, l, trust, nil)
	c, far := pair(t, l, trust, quic.Preamble{})
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accept: %v", err)
	}
	closedWith(t, empty, 0x04, "Listener Closed")
	if _, err := connect(t.Context(), l.Addr().String(), trust); err == nil {
		t.Fatal("a connection came about")
	}
	io.WriteString(far, "here")
	if b := make([]byte, 4); readFull(c, b) != "here" {
		t.Fatalf("read %q after the listener was closed", b)
	}
	// No new connection on the session that stays.
	late, err := openStream(t.Context(), c.s, quic.Preamble{})
	if err != nil {
		t.Fatal(err)
	}
	resetWith(t, late, 0x04)
	far.Goodbye(0x114, "Server Shutdown", false)
	far.Close()
	closedWith(t, c.s, 0x114, "Server Shutdown")
	l.Port().Drain(t.Context())
}

func TestNoDatagrams(t *testing.T) {
	server, _ := listenertest.Identity(t)
	p, err := quic.OpenPort(t.Context(), "127.0.0.1", 0, quic.Options{TLS: server})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := Listen(p, Options{}); err == nil || !strings.Contains(err.Error(), "Datagrams: true") {
		t.Fatalf("got %v", err)
	}
}

// TestWait reads the way that the core does, and in all the ways in which what
// Wait read ahead can lie to what Read asks for.
func TestWait(t *testing.T) {
	l, trust := serve(t, Options{})
	c, far := pair(t, l, trust, quic.Preamble{})
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	sent := make(chan error, 1)
	go func() {
		for rest, k := data, 0; len(rest) > 0; k++ {
			n := min(len(rest), []int{1, aheadSize - 1, aheadSize, aheadSize + 1, 3000, 70_000}[k%6])
			if _, err := c.Write(rest[:n]); err != nil {
				sent <- err
				return
			}
			rest = rest[n:]
		}
		sent <- c.CloseWrite()
	}()
	var got []byte
	b := make([]byte, 64<<10)
	for k := 0; ; k++ {
		if k%5 != 4 {
			far.Wait()
		}
		n, err := far.Read(b[:[]int{1, aheadSize, len(b), 100, len(b)}[k%5]])
		got = append(got, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil || !bytes.Equal(got, data) {
		t.Fatalf("sent: %v; %d of %d bytes, or others", err, len(got), len(data))
	}
	if err := far.Wait(); err != io.EOF {
		t.Fatalf("wait behind the end: %v", err)
	}
}

// TestWaitDeadline has deadlines that Read's own must not hide.
func TestWaitDeadline(t *testing.T) {
	l, trust := serve(t, Options{})
	c, far := pair(t, l, trust, quic.Preamble{})
	io.WriteString(c, strings.Repeat("x", aheadSize))
	if err := far.Wait(); err != nil {
		t.Fatal(err)
	}
	far.SetReadDeadline(past)
	n, err := far.Read(make([]byte, 2*aheadSize)) // asks for more
	if n == 0 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	if err := far.Wait(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wait: %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read: %v", err)
	}
	far.SetReadDeadline(time.Time{})
	io.WriteString(c, strings.Repeat("y", aheadSize-n)+"z")
	b := make([]byte, aheadSize-n+1)
	if readFull(far, b); b[len(b)-1] != 'z' {
		t.Fatalf("read %q", b)
	}
}

// TestGone resets a stream as if its session were over, which it is not.
func TestGone(t *testing.T) {
	l, trust := serve(t, Options{})
	p, s := openSession(t, l, trust, nil)
	get := accepted(t, l)
	if _, err := openStream(t.Context(), s, quic.Preamble{}); err != nil {
		t.Fatal(err)
	}
	get() // keeps the session
	str, err := p.qc.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	get = accepted(t, l)
	str.Write(quic.AppendPreamble([]byte{0x40, 0x41, 0}, quic.Preamble{})) // of session 0
	far := get()
	str.CancelWrite(wt.WTSessionGoneErrorCode)
	str.CancelRead(wt.WTSessionGoneErrorCode)
	done := make(chan error, 2)
	go func() { done <- far.Wait() }()
	go func() {
		var err error
		for err == nil {
			_, err = far.Write(make([]byte, 1000))
		}
		done <- err
	}()
	<-far.str.Context().Done() // the resets have come
	far.Close()
	for range 2 {
		if err := <-done; err == nil {
			t.Fatal("no error")
		}
	}
}

// TestNoise sends what nobody reads beside a connection.
func TestNoise(t *testing.T) {
	l, trust := serve(t, Options{})
	c, far := pair(t, l, trust, quic.Preamble{})
	for range 2000 {
		c.s.SendDatagram(make([]byte, 1000))
	}
	for range 100 {
		str, err := c.s.OpenUniStream()
		if err != nil {
			break // as many as the port allows
		}
		str.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		str.Write(make([]byte, 8<<10))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.WriteString(c, "through")
	}()
	if b := make([]byte, 7); readFull(far, b) != "through" {
		t.Fatalf("read %q", b)
	}
	<-done
}
