package daemon

import (
	"context"
	"errors"
	"os"
	"os/signal"
)

// Wait runs the server until an interrupt, or ctx, ends it. The server has
// stopped when it returns.
func (d *Daemon) Wait(ctx context.Context) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt)
	defer signal.Stop(ch)
	select {
	case <-ctx.Done():
	case <-ch:
	}
	d.Stop()
}

// Signal is not available on Windows.
func Signal(string) error {
	return errors.New("--signal is not available on Windows; stop the process instead")
}
