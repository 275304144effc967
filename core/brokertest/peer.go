package brokertest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// Patience is how long a script waits for bytes that it expects.
const Patience = 30 * time.Second

// peer is one client connection of a script. It reads only when the script
// expects something, so a script can be a slow consumer.
type peer struct {
	c     net.Conn
	r     *bufio.Reader
	ended bool // the server closed, or the client did
}

// DialTCP connects to addr as scripts do that are told nothing else.
func DialTCP(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, Patience) }

// send writes b. That the server closed meanwhile is for what is expected next to
// find out.
func (p *peer) send(b []byte) error {
	p.c.SetWriteDeadline(time.Now().Add(Patience))
	_, err := p.c.Write(b)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return nil
}

// line reads one line with its end. At the end of the stream it returns what
// there was and io.EOF.
func (p *peer) line() ([]byte, error) {
	p.c.SetReadDeadline(time.Now().Add(Patience))
	b, err := p.r.ReadBytes('\n')
	return b, plain(err)
}

// answered reads a line, answering PINGs of the server until there is another.
func (p *peer) answered() ([]byte, error) {
	for {
		b, err := p.line()
		if err != nil || !isPing(b) {
			return b, err
		}
		if err := p.send([]byte("PONG\r\n")); err != nil {
			return nil, err
		}
	}
}

// drain reads to the end and reports whether an -ERR was among it.
func (p *peer) drain() (sawErr bool, err error) {
	p.c.SetReadDeadline(time.Now().Add(Patience))
	buf := make([]byte, 64<<10)
	keep := 0
	for {
		n, err := p.r.Read(buf[keep:])
		n += keep
		sawErr = sawErr || bytes.Contains(buf[:n], []byte("-ERR"))
		keep = copy(buf, buf[max(0, n-3):n])
		if err = plain(err); err == io.EOF {
			return sawErr, nil
		} else if err != nil {
			return sawErr, err
		}
	}
}

func isPing(b []byte) bool { return string(b) == "PING\r\n" }

// plain makes io.EOF of the other ways in which a peer's close shows.
func plain(err error) error {
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return io.EOF
}
