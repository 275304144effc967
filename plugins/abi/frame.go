package abi

import (
	"encoding/binary"
	"errors"
)

// FrameHeader is the length of a frame's header in bytes.
const FrameHeader = 64

// Bits of the byte that says what a message has.
const (
	HasReply   = 1
	HasHeaders = 2
	HasPayload = 4
	HasFacts   = 8
)

// Frame is one message as a plugin is to see it. Parts are borrowed.
type Frame struct {
	Boundary Boundary
	Hops     uint32
	Subject  []byte
	Reply    []byte
	Headers  []byte
	Payload  []byte
	Facts    []byte
}

// Size returns how many bytes the frame takes with the parts that want names.
func (f *Frame) Size(want Want) int {
	n := FrameHeader
	if want&WantSubject != 0 {
		n += len(f.Subject)
	}
	if want&WantReply != 0 {
		n += len(f.Reply)
	}
	if want&WantHeaders != 0 {
		n += len(f.Headers)
	}
	if want&WantPayload != 0 {
		n += len(f.Payload)
	}
	if want&WantFacts != 0 {
		n += len(f.Facts)
	}
	return n
}

// Put writes the frame with the parts that want names into b, which has room for
// Size bytes, and returns how many it wrote.
func (f *Frame) Put(b []byte, want Want) int {
	le := binary.LittleEndian
	h := b[:FrameHeader:FrameHeader]
	present := byte(0)
	if len(f.Reply) > 0 {
		present = HasReply
	}
	if len(f.Headers) > 0 {
		present |= HasHeaders
	}
	if len(f.Payload) > 0 {
		present |= HasPayload
	}
	if len(f.Facts) > 0 {
		present |= HasFacts
	}
	clear(h[8:48])
	at := FrameHeader
	put := func(field int, part []byte) {
		le.PutUint32(h[field:], uint32(at))
		le.PutUint32(h[field+4:], uint32(len(part)))
		at += copy(b[at:], part)
	}
	if want&WantSubject != 0 && len(f.Subject) > 0 {
		put(8, f.Subject)
	}
	if want&WantReply != 0 && len(f.Reply) > 0 {
		put(16, f.Reply)
	}
	if want&WantHeaders != 0 && len(f.Headers) > 0 {
		put(24, f.Headers)
	}
	if want&WantPayload != 0 && len(f.Payload) > 0 {
		put(32, f.Payload)
	}
	if want&WantFacts != 0 && len(f.Facts) > 0 {
		put(40, f.Facts)
	}
	le.PutUint32(h, uint32(Version)|uint32(f.Boundary)<<16|uint32(present)<<24)
	le.PutUint32(h[4:], uint32(at))
	le.PutUint32(h[48:], uint32(len(f.Headers)))
	le.PutUint32(h[52:], uint32(len(f.Payload)))
	le.PutUint32(h[56:], f.Hops)
	le.PutUint32(h[60:], 0)
	return at
}

// ErrFrame says that bytes are no frame.
var ErrFrame = errors.New("abi: no frame")

// ParseFrame reads a frame, as a guest does. Its parts are those of b.
func ParseFrame(b []byte) (Frame, error) {
	le := binary.LittleEndian
	if len(b) < FrameHeader || le.Uint16(b) != Version || uint64(le.Uint32(b[4:])) != uint64(len(b)) {
		return Frame{}, ErrFrame
	}
	f := Frame{Boundary: Boundary(b[2]), Hops: le.Uint32(b[56:])}
	for i, part := range []*[]byte{&f.Subject, &f.Reply, &f.Headers, &f.Payload, &f.Facts} {
		off, n := uint64(le.Uint32(b[8+8*i:])), uint64(le.Uint32(b[12+8*i:]))
		if off+n > uint64(len(b)) || n > 0 && off < FrameHeader {
			return Frame{}, ErrFrame
		}
		if n > 0 {
			*part = b[off : off+n : off+n]
		}
	}
	return f, nil
}
