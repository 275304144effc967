// Package natstest starts real nats-servers in tests. It is the only package
// that imports the server, so that nothing of it gets into a binary.
package natstest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// StartNATS starts a nats-server with a configuration, on a free port of the
// loopback whatever that says, and returns its address. The test's end stops it.
func StartNATS(t testing.TB, config string) string {
	t.Helper()
	return start(t, config, false).Addr().String()
}

// StartNATSMonitored is StartNATS with monitoring over HTTP on a free port too.
func StartNATSMonitored(t testing.TB, config string) (addr, url string) {
	t.Helper()
	s := start(t, config, true)
	return s.Addr().String(), "http://" + s.MonitorAddr().String()
}

// StartNATSNode is StartNATS for a server that is stopped before the test's end.
func StartNATSNode(t testing.TB, config string) (addr string, stop func()) {
	t.Helper()
	s := start(t, config, false)
	return s.Addr().String(), func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func start(t testing.TB, config string, monitored bool) *server.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("nats-server refuses the configuration: %v\n%s", err, config)
	}
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	o.NoLog, o.NoSigs = true, true
	if monitored {
		o.HTTPHost, o.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	}
	return run(t, o, config)
}

func run(t testing.TB, o *server.Options, config string) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatalf("nats-server refuses the configuration: %v\n%s", err, config)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server did not get ready in 30 s")
	}
	return s
}

// StartNATSReloadable is StartNATS whose server can be given another
// configuration.
func StartNATSReloadable(t testing.TB, config string) (addr string, reload func(config string) error) {
	t.Helper()
	const listen = "listen: \"127.0.0.1:-1\"\n"
	file := filepath.Join(t.TempDir(), "nats.conf")
	write := func(config string) {
		if err := os.WriteFile(file, []byte(listen+config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config)
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("nats-server refuses the configuration: %v\n%s", err, config)
	}
	o.NoLog, o.NoSigs = true, true
	s := run(t, o, config)
	return s.Addr().String(), func(config string) error {
		write(config)
		return s.Reload()
	}
}

// Check returns what a nats-server says of a configuration before it starts.
func Check(t testing.TB, config string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	if err == nil {
		s.Shutdown()
	}
	return err
}
