//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestMain lets the test's binary be the program.
func TestMain(m *testing.M) {
	if os.Getenv("CUSTOM_LISTENER_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start starts the program with the socket f, as systemd does.
func start(t *testing.T, f *os.File) (cmd *exec.Cmd, out *strings.Builder) {
	t.Helper()
	cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "CUSTOM_LISTENER_MAIN=1", "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{f}
	out = &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, out
}

// stop ends the program and checks that it leaves in peace.
func stop(t *testing.T, cmd *exec.Cmd, out *strings.Builder, want string) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || strings.TrimSpace(out.String()) != want {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestServesInheritedSocket(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	cmd, out := start(t, f)
	nc, err := nats.Connect("nats://"+ln.Addr().String(), nats.NoReconnect(), nats.Timeout(30*time.Second))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("hello")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("hello", []byte("world")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(30 * time.Second); err != nil || string(m.Data) != "world" {
		t.Fatalf("%v, %v", m, err)
	}
	stop(t, cmd, out, "public: 1 connections, 1 open")

	// While nobody serves, a client waits; the next process answers it.
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd, out = start(t, f)
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	info, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.HasPrefix(info, "INFO ") {
		t.Fatalf("%q, %v: %s", info, err, out)
	}
	stop(t, cmd, out, "public: 1 connections, 1 open")
}

func TestWithoutSystemd(t *testing.T) {
	for _, tc := range []struct{ pid, fds, want string }{
		{"", "", "systemd-socket-activate"},
		{"1", "1", "systemd-socket-activate"},
		{fmt.Sprint(os.Getpid()), "", "there is no socket 0"},
		{fmt.Sprint(os.Getpid()), "0", "there is no socket 0"},
	} {
		t.Setenv("LISTEN_PID", tc.pid)
		t.Setenv("LISTEN_FDS", tc.fds)
		if err := run(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q: %v", tc.pid, tc.fds, err)
		}
	}
}
