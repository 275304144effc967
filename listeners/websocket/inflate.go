package websocket

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// inflateChunk is how much is inflated at a time.
const inflateChunk = 64 << 10

// tail ends every message: the empty block that the sender left out (RFC 7692,
// section 7.2.2), and a final one, so that the reader sees an end.
var tail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

// inflater gathers a compressed message and inflates it piece by piece. What is
// large in it comes from pools and is given back with the end of the message.
type inflater struct {
	in    []byte
	max   int // bytes of in
	src   bytes.Reader
	z     io.ReadCloser
	buf   *[inflateChunk]byte
	ready bool // the message is whole
}

var (
	readers = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
	chunks  = sync.Pool{New: func() any { return new([inflateChunk]byte) }}
)

// add keeps p, unmasked.
func (f *inflater) add(p []byte, mask uint32) error {
	if len(f.in)+len(p) > f.max {
		return errTooLarge
	}
	at := len(f.in)
	f.in = append(f.in, p...)
	unmask(f.in[at:], p, mask)
	return nil
}

// finish is called when the message is whole.
func (f *inflater) finish() {
	f.in = append(f.in, tail...)
	f.src.Reset(f.in)
	f.z = readers.Get().(io.ReadCloser)
	f.z.(flate.Resetter).Reset(&f.src, nil)
	f.buf = chunks.Get().(*[inflateChunk]byte)
	f.ready = true
}

// next returns the next piece, empty at the end; it is valid until the next call.
func (f *inflater) next() ([]byte, error) {
	n := 0
	for n < len(f.buf) {
		m, err := f.z.Read(f.buf[n:])
		n += m
		if err == io.EOF {
			if n > 0 {
				return f.buf[:n], nil
			}
			f.release()
			return nil, nil
		}
		if err != nil {
			f.release()
			return nil, errInflate
		}
	}
	return f.buf[:n], nil
}

func (f *inflater) release() {
	readers.Put(f.z)
	chunks.Put(f.buf)
	*f = inflater{max: f.max}
}
