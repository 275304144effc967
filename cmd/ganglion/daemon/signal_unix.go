//go:build !windows

package daemon

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Wait runs the server until a signal, or ctx, ends it: SIGINT and SIGTERM
// stop, SIGHUP reloads, SIGUSR1 reopens the log file, SIGUSR2 is lame duck mode.
// The server has stopped when it returns.
func (d *Daemon) Wait(ctx context.Context) {
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(ch)
	lame, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	ducking := false
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			if ducking {
				<-ended
				return
			}
			d.Stop()
			return
		case s := <-ch:
			d.log.Info("Trapped signal", "signal", s.String())
			switch s {
			case syscall.SIGHUP:
				d.Reload()
			case syscall.SIGUSR1:
				d.log.Reopen()
				d.log.Info("File log re-opened")
			case syscall.SIGUSR2:
				if !ducking {
					ducking = true
					go func() { defer close(ended); d.LameDuck(lame) }()
				}
			default:
				cancel()
				if ducking {
					<-ended
					return
				}
				d.Stop()
				return
			}
		}
	}
}

// commands are what --signal knows.
var commands = map[string]syscall.Signal{
	"ldm": syscall.SIGUSR2, "stop": syscall.SIGKILL, "quit": syscall.SIGINT, "term": syscall.SIGTERM,
	"reopen": syscall.SIGUSR1, "reload": syscall.SIGHUP,
}

// Signal sends a command to a running server: COMMAND, COMMAND=PID or
// COMMAND=FILE with a pid file.
func Signal(spec string) error {
	name, target, _ := strings.Cut(spec, "=")
	sig, ok := commands[name]
	if !ok {
		return fmt.Errorf("unknown signal %q; known are ldm, stop, quit, term, reopen and reload", name)
	}
	pid, err := findPid(target)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("signal %s to process %d: %w", name, pid, err)
	}
	return nil
}

// findPid reads a pid or a pid file; "" looks for the one running server.
func findPid(target string) (int, error) {
	if target == "" {
		return onlyServer()
	}
	if pid, err := strconv.Atoi(target); err == nil {
		return pid, nil
	}
	b, err := os.ReadFile(target)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a pid nor a readable pid file: %w", target, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("pid file %q holds no pid: %q", target, strings.TrimSpace(string(b)))
	}
	return pid, nil
}

// onlyServer finds the one other process with our program's name.
func onlyServer() (int, error) {
	name := filepath.Base(os.Args[0])
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("cannot look for a running server: %w; name its pid, e.g. --signal stop=PID", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil {
			continue
		}
		if arg0, _, _ := strings.Cut(string(b), "\x00"); filepath.Base(arg0) == name {
			pids = append(pids, pid)
		}
	}
	switch len(pids) {
	case 0:
		return 0, fmt.Errorf("no running %s found; name its pid, e.g. --signal stop=PID", name)
	case 1:
		return pids[0], nil
	}
	return 0, fmt.Errorf("several %s are running: %v; name one, e.g. --signal stop=%d", name, pids, pids[0])
}
