// Edge-leaf is the whole of it on one screen: a core of three nats-servers, Ganglion
// in front of them as an edge leaf, a page for browsers, a device over QUIC, and a
// plugin at the uplink that lets one measurement a second of each device through.
//
//	go run ./examples/edge-leaf
//
// It builds what it starts, prints what to try, and stops with Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// natsServer is built from the module proxy.
const natsServer = "github.com/nats-io/nats-server/v2"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "edge-leaf")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := start(ctx, dir, os.Stdout)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Printf(`
  The core:     %s
  The edge:     nats://%s
  The page:     http://%s/   (subscribe to devices.>)

  What the device measures, at the edge and in the core:
    ganglion sub -s nats://%s 'devices.*.telemetry'
    ganglion sub -s nats://%s 'devices.*.telemetry'
  Ask it something from the core:
    ganglion req -s nats://%s devices.7.cmd 'interval 200ms'

`, strings.Join(s.core, ", "), s.edge, s.page, s.edge, s.core[2], s.core[2])
	<-ctx.Done()
	s.wait()
}

// stack is what runs.
type stack struct {
	core       []string // addresses of the nodes, for clients
	edge, page string
	cmds       []*exec.Cmd
}

// start builds and starts everything in dir; it ends with ctx.
func start(ctx context.Context, dir string, out io.Writer) (*stack, error) {
	fmt.Fprintln(out, "building ...")
	for name, pkg := range map[string]string{"nats-server": natsServer, "ganglion": "ganglion/cmd/ganglion", "device": "ganglion/examples/iot-quic"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), pkg)
		if b, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, b)
		}
	}
	ports, err := freePorts(12)
	if err != nil {
		return nil, err
	}
	s := &stack{}
	var routes, leafs []string
	for i := range 3 {
		s.core = append(s.core, local(ports[i]))
		routes = append(routes, fmt.Sprintf("%q", "nats-route://"+local(ports[3+i])))
		leafs = append(leafs, fmt.Sprintf("%q", "nats-leaf://"+local(ports[6+i])))
	}
	for i := range 3 {
		conf := fmt.Sprintf("server_name: core-%d\nlisten: %q\ncluster { name: core, listen: %q, routes: [ %s ] }\nleafnodes { listen: %q }\n",
			i, s.core[i], local(ports[3+i]), strings.Join(routes, ", "), local(ports[6+i]))
		if err := s.run(ctx, dir, fmt.Sprintf("core-%d", i), conf, "nats-server"); err != nil {
			return nil, err
		}
	}
	plugin, err := pluginDir(ctx)
	if err != nil {
		return nil, err
	}
	s.edge, s.page = local(ports[9]), local(ports[10])
	udp := local(ports[11])
	ca := filepath.Join(dir, "ca")
	conf := fmt.Sprintf(`server_name: edge
listen: %q
websocket { listen: %q, no_tls: true }
quic { listen: %q, tls { internal { hosts: [ localhost ], storage: %q } } }
webtransport { }
leafnodes { remotes [ { urls: [ %s ] } ] }
plugins {
	dir: %q
	configure { rate {
		bindings: [ { boundary: "leaf-out", subjects: [ "devices.*.telemetry" ] } ]
		config { limit: 1, window_ms: 1000, by: subject }
	} }
}
`, s.edge, s.page, udp, ca, strings.Join(leafs, ", "), plugin)
	if err := s.run(ctx, dir, "edge", conf, "ganglion"); err != nil {
		return nil, err
	}
	for _, addr := range append([]string{s.edge}, s.core...) {
		if err := reachable(ctx, addr); err != nil {
			return nil, err
		}
	}
	return s, s.start(ctx, dir, "device", "-server", "quic://localhost:"+udp[strings.LastIndexByte(udp, ':')+1:], "-ca", filepath.Join(ca, "root.crt"), "-id", "7", "-interval", "100ms")
}

// run starts the program name in dir with a configuration.
func (s *stack) run(ctx context.Context, dir, as, conf, name string) error {
	file := filepath.Join(dir, as+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	return s.start(ctx, dir, name, "-c", file)
}

func (s *stack) start(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	file, err := os.CreateTemp(dir, name+"*.log")
	if err != nil {
		return err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmds = append(s.cmds, cmd)
	return nil
}

// wait waits until everything has ended, which it does with start's context.
func (s *stack) wait() {
	for _, cmd := range s.cmds {
		cmd.Wait()
	}
}

// pluginDir returns the folder of the plugin, which lies beside this program.
func pluginDir(ctx context.Context) (string, error) {
	b, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "ganglion").Output()
	if err != nil {
		return "", fmt.Errorf("where the module lies: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(b)), "examples", "plugins", "rate"), nil
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// freePorts returns ports that nobody has at the moment, and that are not given to
// outgoing connections.
func freePorts(n int) (ports []int, err error) {
	for tries := 0; len(ports) < n; tries++ {
		ln, err := net.Listen("tcp", local(12_000+rand.IntN(20_000)))
		switch {
		case err == nil:
			defer ln.Close()
			ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
		case tries > 10*n:
			return nil, err
		}
	}
	return ports, nil
}

// reachable waits until somebody listens at addr.
func reachable(ctx context.Context, addr string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("nobody listens at %s", addr), err)
		}
	}
}
