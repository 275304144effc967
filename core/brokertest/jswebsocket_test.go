//go:build browser

package brokertest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
	"ganglion/listeners"
	"ganglion/listeners/websocket"
)

// TestJSWebSocket runs testdata/browser/ws.mjs, which uses the client of browsers,
// against Ganglion's WebSocket listener and against nats-server's.
func TestJSWebSocket(t *testing.T) {
	need(t, "node", "npm")
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "browser"))))
	command(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")
	sockets := []string{"ws"}
	if strings.TrimSpace(command(t, dir, "node", "-p", "typeof WebSocket")) == "function" {
		sockets = append(sockets, "native") // Node 22 and newer
	}
	certFile, keyFile := writeCertificate(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	must(t, err)
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}

	for _, socket := range sockets {
		for _, deflate := range []bool{false, true} {
			for _, secure := range []bool{false, true} {
				name, scheme, compression := socket+"/plain", "ws", "plain"
				if deflate {
					name, compression = socket+"/deflate", "deflate"
				}
				if secure {
					name, scheme = name+"/wss", "wss"
				}
				check := func(t *testing.T, addr, short string, restart func()) {
					runChecks(t, dir, "ws.mjs", restart, "NODE_EXTRA_CA_CERTS="+certFile, scheme+"://"+addr, compression, socket, short)
				}
				t.Run("ganglion/"+name, func(t *testing.T) {
					o := websocket.Options{Compression: deflate}
					if secure {
						o.Secure = func(nc net.Conn) net.Conn { return broker.TLSServer(nc, cfg) }
					}
					b := newBroker(t, broker.Options{})
					addr := serveWebSocket(t, b, "127.0.0.1:0", o)
					check(t, addr, "0", func() {
						shutDown(t, b)
						b = newBroker(t, broker.Options{})
						serveWebSocket(t, b, addr, o)
					})
				})
				t.Run("nats-server/"+name, func(t *testing.T) {
					port := freePort(t)
					block := fmt.Sprintf("host: 127.0.0.1, port: %s, compression: %v, ", port, deflate)
					if secure {
						block += fmt.Sprintf("tls { cert_file: %q, key_file: %q }", certFile, keyFile)
					} else {
						block += "no_tls: true"
					}
					natstest.StartNATS(t, "websocket { "+block+" }")
					c := newCutter(t, "127.0.0.1:"+port)
					// It bounds what a frame inflates to, the PUB line included, by max_payload.
					check(t, c.ln.Addr().String(), "4096", c.cut)
				})
			}
		}
	}
}

// need skips the test unless all tools are there. In CI it fails then.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, err.Error())
		}
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("GANGLION_CI") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// command runs a command in dir and returns what it prints.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = soon
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, stderrOf(err))
	}
	return string(out)
}

func stderrOf(err error) []byte {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.Stderr
	}
	return nil
}

// serveWebSocket makes b listen on addr and returns the address it got.
func serveWebSocket(t testing.TB, b *broker.Broker, addr string, o websocket.Options) string {
	t.Helper()
	host, p, err := net.SplitHostPort(addr)
	must(t, err)
	port, err := strconv.Atoi(p)
	must(t, err)
	open, err := websocket.Opener(o)
	must(t, err)
	ln, err := open(t.Context(), listeners.Config{Name: "websocket", Kind: websocket.Kind, Host: host, Port: port})
	must(t, err)
	go b.Serve(ln, broker.Endpoint{Name: "websocket", Secure: o.Secure != nil})
	return ln.Addr().String()
}

// runChecks runs a script in dir with a variable in its environment. When the
// script says so, restart is called; it says of each check how it went.
func runChecks(t *testing.T, dir, script string, restart func(), env string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env)
	cmd.WaitDelay = soon
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	done := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		t.Log(line)
		switch {
		case line == "restart":
			restart()
		case strings.HasPrefix(line, "FAIL"):
			t.Error("a check failed") // what follows says more
		case strings.HasPrefix(line, "done"):
			done = true
		}
	}
	if err := cmd.Wait(); err != nil || !done {
		t.Fatalf("node: %v\n%s", err, &stderr)
	}
}

// cutter passes connections on until they are cut.
type cutter struct {
	ln net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &cutter{ln: ln, to: to}
	c.wg.Go(c.accept)
	t.Cleanup(func() {
		ln.Close()
		c.cut()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) accept() {
	for {
		in, err := c.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		pass := func(to, from net.Conn) {
			io.Copy(to, from)
			to.Close()
			from.Close()
		}
		c.wg.Go(func() { pass(in, out) })
		c.wg.Go(func() { pass(out, in) })
	}
}

// cut closes all connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		nc.Close()
	}
	c.conns = nil
}
