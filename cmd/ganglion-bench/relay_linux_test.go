package main

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
)

// testRelay runs a relay and returns a session with it.
func testRelay(t *testing.T, over transport) *session {
	t.Helper()
	id, err := newIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(id.cert, id.key)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := relayOn(ctx, pc, cert); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	over.quic = true
	srv := &server{product: product{name: "relay", relay: true}, over: over, id: id, udp: pc.LocalAddr().(*net.UDPAddr).AddrPort()}
	if err := srv.quicReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newSession(t.Context(), srv)
	t.Cleanup(s.close)
	return s
}

// Everything that a publisher hands to the relay comes to each subscriber of that
// subject, and nothing to others; the packets are counted.
func TestRelayDeliversToSubscribers(t *testing.T) {
	t.Parallel()
	const chunks, subscribers = 20, 3
	s := testRelay(t, transport{})
	other, err := s.fan("other", "", 128, 0, 1, windowPerSub)
	if err != nil {
		t.Fatal(err)
	}
	top, err := s.fan("some", "", 128, 1, subscribers, windowTotal)
	if err != nil {
		t.Fatal(err)
	}
	if err := top.attach(s); err != nil {
		t.Fatal(err)
	}
	if err := other.attach(s); err != nil {
		t.Fatal(err)
	}
	p := top.pubs[0]
	for range chunks {
		c := p.chunks[0]
		if err := p.win.reserve(t.Context(), int64(c.n)*p.fanout); err != nil {
			t.Fatal(err)
		}
		if err := p.c.write(c.b); err != nil {
			t.Fatal(err)
		}
	}
	if err := verify(s, top.wins, append(top.subs, other.subs...)); err != nil {
		t.Fatal(err)
	}
	if got, want := sum(top.wins)(), int64(chunks*subscribers*p.chunks[0].n); got != want {
		t.Errorf("%d messages counted, want %d", got, want)
	}
	if got := sum(other.wins)(); got != 0 {
		t.Errorf("%d messages on another subject", got)
	}
	packets, bytes := top.received()
	if least := int64(chunks * subscribers * len(p.chunks[0].b)); bytes < least || packets < least/1500 {
		t.Errorf("%d packets with %d bytes counted, of at least %d bytes sent", packets, bytes, least)
	}
}

// Each connection of a herd, several on a QUIC connection, is told what the idle
// scenarios tell it.
func TestRelayTellsHerd(t *testing.T) {
	t.Parallel()
	s := testRelay(t, transport{lean: true, streams: 3})
	warm, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.gatherQUIC(4)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.attach(warm); err != nil {
		t.Fatal(err)
	}
	for range quicMessages {
		if err := h.tell(warm); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.told.Load(); h.n != 12 || got != 12*quicMessages {
		t.Errorf("%d messages to %d connections", got, h.n)
	}
}

func TestRelayRefusesOtherLines(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"UNSUB 1", "TELL x many", "SUB a b c d", strings.Repeat("x", relayLine+1)} {
		s := testRelay(t, transport{})
		c, err := s.dial()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.flush([]byte(line + "\r\n")); err == nil {
			t.Errorf("%.20q was taken", line)
		}
	}
}
