package brokertest_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/brokertest"
)

// notYet returns why a script is for nats-server alone: its configuration has a
// key that Ganglion does not have yet, which is an error there that says so.
func notYet(t testing.TB, s *brokertest.Script) string {
	t.Helper()
	switch s.Name { // what its configuration does not show
	case "an answer to a request of the account":
		return "the system account's services are not built yet"
	case "a user's JWT expires":
		return "operators are not built yet"
	}
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(s.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Default().Load(file); err != nil && strings.Contains(err.Error(), "does not support yet") {
		return err.Error()
	}
	return ""
}

// startGanglion starts a Ganglion with a configuration, on a free port of the
// loopback whatever that says, and returns its address. The test's end stops it.
func startGanglion(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	if err := c.Load(file); err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(c.Broker)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(ln, broker.Endpoint{Name: "tcp"})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}
