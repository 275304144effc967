package websocket

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	bitFin    = 1 << 7
	bitRSV1   = 1 << 6 // compressed, RFC 7692
	bitsRSV23 = 3 << 4
	bitMask   = 1 << 7
)

const (
	maxControl = 125
	maxHeader  = 14
)

// protocolError is what a peer did wrong. Code 0 drops the connection without a
// close frame, as nats-server does.
type protocolError struct {
	code int
	text string
}

func (e *protocolError) Error() string { return "websocket: " + e.text }

// CloseCode returns the code and text to say goodbye with; 0 for none.
func (e *protocolError) CloseCode() (int, string) { return e.code, e.text }

var (
	errMaskMissing = &protocolError{0, "mask bit missing"}
	errReserved    = &protocolError{0, "reserved bits are set"}
	errOpcode      = &protocolError{0, "unknown opcode"}
	errControl     = &protocolError{0, "control frame is fragmented or longer than 125 bytes"}
	errFragment    = &protocolError{0, "fragments out of order"}
	errLength      = &protocolError{0, "frame length is invalid"}
	errCompressed  = &protocolError{1002, "compressed frame received without negotiated permessage-deflate"}
	errInflate     = &protocolError{1007, "compressed message can't be inflated"}
	errTooLarge    = &protocolError{1009, "compressed message too large"}
)

// decoder turns the frames of a client into the stream of their payloads. It
// keeps no payload but that of control frames and compressed messages, so a
// frame's length costs nothing.
type decoder struct {
	left   uint64 // bytes of the frame at hand that are still to come
	mask   uint32 // key, turned to the next payload byte
	head   uint8  // bytes in header
	opcode uint8  // of the frame at hand
	fin    bool
	inside bool // in a frame
	pieces bool // in a fragmented message
	packed bool // the message at hand is compressed

	maxPacked int  // bytes of a compressed message; 0: none was negotiated
	bye       bool // a close frame came

	header  [maxHeader]byte
	control []byte // payload of a control frame so far
	inflate *inflater
}

// decode unpacks in to its front until it is used up or a compressed message is
// complete; see Conn.Decode.
func (d *decoder) decode(in []byte) (out, rest, reply []byte, err error) {
	if d.inflate != nil && d.inflate.ready {
		out, err = d.inflate.next()
		return out, in, nil, err
	}
	w, r := 0, 0
	for r < len(in) {
		if !d.inside {
			n, err := d.begin(in[r:])
			r += n
			if err != nil {
				return in[:w], nil, reply, err
			}
			if !d.inside {
				break // the header is not whole yet
			}
		}
		n := int(min(d.left, uint64(len(in)-r)))
		p := in[r : r+n]
		switch {
		case d.opcode >= opClose:
			d.control = append(d.control, p...)
			unmask(d.control[len(d.control)-n:], p, d.mask)
		case d.packed:
			if err := d.gather(p); err != nil {
				return in[:w], nil, reply, err
			}
		default:
			unmask(in[w:w+n], p, d.mask)
			w += n
		}
		d.mask = turn(d.mask, n)
		d.left -= uint64(n)
		r += n
		if d.left > 0 {
			break
		}
		d.inside = false
		switch {
		case d.opcode >= opClose:
			answer, err := d.controlled()
			reply = append(reply, answer...)
			if err != nil {
				return in[:w], nil, reply, err
			}
		case d.packed && d.fin:
			d.packed = false
			d.inflate.finish()
			if w > 0 {
				return in[:w], in[r:], reply, nil
			}
			out, err = d.inflate.next()
			return out, in[r:], reply, err
		}
	}
	return in[:w], nil, reply, nil
}

// begin reads the header of a frame. It returns the bytes used; inside is set
// when the header was whole.
func (d *decoder) begin(in []byte) (int, error) {
	if d.head == 0 && len(in) >= maxHeader { // the usual case
		size := headerSize(in[1])
		if err := d.start(in[:size]); err != nil {
			return size, err
		}
		return size, nil
	}
	used := 0
	for used < len(in) {
		d.header[d.head] = in[used]
		d.head++
		used++
		if d.head >= 2 && int(d.head) == headerSize(d.header[1]) {
			err := d.start(d.header[:d.head])
			d.head = 0
			return used, err
		}
	}
	return used, nil
}

func headerSize(b byte) int {
	n := 2
	if b&bitMask != 0 {
		n += 4
	}
	switch b &^ bitMask {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	return n
}

// start checks a whole header and enters its frame.
func (d *decoder) start(h []byte) error {
	fin, op := h[0]&bitFin != 0, h[0]&0xf
	switch {
	case h[1]&bitMask == 0:
		return errMaskMissing
	case h[0]&bitsRSV23 != 0:
		return errReserved
	}
	switch n := h[1] &^ bitMask; n {
	case 126:
		d.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		d.left = binary.BigEndian.Uint64(h[2:])
	default:
		d.left = uint64(n)
	}
	if d.left > math.MaxInt64 {
		return errLength
	}
	rsv1 := h[0]&bitRSV1 != 0
	switch op {
	case opText, opBinary:
		if d.pieces {
			return errFragment
		}
		if rsv1 && d.maxPacked == 0 {
			return errCompressed
		}
		d.packed, d.pieces = rsv1, !fin
	case opContinuation:
		if !d.pieces || rsv1 {
			return errFragment
		}
		d.pieces = !fin
	case opClose, opPing, opPong:
		if !fin || rsv1 || d.left > maxControl {
			return errControl
		}
		d.control = d.control[:0]
	default:
		return errOpcode
	}
	d.fin, d.opcode, d.inside = fin, op, true
	d.mask = binary.LittleEndian.Uint32(h[len(h)-4:])
	return nil
}

// controlled answers a whole control frame.
func (d *decoder) controlled() (reply []byte, err error) {
	defer func() { d.control = nil }()
	switch d.opcode {
	case opPing:
		return appendFrame(nil, opPong, d.control), nil
	case opClose:
		d.bye = true
		return appendFrame(nil, opClose, d.control), io.EOF
	}
	return nil, nil
}

// gather keeps a piece of a compressed message.
func (d *decoder) gather(p []byte) error {
	if d.inflate == nil {
		d.inflate = &inflater{max: d.maxPacked}
	}
	return d.inflate.add(p, d.mask)
}

// unmask writes src, XORed with key, to dst. They may overlap if dst lies in
// front.
func unmask(dst, src []byte, key uint32) {
	k := uint64(key)<<32 | uint64(key)
	n := len(src)
	dst = dst[:n]
	i := 0
	for ; i+32 <= n; i += 32 {
		s, t := src[i:i+32:i+32], dst[i:i+32:i+32]
		a := binary.LittleEndian.Uint64(s) ^ k
		b := binary.LittleEndian.Uint64(s[8:]) ^ k
		c := binary.LittleEndian.Uint64(s[16:]) ^ k
		e := binary.LittleEndian.Uint64(s[24:]) ^ k
		binary.LittleEndian.PutUint64(t, a)
		binary.LittleEndian.PutUint64(t[8:], b)
		binary.LittleEndian.PutUint64(t[16:], c)
		binary.LittleEndian.PutUint64(t[24:], e)
	}
	for ; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(src[i:])^k)
	}
	for ; i < n; i++ {
		dst[i] = src[i] ^ byte(key>>(8*(i&3)))
	}
}

// turn returns the key for what follows n bytes.
func turn(key uint32, n int) uint32 {
	s := uint(n&3) * 8
	return key>>s | key<<(32-s)
}

// appendHeader appends the header of an unmasked frame of n bytes.
func appendHeader(b []byte, first byte, n int) []byte {
	switch {
	case n <= maxControl:
		return append(b, first, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, first, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(n))
}

func appendFrame(b []byte, op byte, payload []byte) []byte {
	return append(appendHeader(b, bitFin|op, len(payload)), payload...)
}

// appendClose appends a close frame; text is cut to what fits.
func appendClose(b []byte, code int, text string) []byte {
	if len(text) > maxControl-2 {
		text = text[:maxControl-2]
	}
	b = appendHeader(b, bitFin|opClose, 2+len(text))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, text...)
}

var errClosed = errors.New("websocket: use of closed connection")
