package websocket_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// rawConn is a client that knows just enough of WebSocket to be a net.Conn with
// all its deadlines: what is written goes out as masked frames.
type rawConn struct {
	net.Conn
	r    *bufio.Reader
	mu   sync.Mutex
	left uint64
}

func rawDial(ctx context.Context, ln net.Listener, cfg *tls.Config) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return nil, err
	}
	if cfg != nil {
		c = tls.Client(c, cfg)
	}
	fmt.Fprintf(c, upgrade, "/", "")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		c.Close()
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		c.Close()
		return nil, errors.New(resp.Status)
	}
	return &rawConn{Conn: c, r: r}, nil
}

func (c *rawConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, 16<<10)
		b := binary.BigEndian.AppendUint16([]byte{0x82, 0x80 | 126}, uint16(n))
		b = append(b, 1, 2, 3, 4)
		for i, x := range p[sent : sent+n] {
			b = append(b, x^byte(i&3+1))
		}
		if _, err := c.Conn.Write(b); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}

func (c *rawConn) Read(p []byte) (int, error) {
	for c.left == 0 {
		var h [10]byte
		if _, err := io.ReadFull(c.r, h[:2]); err != nil {
			return 0, err
		}
		switch c.left = uint64(h[1]); c.left {
		case 126:
			if _, err := io.ReadFull(c.r, h[:2]); err != nil {
				return 0, err
			}
			c.left = uint64(binary.BigEndian.Uint16(h[:]))
		case 127:
			if _, err := io.ReadFull(c.r, h[:8]); err != nil {
				return 0, err
			}
			c.left = binary.BigEndian.Uint64(h[:])
		}
		if h[0] == 0x88 {
			return 0, io.EOF
		}
	}
	n, err := c.r.Read(p[:min(uint64(len(p)), c.left)])
	c.left -= uint64(n)
	return n, err
}
