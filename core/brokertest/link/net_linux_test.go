//go:build net

package link_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ganglion/core/brokertest/link"
)

// dialFrom makes the test binary a client for TestNetProcess.
const dialFrom = "GANGLION_LINK_DIAL"

func TestMain(m *testing.M) {
	if address := os.Getenv(dialFrom); address != "" {
		os.Exit(dialer(address))
	}
	os.Exit(link.Main(m))
}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

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

func TestNetProcess(t *testing.T) {
	l := link.New(t, link.Options{})
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), dialFrom+"="+echoTCP(t, l).String())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := l.Near.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	from, err := netip.ParseAddrPort(strings.TrimSpace(stdout.String()))
	if err != nil || from.Addr() != l.Near.Addr() {
		t.Errorf("the process dialled from %q, near is %s", stdout.String(), l.Near.Addr())
	}
	if s := l.Stats(link.Up); s.Delivered.Packets == 0 {
		t.Errorf("counted %+v", s)
	}
}

// dialer says hello, prints where from, and expects the same back.
func dialer(address string) int {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	line := c.LocalAddr().String() + "\n"
	fmt.Fprint(c, line)
	if got, err := bufio.NewReader(c).ReadString('\n'); got != line {
		fmt.Fprintf(os.Stderr, "sent %q, got %q, %v\n", line, got, err)
		return 1
	}
	fmt.Print(line)
	return 0
}

// Hosts have a loopback of their own, and links do not meet.
func TestNetApart(t *testing.T) {
	a, b := link.New(t, link.Options{}), link.New(t, link.Options{})
	for _, h := range []*link.Host{a.Near, a.Far, b.Near, b.Far} {
		ln, err := h.Listen("tcp", "127.0.0.1:4222") // four times the same port
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		c, err := h.Dial("tcp", "127.0.0.1:4222")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if s := a.Stats(link.Up); s != (link.Stats{}) {
		t.Errorf("the loopback went over the link: %+v", s)
	}
	for _, l := range []*link.Link{a, b} {
		echo(t, dialTCP(t, l, echoTCP(t, l)), "the same addresses")
		if s := l.Stats(link.Up); s.Delivered.Packets == 0 || s.Dropped.Total() != 0 {
			t.Errorf("counted %+v", s)
		}
	}
}

// A burst must not be lost, uncounted, before the relay sees it.
func TestNetQueueLength(t *testing.T) {
	l := link.New(t, link.Options{})
	for _, h := range []*link.Host{l.Near, l.Far} {
		err := h.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			ifreq, err := unix.NewIfreq("link0")
			if err != nil {
				return err
			}
			if err := unix.IoctlIfreq(fd, unix.SIOCGIFTXQLEN, ifreq); err != nil {
				return err
			}
			if n := ifreq.Uint32(); n < 10_000 {
				t.Errorf("the interface holds %d packets", n)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Do brings the thread home whatever happens.
func TestNetDo(t *testing.T) {
	l := link.New(t, link.Options{})
	home := netOf(t)
	var near, far string
	err := l.Near.Do(func() error {
		near = netOf(t)
		if err := l.Far.Do(func() error { far = netOf(t); return nil }); err != nil {
			return err
		}
		if got := netOf(t); got != near {
			t.Errorf("after a nested Do in %s, not in %s", got, near)
		}
		return io.EOF
	})
	if err != io.EOF || near == far || near == home || far == home {
		t.Errorf("Do returned %v; home %s, near %s, far %s", err, home, near, far)
	}
	func() {
		defer func() { recover() }()
		l.Near.Do(func() error { panic("on purpose") })
	}()
	if got := netOf(t); got != home {
		t.Errorf("after a panic in %s, not in %s", got, home)
	}
}

func netOf(t *testing.T) string {
	t.Helper()
	ns, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// A user without rights gets links through Main.
func TestNetUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	link.New(t, link.Options{}) // without links the test has nothing to say
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^(TestNetQueueLength|TestNetRebind|TestNetRenumber)$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("this machine does not allow it:\n%s", out)
	case bytes.Count(out, []byte("\n--- PASS")) != 3:
		t.Fatalf("want three tests that pass:\n%s", out)
	}
}

func TestNetDialDeadline(t *testing.T) {
	l := link.New(t, link.Options{Shape: link.Shape{Blackout: true}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c, err := l.Near.DialContext(ctx, "tcp", netip.AddrPortFrom(l.Far.Addr(), 4222).String())
	if err == nil {
		c.Close()
	}
	if e := net.Error(nil); !errors.As(err, &e) || !e.Timeout() {
		t.Errorf("dial through a blackout: %v", err)
	}
}

// What the tests above are made of.

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
