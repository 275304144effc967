//go:build net

package link_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ganglion/core/brokertest/link"
)

func TestNetDelayTCP(t *testing.T) {
	l := link.New(t, link.Options{})
	c := dialTCP(t, l, echoTCP(t, l))
	for _, d := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond} {
		l.Set(link.Shape{Delay: d})
		began := time.Now()
		echo(t, c, "hello")
		if took := time.Since(began); took < 2*d {
			t.Errorf("a round trip with %v each way took %v", d, took)
		} else {
			t.Logf("a round trip with %v each way took %v", d, took)
		}
	}
}

func TestNetDelayUDP(t *testing.T) {
	l := link.New(t, link.Options{})
	l.SetDirection(link.Down, link.Shape{Delay: 40 * time.Millisecond, Jitter: 20 * time.Millisecond})
	c, to := listenUDP(t, l.Near), echoUDP(t, l, nil)
	for range 5 {
		began := time.Now()
		ask(t, c, to, "hello")
		if took := time.Since(began); took < 40*time.Millisecond {
			t.Errorf("a round trip took %v", took)
		}
	}
	if up, down := l.Stats(link.Up), l.Stats(link.Down); up.Delivered != (link.Count{Packets: 5, Bytes: 5 * 33}) || down.Delivered != up.Delivered {
		t.Errorf("up %+v, down %+v, want 5 packets of 33 bytes each", up, down)
	}
}

// Of 3000 packets through 5 % loss about 150 are lost, every one counted, and the
// same ones with the same seed.
func TestNetLoss(t *testing.T) {
	const n = 3000
	var runs [2][]uint32
	for i := range runs {
		l := link.New(t, link.Options{Seed: 42, Shape: link.Shape{}})
		l.SetDirection(link.Up, link.Shape{Loss: .05})
		got := flood(t, l, n, 100)
		s := l.Stats(link.Up)
		if s.Sent.Packets != n || s.Dropped.Loss != s.Dropped.Total() || uint64(len(got))+s.Dropped.Loss != n {
			t.Errorf("%d came: %+v", len(got), s)
		}
		if s.Dropped.Loss < 105 || s.Dropped.Loss > 200 {
			t.Errorf("lost %d of %d with probability 0.05", s.Dropped.Loss, n)
		}
		runs[i] = got
	}
	if fmt.Sprint(runs[0]) != fmt.Sprint(runs[1]) {
		t.Error("the same seed lost different packets")
	}
}

func TestNetReorder(t *testing.T) {
	l := link.New(t, link.Options{Seed: 3})
	l.SetDirection(link.Up, link.Shape{Delay: time.Millisecond, Reorder: .1, ReorderDelay: 20 * time.Millisecond})
	got := flood(t, l, 1000, 100)
	overtaken := 0
	for i := 1; i < len(got); i++ {
		if got[i] < got[i-1] {
			overtaken++
		}
	}
	if s := l.Stats(link.Up); len(got) != 1000 || overtaken == 0 || s.Reordered < 60 || s.Reordered > 140 {
		t.Errorf("%d of 1000 came, %d overtaken: %+v", len(got), overtaken, s)
	}
}

// A second of TCP over 2 Mbit/s brings at most 250 kB and what the last packet
// has too much.
func TestNetRate(t *testing.T) {
	const rate = 2_000_000
	l := link.New(t, link.Options{})
	l.SetDirection(link.Up, link.Shape{Rate: rate, Delay: 5 * time.Millisecond})
	ln, err := l.Far.Listen("tcp", l.Far.Addr().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dialTCP(t, l, ln.Addr())
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() { // ends when c is closed
		block := make([]byte, 32<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}()
	began := time.Now()
	far.SetReadDeadline(began.Add(time.Second))
	n, err := io.Copy(io.Discard, far)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading ended with %v", err)
	}
	took, s := time.Since(began), l.Stats(link.Up)
	if most := int64(rate/8*took.Seconds()) + 1500; n > most {
		t.Errorf("%d bytes came in %v, more than the %d of %d bit/s", n, took, most, rate)
	}
	if n < rate/8/10 {
		t.Errorf("only %d bytes came in %v at %d bit/s", n, took, rate)
	}
	t.Logf("%d bytes in %v at %d bit/s: %+v", n, took, rate, s)
}

// A UDP sender that is too fast fills the queue, and the rest is dropped there.
func TestNetQueue(t *testing.T) {
	l := link.New(t, link.Options{})
	l.SetDirection(link.Up, link.Shape{Rate: 100_000, Queue: 5 * 528})
	got := flood(t, l, 100, 500)
	if s := l.Stats(link.Up); s.Dropped.Queue == 0 || uint64(len(got)) != s.Delivered.Packets || s.Delivered.Packets+s.Dropped.Queue != 100 {
		t.Errorf("%d came: %+v", len(got), s)
	}
	for i, n := range got[:5] {
		if n != uint32(i) {
			t.Errorf("packets %v came first; the queue drops the newest", got[:5])
			break
		}
	}
}

func TestNetBlackout(t *testing.T) {
	l := link.New(t, link.Options{})
	c, to := listenUDP(t, l.Near), echoUDP(t, l, nil)
	ask(t, c, to, "before")
	l.Blackout(true)
	for range 10 {
		send(t, c, to, "into the dark")
	}
	waitFor(t, func() bool { return l.Stats(link.Up).Dropped.Blackout == 10 })
	l.Blackout(false)
	ask(t, c, to, "after")

	// Half open: far hears near, near does not hear far.
	l.BlackoutDirection(link.Down, true)
	for range 3 {
		send(t, c, to, "nobody answers")
	}
	waitFor(t, func() bool { return l.Stats(link.Down).Dropped.Blackout == 3 })
	l.BlackoutDirection(link.Down, false)
	ask(t, c, to, "after that")
	if up, down := l.Stats(link.Up), l.Stats(link.Down); up.Delivered.Packets != 6 || down.Delivered.Packets != 3 ||
		up.Dropped.Total() != 10 || down.Dropped.Total() != 3 {
		t.Errorf("up %+v\ndown %+v", up, down)
	}
}

// TCP gets over a blackout by itself.
func TestNetBlackoutTCP(t *testing.T) {
	l := link.New(t, link.Options{})
	c := dialTCP(t, l, echoTCP(t, l))
	echo(t, c, "before")
	l.Blackout(true)
	if _, err := io.WriteString(c, "within"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return l.Stats(link.Up).Dropped.Blackout >= 2 }) // sent and sent again
	l.Blackout(false)
	receive(t, c, "within")
}

// An MTU on the way that nobody knows of drops; a known one refuses.
func TestNetMTU(t *testing.T) {
	l := link.New(t, link.Options{})
	l.SetDirection(link.Up, link.Shape{MTU: 1280})
	c, to := listenUDP(t, l.Near), echoUDP(t, l, nil)
	fits, exceeds := strings.Repeat("x", 1280-28), strings.Repeat("x", 1281-28)
	ask(t, c, to, fits)
	send(t, c, to, exceeds)
	waitFor(t, func() bool { return l.Stats(link.Up).Dropped.MTU == 1 })

	l.Set(link.Shape{})
	ask(t, c, to, exceeds)
	l.SetMTU(1280)
	dontFragment(t, c)
	ask(t, c, to, fits)
	if _, err := c.WriteTo([]byte(exceeds), to); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("1281 bytes over an interface of 1280: %v, want %v", err, syscall.EMSGSIZE)
	}
	// TCP's segments are cut to it.
	l.SetDirection(link.Up, link.Shape{MTU: 1280})
	before := l.Stats(link.Up).Dropped.MTU
	echo(t, dialTCP(t, l, echoTCP(t, l)), strings.Repeat("y", 20_000))
	if after := l.Stats(link.Up).Dropped.MTU; after != before {
		t.Errorf("%d segments were larger than the MTU", after-before)
	}
}

// A larger packet may be fragmented, and the NAT lets all fragments through.
func TestNetFragments(t *testing.T) {
	l := link.New(t, link.Options{NAT: true, MTU: 1280})
	c, to := listenUDP(t, l.Near), echoUDP(t, l, nil)
	mayFragment(t, c)
	ask(t, c, to, strings.Repeat("fragment", 500))
	if s := l.Stats(link.Up); s.Delivered.Packets != 4 {
		t.Errorf("counted %+v, want 4 fragments", s)
	}
}
