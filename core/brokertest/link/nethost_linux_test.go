//go:build net

package link_test

import (
	"bufio"
	"bytes"
	"context"
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
	link.New(t, link.Options{}) // without links the test has nothing to say
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^(TestNetQueueLength|TestNetRebind|TestNetRenumber)$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) {
		t.Logf("%v: the tests run for a user without rights already", err)
		return
	} else if err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out.Bytes())
	case bytes.Contains(out.Bytes(), []byte("--- SKIP")):
		t.Skipf("this machine does not allow it:\n%s", out.Bytes())
	case bytes.Count(out.Bytes(), []byte("\n--- PASS")) != 3:
		t.Fatalf("want three tests that pass:\n%s", out.Bytes())
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
