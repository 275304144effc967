package main

import (
	"bytes"
	"fmt"
)

// A sink consumes what one connection receives, in pieces of any size.
type sink interface {
	data(b []byte) error
}

// maxLine bounds an unfinished control line; an INFO of some kilobytes is the
// longest that a server sends.
const maxLine = 64 << 10

// control handles every line that is not a MSG. It is embedded in each
// connection, so that a line split between handshake and load is still one line.
type control struct {
	line   []byte // unfinished line
	onPing func() error
	onPong func()
}

// feed consumes one line, or all of b when it does not end there.
func (c *control) feed(b []byte) ([]byte, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if c.line = append(c.line, b...); len(c.line) > maxLine {
			return nil, fmt.Errorf("control line longer than %d bytes: %.60q", maxLine, c.line)
		}
		return nil, nil
	}
	line := b[:i+1]
	if len(c.line) > 0 {
		c.line = append(c.line, line...)
		line = c.line
		c.line = c.line[:0]
	}
	return b[i+1:], c.handle(line)
}

func (c *control) handle(line []byte) error {
	switch {
	case bytes.Equal(line, []byte("PING\r\n")):
		return c.onPing()
	case bytes.Equal(line, []byte("PONG\r\n")):
		c.onPong()
		return nil
	case bytes.HasPrefix(line, []byte("INFO ")), bytes.Equal(line, []byte("+OK\r\n")):
		return nil
	case bytes.HasPrefix(line, []byte("-ERR")):
		return fmt.Errorf("server says %q", bytes.TrimSpace(line))
	}
	return fmt.Errorf("unexpected line %.60q", line)
}

// data makes control itself the sink of a connection that expects no messages.
func (c *control) data(b []byte) error {
	for len(b) > 0 {
		var err error
		if b, err = c.feed(b); err != nil {
			return err
		}
	}
	return nil
}

// counter counts messages that all have the same encoded length, by hopping
// over them. Payload bytes are never looked at.
type counter struct {
	*control
	size int       // bytes of a whole MSG, from M to the last line feed
	head []byte    // what each begins with (may be shorter than the MSG line)
	add  func(int) // told once per data how many messages ended in it
	skip int       // bytes left of a message that began in an earlier piece
}

func (c *counter) data(b []byte) error {
	n, err := c.count(b)
	if n > 0 {
		c.add(n)
	}
	return err
}

func (c *counter) count(b []byte) (n int, err error) {
	for len(b) > 0 {
		switch {
		case c.skip > len(b):
			c.skip -= len(b)
			return n, nil
		case c.skip > 0:
			if b[c.skip-1] != '\n' {
				return n, c.lost(b)
			}
			b, c.skip = b[c.skip:], 0
			n++
		case len(c.line) > 0 || b[0] != 'M':
			if b, err = c.feed(b); err != nil {
				return n, err
			}
		case len(b) < c.size:
			if k := min(len(b), len(c.head)); !bytes.Equal(b[:k], c.head[:k]) {
				return n, c.lost(b)
			}
			c.skip = c.size - len(b)
			return n, nil
		default:
			// One full comparison per piece, two bytes per message: enough to
			// notice at once when lengths are not what we think they are.
			if !bytes.HasPrefix(b, c.head) {
				return n, c.lost(b)
			}
			i := 0
			for i+c.size <= len(b) && b[i] == 'M' {
				if b[i+c.size-1] != '\n' {
					return n, c.lost(b[i:])
				}
				i += c.size
				n++
			}
			b = b[i:]
		}
	}
	return n, nil
}

func (c *counter) lost(b []byte) error {
	return fmt.Errorf("expected messages of %d bytes beginning %q, found %.60q", c.size, c.head, b)
}

// framer hands over whole messages of one encoded length, for those who must
// look inside (time stamps, replies).
type framer struct {
	*control
	size  int
	run   func(msgs []byte) error // one or more whole messages; borrowed
	end   func() error            // after each piece, if set: the place to write once for many
	carry []byte                  // beginning of an unfinished message
}

func (f *framer) data(b []byte) error {
	for len(b) > 0 {
		var err error
		switch {
		case len(f.carry) > 0:
			k := min(f.size-len(f.carry), len(b))
			f.carry = append(f.carry, b[:k]...)
			b = b[k:]
			if len(f.carry) == f.size {
				whole := f.carry
				f.carry = f.carry[:0]
				err = f.whole(whole)
			}
		case len(f.line) > 0 || b[0] != 'M':
			b, err = f.feed(b)
		case len(b) < f.size:
			f.carry = append(f.carry, b...)
			b = nil
		default:
			i := 0
			for i+f.size <= len(b) && b[i] == 'M' {
				i += f.size
			}
			err = f.whole(b[:i])
			b = b[i:]
		}
		if err != nil {
			return err
		}
	}
	if f.end != nil {
		return f.end()
	}
	return nil
}

func (f *framer) whole(msgs []byte) error {
	for i := f.size; i <= len(msgs); i += f.size {
		if msgs[i-1] != '\n' {
			return fmt.Errorf("expected messages of %d bytes, found %.60q", f.size, msgs[i-f.size:])
		}
	}
	return f.run(msgs)
}
