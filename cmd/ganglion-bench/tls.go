package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// secured is TLS on a sock. It costs the generator about what it costs the
// server, so only the server's CPU time says something about a server.
type secured struct {
	*tls.Conn
	under *underTLS
}

// secure does the handshake.
func (s *sock) secure(cfg *tls.Config, lean bool) error {
	u := &underTLS{s: s, wait: true, handshake: true}
	if !lean {
		u.in = make([]byte, tlsBuffer)
	}
	c := tls.Client(u, cfg)
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	u.handshake = false
	s.tls = &secured{c, u}
	return nil
}

// write encrypts b and writes all its records at once.
func (t *secured) write(b []byte) error {
	if _, err := t.Conn.Write(b); err != nil {
		return err
	}
	return t.under.flush()
}

// read returns errAgain where nothing is there and the connection does not wait.
func (t *secured) read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// tlsBuffer is how much a connection with load reads at a time; crypto/tls by
// itself asks for a record or two.
const tlsBuffer = 128 << 10

// underTLS is the connection below TLS: it reads ahead, and writes nothing
// before flush, as crypto/tls writes every record by itself.
type underTLS struct {
	s         *sock
	wait      bool // reads block; else they return errAgain
	handshake bool // write at once

	in   []byte // empty without reading ahead
	r, w int    // what was read ahead is in[r:w]

	mu  sync.Mutex
	out []byte
}

func (u *underTLS) Read(b []byte) (int, error) {
	if u.r < u.w {
		n := copy(b, u.in[u.r:u.w])
		u.r += n
		return n, nil
	}
	if len(b) >= len(u.in) {
		return u.s.receive(b, u.wait)
	}
	n, err := u.s.receive(u.in, u.wait)
	if err != nil {
		return 0, err
	}
	u.r, u.w = copy(b, u.in[:n]), n
	return u.r, nil
}

func (u *underTLS) Write(b []byte) (int, error) {
	if u.handshake {
		return len(b), u.s.transmit(b)
	}
	u.mu.Lock()
	u.out = append(u.out, b...)
	u.mu.Unlock()
	return len(b), nil
}

func (u *underTLS) flush() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	err := u.s.transmit(u.out)
	u.out = u.out[:0]
	return err
}

// The rest of net.Conn: the sock is closed and bounded in time elsewhere.

func (u *underTLS) Close() error                     { return nil }
func (u *underTLS) LocalAddr() net.Addr              { return nil }
func (u *underTLS) RemoteAddr() net.Addr             { return nil }
func (u *underTLS) SetDeadline(time.Time) error      { return nil }
func (u *underTLS) SetReadDeadline(time.Time) error  { return nil }
func (u *underTLS) SetWriteDeadline(time.Time) error { return nil }

// errAgain says that nothing is there yet. It is a net.Error for crypto/tls,
// which gives up a connection after any other.
var errAgain error = again{}

type again struct{}

func (again) Error() string   { return "nothing to read" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// firstInfo reads the line that a server sends in the clear before TLS.
func (c *conn) firstInfo() error {
	var line []byte
	var buf [4 << 10]byte
	for {
		n, err := c.read(buf[:])
		if err != nil {
			return fmt.Errorf("read INFO: %w", err)
		}
		if line = append(line, buf[:n]...); len(line) > maxLine {
			return errors.New("INFO does not end")
		}
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			if i != len(line)-1 {
				return fmt.Errorf("server sent %q after INFO, before TLS", line[i+1:])
			}
			return c.control.data(line)
		}
	}
}
