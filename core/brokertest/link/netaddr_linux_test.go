//go:build net

package link_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"ganglion/core/brokertest/link"
)

// The server sees a new source, its answers to it arrive, and those to the old one do not.
func TestNetRebind(t *testing.T) {
	l := link.New(t, link.Options{NAT: true})
	seen := make(chan netip.AddrPort, 10)
	c, to := listenUDP(t, l.Near), echoUDP(t, l, seen)
	ask(t, c, to, "one")
	first := <-seen
	if first.Addr() != l.Outside() || first.Addr() == l.Near.Addr() {
		t.Errorf("far sees %s; near is %s, outside %s", first, l.Near.Addr(), l.Outside())
	}
	outside := l.Rebind()
	ask(t, c, to, "two")
	second := <-seen
	if second.Addr() != outside || outside == first.Addr() || second.Port() == first.Port() {
		t.Errorf("after Rebind to %s far sees %s, before it %s", outside, second, first)
	}
	l.RebindPorts()
	ask(t, c, to, "three")
	if third := <-seen; third.Addr() != outside || third.Port() == second.Port() {
		t.Errorf("after RebindPorts far sees %s, before it %s", third, second)
	}

	far := listenUDP(t, l.Far)
	for _, old := range []netip.AddrPort{first, second} {
		send(t, far, net.UDPAddrFromAddrPort(old), "too late")
	}
	waitFor(t, func() bool { return l.Stats(link.Down).Dropped.NAT == 2 })
	ask(t, c, to, "four") // and nothing else was waiting
}

// The server knows nothing of a TCP connection from another port, and resets it.
func TestNetRebindTCP(t *testing.T) {
	l := link.New(t, link.Options{NAT: true, Shape: link.Shape{Delay: 5 * time.Millisecond}})
	to := echoTCP(t, l)
	c := dialTCP(t, l, to)
	echo(t, c, strings.Repeat("x", 200_000))
	l.Rebind()
	if _, err := io.WriteString(c, "who am I?"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want %v", err, syscall.ECONNRESET)
	}
	echo(t, dialTCP(t, l, to), "a new connection")
}

// Nobody listens on the port: near is told so, through the NAT too.
func TestNetPortUnreachable(t *testing.T) {
	for _, nat := range []bool{false, true} {
		l := link.New(t, link.Options{NAT: nat})
		c, err := l.Near.Dial("udp", netip.AddrPortFrom(l.Far.Addr(), 9).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("NAT %v: read: %v, want %v", nat, err, syscall.ECONNREFUSED)
		}
	}
}

// An unbound UDP socket goes on from the new address, a TCP connection dies.
func TestNetRenumber(t *testing.T) {
	for _, nat := range []bool{false, true} {
		t.Run(fmt.Sprintf("nat=%v", nat), func(t *testing.T) {
			l := link.New(t, link.Options{NAT: nat})
			seen := make(chan netip.AddrPort, 10)
			c, to := listenUDP(t, l.Near), echoUDP(t, l, seen)
			toTCP := echoTCP(t, l)
			stream := dialTCP(t, l, toTCP)
			giveUpAfter(t, stream, 300*time.Millisecond)
			echo(t, stream, "before")
			bound, err := l.Near.Dial("udp", to.String())
			if err != nil {
				t.Fatal(err)
			}
			defer bound.Close()
			ask(t, c, to, "one")
			first, was := <-seen, l.Near.Addr()

			addr := l.Renumber()
			if addr == was || l.Near.Addr() != addr {
				t.Errorf("the address was %s, Renumber says %s, Addr says %s", was, addr, l.Near.Addr())
			}
			ask(t, c, to, "two")
			second := <-seen
			if second.Addr() != l.Outside() || second.Addr() == first.Addr() || (!nat && second.Addr() != addr) {
				t.Errorf("far sees %s, before it saw %s; near is %s", second, first, addr)
			}
			if _, err := bound.Write([]byte("from the old address")); err == nil {
				t.Error("a socket bound to the old address still sends")
			}
			if _, err := io.WriteString(stream, "after"); err != nil {
				t.Fatal(err)
			}
			if n, err := stream.Read(make([]byte, 10)); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("the TCP connection reads %d bytes, %v; want %v", n, err, syscall.ETIMEDOUT)
			}
			far := listenUDP(t, l.Far)
			before := l.Stats(link.Down).Dropped.Total()
			send(t, far, net.UDPAddrFromAddrPort(first), "to the old address")
			waitFor(t, func() bool { return l.Stats(link.Down).Dropped.Total() > before })
			echo(t, dialTCP(t, l, toTCP), "a new connection")
		})
	}
}
