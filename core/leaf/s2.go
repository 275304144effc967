package leaf

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/s2"
)

// maxBlock bounds what one chunk of the peer's stream may inflate to.
const maxBlock = 1 << 20

// s2Conn is a connection whose bytes travel as S2 streams: each Write is a stream
// of its own, beginning with its identifier, as nats-server has it.
type s2Conn struct {
	net.Conn
	r *s2.Reader

	mu  sync.Mutex
	w   map[Compression]*s2.Writer
	buf bytes.Buffer
	// mode and, with Auto, what it comes to.
	mode Compression
	rtt  func() time.Duration
}

func newS2(nc net.Conn, mode Compression, rtt func() time.Duration) *s2Conn {
	return &s2Conn{
		Conn: nc, mode: mode, rtt: rtt, w: map[Compression]*s2.Writer{},
		r: s2.NewReader(nc, s2.ReaderMaxBlockSize(maxBlock), s2.ReaderAllocBlock(64<<10)),
	}
}

// effective is what mode comes to at a round-trip time.
func effective(mode Compression, rtt time.Duration) Compression {
	if mode != Auto {
		return mode
	}
	switch {
	case rtt <= 10*time.Millisecond:
		return Uncompressed
	case rtt <= 50*time.Millisecond:
		return Fast
	case rtt <= 100*time.Millisecond:
		return Better
	}
	return Best
}

// negotiate returns whether what the two ends say comes to compression, and the
// mode of the end that says ours.
func negotiate(ours, theirs Compression) (Compression, bool) {
	switch {
	case theirs == "" || ours == Off || theirs == Off || ours == Accept && theirs == Accept:
		return Off, false
	case ours == Accept:
		return theirs, true
	}
	return ours, true
}

// Mode returns the mode in use.
func (c *s2Conn) Mode() Compression { return effective(c.mode, c.rtt()) }

func (c *s2Conn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (c *s2Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mode := c.Mode()
	w := c.w[mode]
	c.buf.Reset()
	if w == nil {
		opts := []s2.WriterOption{s2.WriterConcurrency(1), s2.WriterBlockSize(64 << 10), s2.WriterFlushOnWrite()}
		switch mode {
		case Uncompressed:
			opts = append(opts, s2.WriterUncompressed())
		case Better:
			opts = append(opts, s2.WriterBetterCompression())
		case Best:
			opts = append(opts, s2.WriterBestCompression())
		}
		w = s2.NewWriter(&c.buf, opts...)
		c.w[mode] = w
	} else {
		w.Reset(&c.buf)
	}
	if _, err := w.Write(p); err != nil {
		return 0, fmt.Errorf("leaf: compress: %w", err)
	}
	if err := w.Flush(); err != nil {
		return 0, fmt.Errorf("leaf: compress: %w", err)
	}
	if _, err := c.Conn.Write(c.buf.Bytes()); err != nil {
		return 0, err
	}
	if c.buf.Cap() > 256<<10 {
		c.buf = bytes.Buffer{}
	}
	return len(p), nil
}

// counted counts the bytes of a connection as they are on the wire.
type counted struct {
	net.Conn
	in, out atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out.Add(int64(n))
	return n, err
}

var _ io.ReadWriteCloser = (*s2Conn)(nil)
