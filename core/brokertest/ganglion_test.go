package brokertest_test

import (
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/brokertest"
	"ganglion/core/leaf"
)

// notYet returns why a script is for nats-server alone: its configuration has a
// key that Ganglion does not have yet, which is an error there that says so.
func notYet(t testing.TB, s *brokertest.Script) string {
	t.Helper()
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
	return startOver(t, text, overTCP)
}

// startOver is startGanglion over another transport.
func startOver(t testing.TB, text string, tr *transport) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	if err := c.Load(file); err != nil {
		t.Fatal(err)
	}
	if c.Operator.On() {
		var err error
		c.Broker.Auth.Operator, _, err = c.Operator.Open(c.Broker.SystemAccount, slog.New(slog.DiscardHandler))
		must(t, err)
	}
	c.Broker.Leaf.Compression = c.LeafNodes.Compression
	b := newBroker(t, c.Broker)
	if l := &c.LeafNodes; l.Listens() {
		leafs, err := net.Listen("tcp", net.JoinHostPort(l.Host, strconv.Itoa(l.Port)))
		must(t, err)
		go b.ServeLeaf(leafs, leaf.Endpoint{Name: "leafnodes"})
	}
	ln, e := tr.listen(t)
	if len(c.TLS.Pairs) > 0 {
		pair, err := tls.LoadX509KeyPair(c.TLS.Pairs[0].Cert, c.TLS.Pairs[0].Key)
		must(t, err)
		e.TLS = &broker.TLS{Config: &tls.Config{Certificates: []tls.Certificate{pair}}}
	}
	go b.Serve(ln, e)
	return ln.Addr().String()
}
