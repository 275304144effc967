package quic

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"

	"ganglion/listeners/listenertest"
)

// good is a connection to l, which is an echo, that nothing may disturb.
func good(t *testing.T, l *Listener, client *tls.Config) *ClientConn {
	t.Helper()
	c := dial(t, l, DialOptions{TLS: client, ListenPacket: local})
	says(t, c)
	return c
}

// until looks, again and again, whether ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it never came that %s", what)
		}
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools hold takes two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// stranger is a socket that speaks to l, without being connected to it.
func stranger(t *testing.T, l *Listener) (send func([]byte), pc net.PacketConn) {
	t.Helper()
	pc, err := local(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return func(b []byte) {
		t.Helper()
		if _, err := pc.WriteTo(b, l.Addr()); err != nil {
			t.Fatal(err)
		}
	}, pc
}

// TestFloodOfInitials has thousands begin a connection from ports of their own, as
// who invents addresses does, and never go on. Half of the room for handshakes
// stays for those who show that their address is theirs.
func TestFloodOfInitials(t *testing.T) {
	server, client := listenertest.Identity(t)
	const most = 64
	l := serve(t, Options{TLS: server, MaxHandshakes: most, HandshakeTimeout: time.Second})
	echo(l)
	c := good(t, l, client)
	in := newInitials(t, client)
	before := heap()
	var grown int64
	const floods, each = 60, 50
	for i := range floods {
		for range each {
			pc, err := local(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pc.WriteTo(in.fresh(), l.Addr())
			pc.Close()
		}
		says(t, c)
		if s := l.Port().Stats(); s.Handshakes > most || s.Conns > most+2 {
			t.Fatalf("%d handshakes under way, %d connections; %d may be", s.Handshakes, s.Conns, most)
		}
		switch i {
		case floods / 2:
			dial(t, l, DialOptions{TLS: client}).Close() // others still get in
		case floods - 1:
			grown = heap() - before
		}
	}
	s := l.Port().Stats()
	if s.Retried == 0 {
		t.Error("nobody was asked to show its address")
	}
	// A handshake holds 100 KiB or so.
	if grown > most*256<<10 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	t.Logf("%d Initials: %d retried, %d refused, %d handshakes under way, heap %+d KiB", floods*each, s.Retried, s.Refused, s.Handshakes, grown>>10)
	until(t, "all handshakes are over", func() bool { return l.Port().Stats().Handshakes == 0 })
	says(t, c)
}

// TestHalfOpen has clients with true addresses send their first flight and go
// silent.
func TestHalfOpen(t *testing.T) {
	server, client := listenertest.Identity(t)
	const most = 8
	l := serve(t, Options{TLS: server, MaxHandshakes: most, HandshakeTimeout: 500 * time.Millisecond})
	echo(l)
	c := good(t, l, client)
	in := newInitials(t, client)
	for range 4 * most {
		send, pc := stranger(t, l)
		send(in.fresh())
		// What comes back is a Retry, or the server's first flight.
		b := make([]byte, 1500)
		pc.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, _, err := pc.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := in.answer(b[:n]); again != nil {
			send(again)
			if _, _, err := pc.ReadFrom(b); err != nil { // served, or refused
				t.Fatal(err)
			}
		}
		if n := l.Port().Stats().Handshakes; n > most {
			t.Fatalf("%d handshakes under way; %d may be", n, most)
		}
	}
	says(t, c)
	s := l.Port().Stats()
	if s.Retried == 0 || s.Refused == 0 {
		t.Errorf("nobody was made to show its address, or refused: %+v", s)
	}
	until(t, "all handshakes are over", func() bool {
		s = l.Port().Stats()
		return s.Handshakes == 0 && s.Conns == 1
	})
	if s.Failed < most {
		t.Errorf("%d handshakes failed; want %d or more", s.Failed, most)
	}
	t.Logf("%+v", s)
	good(t, l, client)
	says(t, c)
}

// rude returns a QUIC connection for clients that do it wrong.
func rude(t *testing.T, l *Listener, client *tls.Config, o *quicgo.Config) *quicgo.Conn {
	t.Helper()
	cfg := client.Clone()
	cfg.NextProtos = []string{ALPN}
	qc, err := quicgo.DialAddr(t.Context(), l.Addr().String(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { qc.CloseWithError(0, "") })
	return qc
}

// TestFloodOfStreams opens streams and drops them, some with a preamble and some
// without.
func TestFloodOfStreams(t *testing.T) {
	server, client := listenertest.Identity(t)
	const most = 16
	l := serve(t, Options{TLS: server, MaxStreams: most})
	echo(l)
	c := good(t, l, client)
	qc := rude(t, l, client, nil)
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range 3000 {
		str, err := qc.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i%3 > 0 {
			str.Write(AppendPreamble(nil, Preamble{}))
		}
		if i%3 == 2 {
			io.WriteString(str, "CONNECT {}\r\n")
		}
		str.CancelWrite(7)
		str.CancelRead(7)
		if i%100 == 0 {
			says(t, c)
			// A stream has one goroutine here, and one of the echo's.
			if n := runtime.NumGoroutine(); n > goroutines+3*most {
				t.Fatalf("%d goroutines; there were %d before", n, goroutines)
			}
		}
	}
	says(t, c)
	until(t, "the goroutines of all streams are gone", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if l.Port().Stats().Malformed == 0 {
		t.Error("no stream without a preamble is counted")
	}
}

// TestNeverReads has a client that takes nothing, though it is there: writes to it
// end with their deadline.
func TestNeverReads(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	qc := rude(t, l, client, nil)
	str, err := qc.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	str.Write(AppendPreamble(nil, Preamble{}))
	far := get()
	echo(l)
	c := good(t, l, client)
	// It is heard from all the time.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				str.Write([]byte("x"))
			case <-ctx.Done():
				return
			}
		}
	}()
	far.SetWriteDeadline(time.Now().Add(400 * time.Millisecond))
	n, err := far.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a write that nobody takes: %d bytes, %v", n, err)
	}
	if n == 0 || n > 8<<20 {
		t.Errorf("%d bytes went to a client that reads none", n)
	}
	far.Goodbye(0x106, "Slow Consumer (Pending Bytes)", true)
	far.Close()
	str.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err = io.Copy(io.Discard, str)
	if ce := closeError(err); ce == nil || ce.Code != 0x106 {
		t.Errorf("the client reads in the end: %v", err)
	}
	says(t, c)
}

// TestUnread has clients fill the windows of streams that nobody reads:
// unidirectional ones, which the mapping does not have, and some on which the
// preamble does not come to its end.
func TestUnread(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	echo(l)
	c := good(t, l, client)
	const clients = 16
	var wg sync.WaitGroup
	for range clients {
		qc := rude(t, l, client, nil)
		wg.Go(func() {
			var mu sync.Mutex
			sent := 0
			var streams sync.WaitGroup
			for range maxUniStreams {
				str, err := qc.OpenUniStream()
				if err != nil {
					t.Error(err)
					return
				}
				str.SetWriteDeadline(time.Now().Add(time.Second))
				streams.Go(func() {
					n, err := str.Write(make([]byte, 1<<20))
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("wrote %d bytes that nobody reads: %v", n, err)
					}
					mu.Lock()
					defer mu.Unlock()
					sent += n
				})
			}
			streams.Wait()
			// quic-go counts the last packet that it has made ready.
			if sent > connWindow+maxUniStreams*2048 {
				t.Errorf("%d bytes went to who reads none; the window has %d", sent, connWindow)
			}
			if str, err := qc.OpenUniStream(); err == nil {
				t.Errorf("stream %d is open; %d may be", str.StreamID(), maxUniStreams)
			}
		})
	}
	for range 20 {
		says(t, c)
	}
	wg.Wait()
	if n := l.Port().Stats().Conns; n != clients+1 {
		t.Errorf("%d connections; want %d", n, clients+1)
	}
	says(t, c)
}

// tapped is a socket whose packets can be listened to, and taken away.
type tapped struct {
	net.PacketConn
	mu    sync.Mutex
	sent  [][]byte
	steal func([]byte) bool // instead of sending
}

func (p *tapped) WriteTo(b []byte, a net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sent) < 100 {
		p.sent = append(p.sent, bytes.Clone(b))
	}
	if p.steal != nil && p.steal(b) {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, a)
}

func (p *tapped) packets() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// TestNoise sends to the port what is no QUIC, or not any more: random bytes of all
// sizes, and packets of a good connection again, cut, changed and glued together.
func TestNoise(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server, HandshakeTimeout: 500 * time.Millisecond})
	echo(l)
	tap := &tapped{}
	c := dial(t, l, DialOptions{TLS: client, ListenPacket: func(ctx context.Context) (net.PacketConn, error) {
		pc, err := local(ctx)
		tap.PacketConn = pc
		return tap, err
	}})
	for range 20 {
		says(t, c)
	}
	real := append(tap.packets(), newInitials(t, client).fresh())
	rnd := mrand.New(mrand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	send, _ := stranger(t, l)
	before := heap()
	for i := range 3000 {
		b := bytes.Clone(real[rnd.IntN(len(real))])
		switch i % 6 {
		case 0:
			b = noise(1 + rnd.IntN(1500))
		case 1:
			b = b[:rnd.IntN(len(b))]
		case 2:
			for range 1 + rnd.IntN(8) {
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			}
		case 3: // as it was, but from elsewhere
		case 4:
			b = append(b, noise(rnd.IntN(2000))...)
		case 5: // the head makes sense
			b = append(b[:min(len(b), 1+rnd.IntN(40))], noise(1200)...)
		}
		if i%500 == 0 {
			b = noise(65507)
		}
		send(b)
		if i%50 == 0 {
			says(t, c)
		}
	}
	says(t, c)
	until(t, "all handshakes are over", func() bool {
		s := l.Port().Stats()
		return s.Handshakes == 0 && s.Conns == 1
	})
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB", grown>>10)
	}
	if s := l.Port().Stats(); s.Migrations != 0 || s.Malformed != 0 {
		t.Errorf("noise had an effect: %+v", s)
	}
	says(t, c)
	good(t, l, client)
}

// TestStolenPackets sends packets of a good connection from addresses that never
// answer, before the server has got them from their own: the server looks whether
// anybody is there, and stays with the client.
func TestStolenPackets(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	tap := &tapped{}
	c := dial(t, l, DialOptions{TLS: client, Movable: true, ListenPacket: func(ctx context.Context) (net.PacketConn, error) {
		pc, err := local(ctx)
		if tap.PacketConn != nil { // it moves
			return pc, err
		}
		tap.PacketConn = pc
		return tap, err
	}})
	far := get()
	go io.Copy(far, far)
	says(t, c)
	// quic-go remembers three addresses that it asked; from a fourth on it waits
	// five seconds, the client's own next one too.
	for range 2 {
		send, pc := stranger(t, l)
		left := 2
		tap.mu.Lock()
		tap.steal = func(b []byte) bool {
			if left == 0 {
				return false
			}
			left--
			send(b)
			return true
		}
		tap.mu.Unlock()
		says(t, c)
		// The server asks there.
		pc.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, _, err := pc.ReadFrom(make([]byte, 1500)); err != nil {
			t.Fatal(err)
		}
		says(t, c)
	}
	at := c.LocalAddr().String()
	if got, want := far.RemoteAddr().String(), at; got != want {
		t.Errorf("the server takes the client to be at %s; it is at %s", got, want)
	}
	if n := far.Path().Migrations; n != 0 {
		t.Errorf("%d migrations; nobody answered elsewhere", n)
	}
	// The client itself may still move.
	if err := c.Session().Migrate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the client has moved", func() bool {
		says(t, c)
		return far.RemoteAddr().String() != at
	})
}
