package listenertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// many is how many connections are open at once.
const many = 100

// testCloseUnderLoad closes a connection that both ends write to and read from,
// from one end or both, twice each. Every call must return, and nothing may be
// left running.
func testCloseUnderLoad(t *testing.T, s suite) {
	for _, who := range []string{"client", "server", "both"} {
		t.Run(who, func(t *testing.T) {
			noGoroutineLeft(t)
			near, far := s.pair(t)
			var busy sync.WaitGroup // until both ends have read something
			busy.Add(2)
			var fs []func() error
			for _, c := range []net.Conn{near, far} {
				read := func() error {
					_, err := io.CopyN(io.Discard, c, burst)
					busy.Done()
					if err != nil {
						return fmt.Errorf("read before the close: %w", err)
					}
					io.Copy(io.Discard, struct{ io.Reader }{c})
					return nil
				}
				write := func() error {
					b := make([]byte, 1<<10)
					for {
						if _, err := c.Write(b); err != nil {
							return nil
						}
					}
				}
				fs = append(fs, read, write, write)
			}
			closing := []net.Conn{near, far}
			switch who {
			case "client":
				closing = closing[:1]
			case "server":
				closing = closing[1:]
			}
			for _, c := range closing {
				end := func() error {
					busy.Wait()
					c.Close() // one of two may say that it is closed already
					return nil
				}
				fs = append(fs, end, end)
			}
			all(t, fs...)
			near.Close()
			far.Close()
		})
	}
}

// testMany holds many connections at once, each with its own number.
func testMany(t *testing.T, s suite) {
	noGoroutineLeft(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ln := s.open(t)
	var open sync.WaitGroup // connections that have not had their answer
	open.Add(many)
	client := func(id uint64) error {
		var once sync.Once
		defer once.Do(open.Done)
		c, err := s.dial(ctx, ln)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		defer c.Close()
		if err := shake(ctx, c); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		if _, err := c.Write(binary.BigEndian.AppendUint64(nil, id)); err != nil {
			return err
		}
		b := make([]byte, 8)
		if _, err := io.ReadFull(c, b); err != nil || binary.BigEndian.Uint64(b) != id {
			return fmt.Errorf("connection %d read %x, %v", id, b, err)
		}
		once.Do(open.Done)
		open.Wait()
		return nil
	}
	server := func(c net.Conn) error {
		defer c.Close()
		if err := shake(ctx, c); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		b := make([]byte, 8)
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
		c.Read(b) // until the client closes
		return nil
	}
	fs := []func() error{func() error {
		errs := make(chan error, many)
		for range many {
			c, err := ln.Accept()
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			go func() { errs <- server(c) }()
		}
		var all error
		for range many {
			all = errors.Join(all, <-errs)
		}
		return all
	}}
	for id := range many {
		fs = append(fs, func() error { return client(uint64(id)) })
	}
	all(t, fs...)
}

// noGoroutineLeft fails t when, after its cleanups, there are more goroutines than
// now.
func noGoroutineLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(patience); runtime.NumGoroutine() > before; <-tick.C {
			if time.Now().After(end) {
				t.Errorf("%d goroutines, there were %d:\n%s", runtime.NumGoroutine(), before, stacks())
				return
			}
		}
	})
}
