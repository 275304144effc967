package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// product is one of the servers that are compared.
type product struct {
	name  string // as in the table
	path  string // binary
	relay bool   // this program's own, see relay.go
}

// server is a running process of a product.
type server struct {
	product
	over    transport // what its clients use
	id      identity
	addr    netip.AddrPort
	web     netip.AddrPort // WebSocket, if over says so
	udp     netip.AddrPort // QUIC, if over says so
	started time.Time      // just before exec
	cmd     *exec.Cmd
	log     *os.File
}

// serverEnv is what both servers run under.
type serverEnv struct {
	gogc  string
	procs int
	core  int    // the core it is pinned to, or -1
	logs  string // folder for their output
	id    identity
}

// start executes the product on free ports and returns without waiting for it.
func (p product) start(ctx context.Context, env serverEnv, over transport) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{"-a", addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port()))}
	var web netip.AddrPort
	if over.websocket {
		if web, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	var udp netip.AddrPort
	if over.quic {
		if udp, err = freeUDP(); err != nil {
			return nil, err
		}
		args = append(args, "--quic", strconv.Itoa(int(udp.Port())))
	}
	if p.relay {
		args = []string{relayCommand, "-listen", udp.String(), "-cert", env.id.cert, "-key", env.id.key}
	} else if text := over.config(web, env.id); text != "" {
		path := filepath.Join(env.logs, "server.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write configuration: %w", err)
		}
		args = append(args, "-c", path)
	}
	log, err := os.CreateTemp(env.logs, p.name+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("create server log: %w", err)
	}
	s := &server{product: p, over: over, id: env.id, addr: addr, web: web, udp: udp, log: log}
	s.cmd = exec.CommandContext(ctx, p.path, args...)
	s.cmd.Dir = env.logs
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(cleanEnv(), "GOGC="+env.gogc, "GOMAXPROCS="+strconv.Itoa(env.procs))
	err = onCore(env.core, func() error {
		s.started = time.Now()
		return s.cmd.Start()
	})
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return s, nil
}

// cleanEnv is our environment without what tunes the Go runtime.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return k == "GOGC" || k == "GOMAXPROCS" || k == "GODEBUG" || k == "GOMEMLIMIT"
	})
}

func freeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// ready waits for the first INFO and returns how long after exec it came.
func (s *server) ready(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if s.relay {
		return time.Since(s.started), s.quicReady(ctx)
	}
	for ctx.Err() == nil {
		c, err := net.DialTimeout("tcp4", s.addr.String(), time.Second)
		if err != nil {
			nap(100 * time.Microsecond)
			continue
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		line, err := bufio.NewReader(c).ReadString('\n')
		took := time.Since(s.started)
		c.Close()
		if err == nil && strings.HasPrefix(line, "INFO ") {
			return took, errors.Join(s.webReady(ctx), s.quicReady(ctx))
		}
	}
	return 0, s.explain(fmt.Errorf("%s sent no INFO on %s: %w", s.name, s.addr, ctx.Err()))
}

// webReady waits for the WebSocket port, which may open after the other.
func (s *server) webReady(ctx context.Context) error {
	for s.over.websocket {
		c, err := net.DialTimeout("tcp4", s.web.String(), time.Second)
		if err == nil {
			c.Close()
			break
		}
		if ctx.Err() != nil {
			return s.explain(fmt.Errorf("%s does not listen for WebSocket on %s: %w", s.name, s.web, err))
		}
		nap(time.Millisecond)
	}
	return nil
}

// explain adds the last lines of the server's log to err.
func (s *server) explain(err error) error {
	b, _ := os.ReadFile(s.log.Name())
	if len(b) == 0 {
		return err
	}
	return fmt.Errorf("%w\nlast words of %s:\n%s", err, s.name, b[max(0, len(b)-800):])
}

// kill ends the process at once: what a server does on its way out is not
// measured here.
func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.log.Close()
	os.Remove(s.log.Name())
}

func (s *server) cpu() (time.Duration, error) { return processCPU(s.cmd.Process.Pid) }
func (s *server) rss() (int64, error)         { return processRSS(s.cmd.Process.Pid) }

// build compiles a package of this module into dir and returns the binary.
func build(ctx context.Context, dir, name, pkg string, flags ...string) (string, error) {
	out := filepath.Join(dir, name)
	args := append([]string{"build"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-o", out, pkg)...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s (run inside the module, or pass a prebuilt binary): %w\n%s", pkg, err, b)
	}
	return out, nil
}
