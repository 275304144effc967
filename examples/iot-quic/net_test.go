//go:build net

package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"ganglion/core/brokertest/link"
)

func TestMain(m *testing.M) { os.Exit(link.Main(m)) }

// TestNetDeviceMoves changes the device's address while it works, its own and its
// NAT's: no telemetry is missing or comes twice, it answers afterwards, and it has
// connected once.
func TestNetDeviceMoves(t *testing.T) {
	for name, tc := range map[string]struct {
		nat  bool
		move func(l *link.Link) netip.Addr
	}{
		"renumbered":  {false, (*link.Link).Renumber},
		"nat rebinds": {true, (*link.Link).Rebind},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := link.New(t, link.Options{Shape: link.Shape{Delay: 30 * time.Millisecond}, NAT: tc.nat})
			pc, err := l.Far.ListenPacket("udp", l.Far.Addr().String()+":0")
			must(t, err)
			w := newWorld(t, pc)
			w.device.dial.ListenPacket = func(context.Context) (net.PacketConn, error) { return l.Near.ListenPacket("udp", ":0") }
			w.device.way = l.Near.Dial
			sub, err := w.inside.SubscribeSync("devices.7.telemetry")
			must(t, err)
			must(t, w.inside.Flush())
			w.start(t)
			const moves, between = 3, 100
			for n := range uint64((moves + 1) * between) {
				if n%between == between/2 && n/between < moves {
					tc.move(l)
				}
				if v := next(t, sub); v.N != n {
					t.Fatalf("telemetry %d came; %d was due; the device says\n%s", v.N, n, w.said)
				}
			}
			if got := w.ask(t, "ping"); got != "pong" {
				t.Errorf("answered %q; want pong", got)
			}
			s := w.port.Stats()
			if s.Migrations != moves || s.Accepted != 1 {
				t.Errorf("the server saw %d migrations of %d connections; want %d of 1", s.Migrations, s.Accepted, moves)
			}
			text, moved := w.said.String(), moves
			if tc.nat { // which the device can't see
				moved = 0
			}
			if strings.Contains(text, "disconnected") || strings.Count(text, "moved from 10.1.0.") != moved {
				t.Errorf("it moved %d times; the device says\n%s", moves, text)
			}
		})
	}
}
