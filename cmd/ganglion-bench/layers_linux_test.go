package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// fakeServer greets each connection over t as a NATS server does, and answers
// every PING with stream and a PONG.
func fakeServer(t *testing.T, over transport, id identity, stream string) netip.AddrPort {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(id.cert, id.key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if err := serveFake(c, over, &tls.Config{Certificates: []tls.Certificate{pair}}, stream); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serveFake returns without an error when the client hangs up.
func serveFake(c net.Conn, over transport, cfg *tls.Config, stream string) error {
	if !over.websocket {
		if _, err := c.Write([]byte(testInfo)); err != nil {
			return err
		}
	}
	if over.secure {
		s := tls.Server(c, cfg)
		if err := s.Handshake(); err != nil {
			return err
		}
		c = s
	}
	r := bufio.NewReader(c)
	if over.websocket {
		req, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		// INFO comes along with the answer.
		if _, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
			base64.StdEncoding.EncodeToString(sum[:]), binaryFrame(testInfo)); err != nil {
			return err
		}
	}
	answer := []byte(stream + "PONG\r\n")
	if over.websocket {
		// Frames that end within messages.
		var b bytes.Buffer
		for rest := answer; len(rest) > 0; {
			k := min(1<<10+7, len(rest))
			b.WriteString(binaryFrame(string(rest[:k])))
			rest = rest[k:]
		}
		answer = b.Bytes()
	}
	var got []byte
	for buf := make([]byte, 4<<10); ; {
		n, err := r.Read(buf)
		if err != nil {
			return nil
		}
		got = append(got, buf[:n]...)
		plain := got
		if over.websocket {
			plain = unmasked(got)
		}
		if bytes.HasSuffix(plain, []byte("PING\r\n")) {
			got = got[:0]
			if _, err := c.Write(answer); err != nil {
				return nil
			}
		}
	}
}

// unmasked is the payload of one short frame, nil until it is whole.
func unmasked(b []byte) []byte {
	if len(b) < 2 || len(b) < headLen(b[1]) {
		return nil
	}
	at, n := headLen(b[1]), int(b[1]&^bitMask)
	if at == 4 {
		n = int(b[2])<<8 | int(b[3])
	}
	if len(b) < at+4+n {
		return nil
	}
	p := bytes.Clone(b[at+4:])
	for i := range p {
		p[i] ^= b[at+i%4]
	}
	return p
}

// Every transport delivers all there is, read by one connection alone and by
// several in one loop, with and without buffers of their own.
func TestLayersDeliverEverything(t *testing.T) {
	t.Parallel()
	const messages = 5_000
	id, err := newIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, over := range []transport{{}, {secure: true}, {secure: true, lean: true}, {websocket: true}, {websocket: true, secure: true}, {websocket: true, secure: true, lean: true}} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s lean %t x%d", over, over.lean, n), func(t *testing.T) {
				t.Parallel()
				addr := fakeServer(t, over, id, strings.Repeat(testMsg, messages))
				s := newSession(t.Context(), &server{over: over, id: id, addr: addr, web: addr})
				defer s.close()
				var conns []*conn
				var counts []*atomic.Int64
				for range n {
					c, err := s.open(netip.Addr{}, over)
					if err != nil {
						t.Fatal(err)
					}
					count := &atomic.Int64{}
					c.sink = &counter{control: &c.control, size: len(testMsg), head: []byte(testHead), add: func(n int) { count.Add(int64(n)) }}
					if err := c.flush([]byte(hello)); err != nil {
						t.Fatal(err)
					}
					conns, counts = append(conns, c), append(counts, count)
				}
				if err := s.attach(conns...); err != nil {
					t.Fatal(err)
				}
				if err := s.settle(conns...); err != nil {
					t.Fatal(err)
				}
				if err := s.err(); err != nil {
					t.Fatal(err)
				}
				for i, c := range counts {
					if got := c.Load(); got != 2*messages {
						t.Errorf("connection %d counted %d messages, want %d", i, got, 2*messages)
					}
				}
			})
		}
	}
}

// A certificate that is not the run's is refused: legs talk to the server that
// they started.
func TestSecureRefusesOthers(t *testing.T) {
	t.Parallel()
	mine, err := newIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other, err := newIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(other.cert, other.key)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = serveFake(c, transport{secure: true}, &tls.Config{Certificates: []tls.Certificate{pair}}, "")
			c.Close()
		}
		served <- err
	}()
	s := newSession(t.Context(), &server{over: transport{secure: true}, id: mine, addr: l.Addr().(*net.TCPAddr).AddrPort()})
	_, err = s.dial()
	if err == nil || !strings.Contains(err.Error(), "TLS handshake") {
		t.Errorf("error %v, want a failed handshake", err)
	}
	s.close()
	l.Close()
	<-served
}
