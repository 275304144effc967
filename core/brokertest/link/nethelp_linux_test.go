//go:build net

package link_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ganglion/core/brokertest/link"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func dialTCP(t *testing.T, l *link.Link, to net.Addr) net.Conn {
	t.Helper()
	c, err := l.Near.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// echoTCP starts a server on far that sends everything back.
func echoTCP(t *testing.T, l *link.Link) net.Addr {
	t.Helper()
	ln, err := l.Far.Listen("tcp", l.Far.Addr().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return ln.Addr()
}

func echo(t *testing.T, c net.Conn, s string) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, s)
		done <- err
	}()
	receive(t, c, s)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("got %.100q, %v, want %.100q", got, err, want)
	}
}

func listenUDP(t *testing.T, h *link.Host) *net.UDPConn {
	t.Helper()
	c, err := h.ListenPacket("udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UDPConn)
}

// echoUDP starts a server on far that sends everything back and says to whom.
func echoUDP(t *testing.T, l *link.Link, seen chan<- netip.AddrPort) net.Addr {
	t.Helper()
	c := listenUDP(t, l.Far)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if seen != nil {
				seen <- from
			}
			c.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.Far.Addr(), c.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
}

func send(t *testing.T, c *net.UDPConn, to net.Addr, s string) {
	t.Helper()
	if _, err := c.WriteTo([]byte(s), to); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, c *net.UDPConn, to net.Addr, s string) {
	t.Helper()
	send(t, c, to, s)
	buf := make([]byte, 1<<16)
	n, _, err := c.ReadFrom(buf)
	if err != nil || string(buf[:n]) != s {
		t.Fatalf("got %.100q, %v, want %.100q", buf[:n], err, s)
	}
}

// flood sends n numbered UDP packets of a size from near to far and returns the numbers
// that come. It does not send more than fit into the receiver's buffer.
func flood(t *testing.T, l *link.Link, n, size int) (got []uint32) {
	t.Helper()
	from, at := listenUDP(t, l.Near), listenUDP(t, l.Far)
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.Far.Addr(), at.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
	buf := make([]byte, size)
	settled := func() bool {
		s := l.Stats(link.Up)
		return s.OnTheWay.Packets == 0 && s.Delivered.Packets+s.Dropped.Total() == s.Sent.Packets
	}
	for i := range n {
		binary.BigEndian.PutUint32(buf, uint32(i))
		if _, err := from.WriteTo(buf, to); err != nil {
			t.Fatal(err)
		}
		if (i+1)%100 != 0 && i+1 != n {
			continue
		}
		waitFor(t, func() bool { return l.Stats(link.Up).Sent.Packets == uint64(i+1) && settled() })
		for uint64(len(got)) < l.Stats(link.Up).Delivered.Packets {
			if _, _, err := at.ReadFrom(buf); err != nil {
				t.Fatalf("after %d packets: %v", len(got), err)
			}
			got = append(got, binary.BigEndian.Uint32(buf))
		}
	}
	return got
}

// waitFor looks again and again whether something is so; there is no event to
// wait for when packets vanish.
func waitFor(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func control(t *testing.T, c syscall.Conn, level, option, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, value) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

func dontFragment(t *testing.T, c *net.UDPConn) {
	t.Helper()
	control(t, c, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
}

func mayFragment(t *testing.T, c *net.UDPConn) {
	t.Helper()
	control(t, c, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
}

func giveUpAfter(t *testing.T, c net.Conn, d time.Duration) {
	t.Helper()
	control(t, c.(*net.TCPConn), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}
