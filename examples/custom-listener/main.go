// Custom-listener serves NATS on sockets that systemd has opened (socket
// activation): the process needs no privilege for its port, starts with the first
// client, and may be replaced while clients wait instead of being refused. Try it
// with
//
//	go build -o /tmp/edge ./examples/custom-listener
//	systemd-socket-activate -l 127.0.0.1:4222 /tmp/edge
//	nats pub hello world
//
// It shows that a transport is one function: openInherited is all there is to it,
// and limits, pause and statistics come with the registry.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"ganglion/core/broker"
	"ganglion/listeners"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

// firstInherited is the descriptor of the first socket (sd_listen_fds(3)).
const firstInherited = 3

// openInherited is the transport (listeners.OpenFunc): its listener is the socket
// that systemd passed as number c.Port, counted from 0.
func openInherited(_ context.Context, c listeners.Config) (net.Listener, error) {
	// The variables are inherited too; they concern the process that they name.
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, errors.New("no sockets were passed to this process; start it with systemd-socket-activate -l 4222, or as the service of a .socket unit")
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || c.Port < 0 || c.Port >= n {
		return nil, fmt.Errorf("there is no socket %d, LISTEN_FDS is %q", c.Port, os.Getenv("LISTEN_FDS"))
	}
	f := os.NewFile(uintptr(firstInherited+c.Port), c.Name)
	defer f.Close() // FileListener has a descriptor of its own
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("socket %d: %w", c.Port, err)
	}
	return ln, nil
}

// run serves until ctx ends.
func run(ctx context.Context) error {
	reg := listeners.Registry{"systemd": openInherited}
	set, err := reg.Open(ctx, listeners.Config{
		Name: "public", Kind: "systemd",
		Limits: listeners.Limits{MaxConns: 10_000, MaxPerAddr: 100, AcceptRate: 500},
	})
	if err != nil {
		return err
	}
	defer set.Close()
	b, err := broker.New(broker.Options{})
	if err != nil {
		return err
	}
	public := set[0]
	served := make(chan error, 1)
	go func() { served <- b.Serve(public, broker.Endpoint{Name: public.Name}) }()
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	fmt.Printf("%s: %d connections, %d open\n", public.Name, public.Gate.Stats().Accepted, public.Gate.Stats().Open)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, b.Shutdown(end))
}
