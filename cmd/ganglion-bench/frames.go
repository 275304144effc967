package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frames takes the frame headers out of what a server sends on a WebSocket.
// Headers may be split anywhere, and frames be of any size; the NATS stream
// inside goes on from frame to frame.
type frames struct {
	inflate *inflater // set if permessage-deflate was agreed on

	head [10]byte // of the frame under way
	have int      // bytes of head that are here
	need int      // bytes that it will have, as far as known
	open bool     // head is complete, left bytes of payload are to come
	left int

	deflated bool   // the message under way is compressed
	within   bool   // a message is under way: it has had a frame without FIN
	held     []byte // its compressed payload so far
	ctl      []byte // payload of a control frame so far
}

// maxFrame is far above what a server sends in a frame, and far below what a
// misread header says.
const maxFrame = 64 << 20

// data hands the payload of all data frames in b to sink.
func (f *frames) data(b []byte, to sink) error {
	for len(b) > 0 {
		if !f.open {
			f.need = max(f.need, 2)
			k := copy(f.head[f.have:f.need], b)
			f.have += k
			b = b[k:]
			if f.have < f.need {
				return nil
			}
			if f.need = headLen(f.head[1]); f.have < f.need {
				continue
			}
			if err := f.begin(); err != nil {
				return err
			}
		}
		k := min(f.left, len(b))
		piece := b[:k]
		b, f.left = b[k:], f.left-k
		if err := f.payload(piece, to); err != nil {
			return err
		}
		if f.left == 0 {
			f.open, f.have, f.need = false, 0, 0
			if err := f.end(to); err != nil {
				return err
			}
		}
	}
	return nil
}

// headLen is the length of a header with this second byte.
func headLen(second byte) int {
	switch second &^ bitMask {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// begin understands a complete header.
func (f *frames) begin() error {
	f.open = true
	op, rsv1, fin := f.head[0]&0xF, f.head[0]&bitRSV1 != 0, f.head[0]&bitFin != 0
	n := uint64(f.head[1])
	switch f.need {
	case 4:
		n = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 10:
		n = binary.BigEndian.Uint64(f.head[2:])
	}
	f.left = int(min(n, maxFrame+1))
	wrong := ""
	switch {
	case f.head[1]&bitMask != 0:
		wrong = "masked"
	case f.head[0]&bitsRSV23 != 0:
		wrong = "with reserved bits"
	case f.left > maxFrame:
		wrong = "absurdly long"
	case rsv1 && (f.inflate == nil || op != opText && op != opBinary):
		wrong = "compressed"
	case op >= opClose && (!fin || n > 125):
		wrong = "fragmented or long control"
	case op == opPing:
		wrong = "ping" // neither server sends any: they ping by NATS
	case (op == opText || op == opBinary) && f.within, op == opContinue && !f.within:
		wrong = "out-of-order"
	case op != opContinue && op != opText && op != opBinary && op != opClose && op != opPong:
		wrong = "unknown"
	}
	if wrong != "" {
		return fmt.Errorf("server sent a %s frame, header % x", wrong, f.head[:f.need])
	}
	if op < opClose {
		if op != opContinue {
			f.deflated = rsv1
		}
		f.within = !fin
	}
	return nil
}

func (f *frames) payload(piece []byte, to sink) error {
	switch op := f.head[0] & 0xF; {
	case op >= opClose:
		f.ctl = append(f.ctl, piece...)
	case f.deflated:
		f.held = append(f.held, piece...)
	case len(piece) > 0:
		return to.data(piece)
	}
	return nil
}

// end is called after the last byte of a frame.
func (f *frames) end(to sink) error {
	switch op := f.head[0] & 0xF; {
	case op == opClose:
		if len(f.ctl) < 2 {
			return errors.New("server closed the WebSocket")
		}
		return fmt.Errorf("server closed the WebSocket: %d %q", binary.BigEndian.Uint16(f.ctl), f.ctl[2:])
	case op >= opClose:
		f.ctl = f.ctl[:0]
	case f.deflated && !f.within:
		plain, err := f.inflate.message(f.held)
		if err != nil {
			return err
		}
		f.held = f.held[:0]
		return to.data(plain)
	}
	return nil
}

// inflater inflates the messages of connections that mostly receive the same:
// what it has seen lately it does not inflate again, which makes counting on
// thousands of connections affordable without trusting anybody: each looks at
// all it got. Not safe for concurrent use: its connections share a reader.
type inflater struct {
	src     bytes.Reader
	tail    bytes.Reader
	z       io.ReadCloser
	seen    map[string][]byte // compressed to plain
	done    int               // messages inflated
	reused  int               // messages found in seen
	wire    int64             // bytes before inflation of all
	content int64             // and after
}

// maxSeen is how many messages an inflater remembers; it forgets all at once.
const maxSeen = 512

// flateTail is what a sender leaves out (RFC 7692, section 7.2.1), and an
// empty last block, so that the reader sees a proper end.
const flateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

func newInflater() *inflater {
	return &inflater{z: flate.NewReader(nil), seen: make(map[string][]byte)}
}

// message returns the content of a compressed message, to be left unchanged.
func (i *inflater) message(b []byte) ([]byte, error) {
	plain, ok := i.seen[string(b)]
	if ok {
		i.reused++
	} else {
		i.src.Reset(b)
		i.tail.Reset([]byte(flateTail))
		if err := i.z.(flate.Resetter).Reset(io.MultiReader(&i.src, &i.tail), nil); err != nil {
			return nil, fmt.Errorf("inflate: %w", err)
		}
		var err error
		if plain, err = io.ReadAll(i.z); err != nil {
			return nil, fmt.Errorf("inflate a message of %d bytes: %w", len(b), err)
		}
		if len(i.seen) >= maxSeen {
			clear(i.seen)
		}
		i.seen[string(b)] = plain
		i.done++
	}
	i.wire += int64(len(b))
	i.content += int64(len(plain))
	return plain, nil
}
