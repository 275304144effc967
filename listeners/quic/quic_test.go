package quic

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"ganglion/listeners"
	"ganglion/listeners/listenertest"
)

// serve opens a listener on a free port of localhost.
func serve(t testing.TB, o Options) *Listener {
	t.Helper()
	open, err := Opener(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := open(t.Context(), listeners.Config{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	l := ln.(*Listener)
	t.Cleanup(func() {
		l.Close()
		l.Port().Close()
	})
	return l
}

// local opens sockets on localhost, whose address says where they are.
func local(ctx context.Context) (net.PacketConn, error) {
	return (&net.ListenConfig{}).ListenPacket(ctx, "udp", "127.0.0.1:0")
}

func TestListener(t *testing.T) {
	server, client := listenertest.Identity(t)
	for _, tc := range []struct {
		name  string
		lanes []string
	}{{"plain", nil}} {
		t.Run(tc.name, func(t *testing.T) {
			listenertest.Run(t,
				func(t *testing.T) net.Listener { return serve(t, Options{TLS: server}) },
				func(ctx context.Context, ln net.Listener) (net.Conn, error) {
					c, err := Dial(ctx, ln.Addr().String(), DialOptions{TLS: client, ListenPacket: local, Lanes: tc.lanes})
					if err != nil {
						return nil, err
					}
					return c, nil
				})
		})
	}
}

// accepted accepts one connection in the background.
func accepted(t *testing.T, l net.Listener) func() *Conn {
	t.Helper()
	ch := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			ch <- c
		}
		close(ch)
	}()
	return func() *Conn {
		t.Helper()
		c, ok := <-ch
		if !ok {
			t.Fatal("nothing was accepted")
		}
		return c.(*Conn)
	}
}

func dial(t *testing.T, l net.Listener, o DialOptions) *ClientConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := Dial(ctx, l.Addr().String(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestPreamble(t *testing.T) {
	for _, p := range []Preamble{{}, {Lanes: true, Number: 0}, {Lanes: true, Number: 0xbeef}} {
		b := append(AppendPreamble(nil, p), "rest"...)
		r := bytes.NewReader(b)
		got, err := ReadPreamble(r)
		if err != nil || got != p || r.Len() != 4 {
			t.Errorf("%+v: got %+v, %v, %d bytes left", p, got, err, r.Len())
		}
	}
	for _, s := range []string{"", "NATS", "NATX\x01\x00", "NATS\x02\x00", "NATS\x01\x02", "NATS\x01\x01", "NATS\x01\x01\x00", "CONNECT {}\r\n", "GET / HTTP/1.1\r\n"} {
		if p, err := ReadPreamble(bytes.NewReader([]byte(s))); err == nil {
			t.Errorf("%q: got %+v; want an error", s, p)
		}
	}
}

func FuzzPreamble(f *testing.F) {
	f.Add([]byte("NATS\x01\x00INFO"))
	f.Add([]byte("NATS\x01\x01\x00\x07"))
	f.Add([]byte("NATS\x02\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		p, err := ReadPreamble(r)
		if err != nil {
			return
		}
		if again := AppendPreamble(nil, p); !bytes.Equal(again, b[:len(b)-r.Len()]) {
			t.Fatalf("%+v is %q; was %q", p, again, b)
		}
	})
}

func FuzzLane(f *testing.F) {
	f.Add([]byte("\x01\x00\x07MSG a 1 2\r\nok\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n"), 3)
	f.Add([]byte("\x01\xff\xffPING\r\nINFO {}\r\nMSG a 1 99999999\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		r := bytes.NewReader(b)
		if _, err := ReadLaneHead(r); err != nil {
			return
		}
		b = b[len(b)-r.Len():]
		n, err := whole(b)
		if n < 0 || n > len(b) {
			t.Fatalf("whole says %d of %d", n, len(b))
		}
		if err != nil {
			return
		}
		// What is whole in a beginning is whole in all of it, and the rest goes on.
		if cut < 0 || cut > len(b) {
			return
		}
		k, err := whole(b[:cut])
		if err != nil || k > n {
			t.Fatalf("of %q: %d bytes and %v; of its first %d bytes %d", b, n, err, cut, k)
		}
		if m, _ := whole(b[k:]); k+m != n {
			t.Fatalf("of %q: %d bytes at once, %d and %d in pieces", b, n, k, m)
		}
	})
}

// TestCodes ends connections as servers do and looks at what the client learns.
func TestCodes(t *testing.T) {
	server, client := listenertest.Identity(t)
	for _, tc := range []struct {
		name   string
		abrupt bool
		want   string // read before the end
	}{{"flushed", false, "-ERR 'x'\r\n"}, {"abrupt", true, ""}} {
		t.Run(tc.name, func(t *testing.T) {
			l := serve(t, Options{TLS: server})
			get := accepted(t, l)
			c := dial(t, l, DialOptions{TLS: client})
			far := get()
			if !tc.abrupt {
				io.WriteString(far, tc.want)
			}
			far.Goodbye(0x103, "Authentication Failure", tc.abrupt)
			far.Close()
			got, err := io.ReadAll(c)
			if string(got) != tc.want {
				t.Fatalf("read %q, %v", got, err)
			}
			// The QUIC connection follows, with the text.
			<-c.Session().Done()
			_, err = c.Write([]byte("x"))
			var ce *CloseError
			if !errors.As(err, &ce) || ce.Code != 0x103 {
				t.Fatalf("write: %v", err)
			}
			ce = closeError(context.Cause(c.qc.Context()))
			if ce == nil || ce.Code != 0x103 || ce.Text != "Authentication Failure" {
				t.Fatalf("the QUIC connection ended with %v", context.Cause(c.qc.Context()))
			}
		})
	}
}

// TestResume connects twice: the second time the preamble is early data.
func TestResume(t *testing.T) {
	server, client := listenertest.Identity(t)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	l := serve(t, Options{TLS: server})
	for i := range 3 {
		get := accepted(t, l)
		c := dial(t, l, DialOptions{TLS: client})
		far := get()
		io.WriteString(far, "INFO {}\r\n")
		b := make([]byte, 9)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "PING\r\n")
		if _, err := io.ReadFull(far, b[:6]); err != nil || string(b[:6]) != "PING\r\n" {
			t.Fatalf("server read %q, %v", b[:6], err)
		}
		if early := c.Session().Early(); early != (i > 0) {
			t.Fatalf("connection %d: early %v", i, early)
		}
		c.Close()
		far.Close()
	}
	if s := l.Port().Stats(); s.Early != 2 || s.Resumed != 2 {
		t.Fatalf("stats: %+v", s)
	}
}

// TestEarlyRejected resumes a session with a server that does not take early data
// any more.
func TestEarlyRejected(t *testing.T) {
	server, client := listenertest.Identity(t)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	c := dial(t, l, DialOptions{TLS: client})
	far := get()
	io.WriteString(far, "INFO {}\r\n")
	if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	c.Close()

	l2 := serve(t, Options{TLS: server, No0RTT: true})
	get = accepted(t, l2)
	// The cache knows the server by its name.
	c = dial(t, l2, DialOptions{TLS: client})
	far = get()
	io.WriteString(far, "INFO {}\r\n")
	if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	if c.Session().Early() {
		t.Fatal("early data was taken")
	}
}

// TestEarlyData sends more than the preamble before the handshake is complete:
// nothing of it may count until it is.
func TestShare(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	d := &Dialer{Options: DialOptions{TLS: client}, Share: 3}
	defer d.Close()
	var near []net.Conn
	var far []*Conn
	for range 7 {
		get := accepted(t, l)
		c, err := d.DialContext(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		near, far = append(near, c), append(far, get())
	}
	if s := l.Port().Stats(); s.Conns != 3 {
		t.Fatalf("7 connections, 3 on each: %d QUIC connections", s.Conns)
	}
	for i := range near {
		io.WriteString(near[i], string(rune('a'+i)))
	}
	for i := range far {
		b := make([]byte, 1)
		if _, err := io.ReadFull(far[i], b); err != nil || b[0] != byte('a'+i) {
			t.Fatalf("connection %d read %q, %v", i, b, err)
		}
	}
	for i := range near {
		go far[i].Close()
		near[i].Close()
	}
}

// TestRefusals are clients that do it wrong; what they get, and that others are
// served beside them.
func TestRefusals(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server, HandshakeTimeout: 300 * time.Millisecond})
	good := accepted(t, l)
	c := dial(t, l, DialOptions{TLS: client})
	far := good()

	raw := func(t *testing.T, alpn string) (*quicgo.Conn, error) {
		cfg := client.Clone()
		cfg.NextProtos = []string{alpn}
		qc, err := quicgo.DialAddr(t.Context(), l.Addr().String(), cfg, nil)
		if err == nil {
			t.Cleanup(func() { qc.CloseWithError(0, "") })
		}
		return qc, err
	}
	ends := func(t *testing.T, qc *quicgo.Conn, code uint64) {
		t.Helper()
		<-qc.Context().Done()
		if ce := closeError(context.Cause(qc.Context())); ce == nil || ce.Code != code {
			t.Fatalf("ended with %v; want code %#x", context.Cause(qc.Context()), code)
		}
	}
	t.Run("alpn", func(t *testing.T) {
		if _, err := raw(t, "h3"); err == nil {
			t.Fatal("a connection that asks for what nobody serves was accepted")
		}
	})
	t.Run("no stream", func(t *testing.T) {
		qc, err := raw(t, ALPN)
		if err != nil {
			t.Fatal(err)
		}
		ends(t, qc, CodeTimeout)
	})
	for name, p := range map[string]struct {
		text string
		code uint64
	}{
		"no preamble":    {"CONNECT {}\r\n", CodePreamble},
		"half of it":     {"NAT", CodeTimeout},
		"version":        {"NATS\x09\x00", CodePreamble},
		"flags":          {"NATS\x01\xfe", CodePreamble},
		"without number": {"NATS\x01\x01", CodeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			qc, err := raw(t, ALPN)
			if err != nil {
				t.Fatal(err)
			}
			str, err := qc.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(str, p.text)
			_, err = str.Read(make([]byte, 1))
			if ce := closeError(err); ce == nil || ce.Code != p.code {
				t.Fatalf("stream ended with %v; want code %#x", err, p.code)
			}
			ends(t, qc, p.code)
		})
	}
	io.WriteString(c, "still")
	if b := make([]byte, 5); readFull(far, b) != "still" {
		t.Fatalf("the good connection read %q", b)
	}
}

func readFull(r io.Reader, b []byte) string {
	n, _ := io.ReadFull(r, b)
	return string(b[:n])
}

// TestStreams opens more streams than a connection may have.
func TestStreams(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server, MaxStreams: 2})
	s, err := DialSession(t.Context(), l.Addr().String(), DialOptions{TLS: client})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var far []*Conn
	for range 2 {
		get := accepted(t, l)
		if _, err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		far = append(far, get())
	}
	// The third waits for one of them to end.
	get := accepted(t, l)
	opened := make(chan error, 1)
	go func() { _, err := s.Open(t.Context()); opened <- err }()
	far[0].Close()
	get()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

// TestMaxConns has a port refuse what is above its limit.
func TestMaxConns(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server, MaxConns: 1})
	get := accepted(t, l)
	dial(t, l, DialOptions{TLS: client})
	get()
	if _, err := Dial(t.Context(), l.Addr().String(), DialOptions{TLS: client}); err == nil {
		t.Fatal("a second connection was accepted")
	}
	if n := l.Port().Stats().Refused; n == 0 {
		t.Fatal("nothing is counted as refused")
	}
}

// TestRetry has a port that trusts nobody's address.
func TestRetry(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server, RetryRate: -1})
	get := accepted(t, l)
	dial(t, l, DialOptions{TLS: client})
	get()
	if s := l.Port().Stats(); s.Retried == 0 || s.Accepted != 1 {
		t.Fatalf("stats: %+v", s)
	}
}

// TestCloseDelivers closes the client's end right behind what it wrote.
func TestCloseDelivers(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	c := dial(t, l, DialOptions{TLS: client})
	far := get()
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	read := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(far)
		far.Close()
		read <- b
	}()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if b := <-read; !bytes.Equal(b, data) {
		t.Fatalf("%d of %d bytes arrived", len(b), len(data))
	}
}

// TestMigrate moves a client to another socket while it sends.
func TestMigrate(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	c := dial(t, l, DialOptions{TLS: client, ListenPacket: local, Movable: true})
	far := get()
	data := bytes.Repeat([]byte("0123456789"), 200_000)
	half := make(chan struct{})
	go func() {
		c.Write(data[:len(data)/2])
		close(half)
		c.Write(data[len(data)/2:])
	}()
	moved := make(chan error, 1)
	go func() {
		<-half
		moved <- c.Session().Migrate(t.Context(), nil)
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(far, got[:len(data)/2]); err != nil {
		t.Fatal(err)
	}
	before := far.RemoteAddr().String()
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, got[len(data)/2:]); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read: %v", err)
	}
	// The address changes with the first packet that the server takes from there.
	for far.RemoteAddr().String() == before {
		io.WriteString(c, "x")
		if _, err := far.Read(got[:1]); err != nil {
			t.Fatal(err)
		}
	}
	if p := far.Path(); p.Migrations != 1 {
		t.Fatalf("path: %+v", p)
	}
}

// TestListenerClosed closes a listener: connections stay, and their QUIC
// connections end soon after them.
func TestListenerClosed(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	c := dial(t, l, DialOptions{TLS: client})
	far := get()
	l.Close()
	io.WriteString(far, "here")
	if b := make([]byte, 4); readFull(c, b) != "here" {
		t.Fatalf("read %q after the listener was closed", b)
	}
	far.Goodbye(0x114, "Server Shutdown", false)
	far.Close()
	<-c.Session().Done()
	l.Port().Drain(t.Context())
}
