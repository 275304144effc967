package abi

import (
	"encoding/binary"
	"errors"
)

// ResultSize is the length of a result in bytes.
const ResultSize = 48

// MaxReason is how long the reason of a reject may be.
const MaxReason = 256

// Bits of the byte that says what was replaced.
const (
	ReplacedSubject = 1
	ReplacedReply   = 2
	ReplacedHeaders = 4
	ReplacedPayload = 8
)

// Result is what a plugin decided. Parts are borrowed from its memory.
type Result struct {
	Verdict  Verdict
	Replaced uint8
	Code     uint16
	Subject  []byte
	Reply    []byte
	Headers  []byte
	Payload  []byte
	Reason   []byte
}

// ErrFailed says that a plugin returned a negative result.
var ErrFailed = errors.New("abi: the plugin failed")

// ErrResult says that a result is none: a pointer outside the memory, or a verdict
// that there is not.
var ErrResult = errors.New("abi: invalid result")

// ParseResult reads what ganglion_on_message returned. memory is all of the
// guest's.
func ParseResult(v uint64, memory []byte, r *Result) error {
	if v <= uint64(Reject) {
		*r = Result{Verdict: Verdict(v)}
		return nil
	}
	return parseResult(v, memory, r)
}

func parseResult(v uint64, memory []byte, r *Result) error {
	if int64(v) < 0 {
		return ErrFailed
	}
	ptr, size := Unpack(v)
	b := part(memory, ptr, size)
	if size != ResultSize || b == nil {
		return ErrResult
	}
	le := binary.LittleEndian
	*r = Result{Verdict: Verdict(b[0]), Replaced: b[1], Code: le.Uint16(b[2:])}
	take := func(at int, into *[]byte) bool {
		*into = part(memory, le.Uint32(b[at:]), le.Uint32(b[at+4:]))
		return *into != nil
	}
	switch r.Verdict {
	case Reject:
		r.Replaced = 0
		if !take(40, &r.Reason) || len(r.Reason) > MaxReason || r.Code != 0 && (r.Code < 100 || r.Code > 599) {
			return ErrResult
		}
		return nil
	case Replace:
		for i, into := range [...]*[]byte{&r.Subject, &r.Reply, &r.Headers, &r.Payload} {
			if r.Replaced&(1<<i) != 0 && !take(8+8*i, into) {
				return ErrResult
			}
		}
		return nil
	}
	return ErrResult
}

// part returns size bytes of memory at ptr; nil when they are not all inside.
func part(memory []byte, ptr, size uint32) []byte {
	end := uint64(ptr) + uint64(size)
	if end > uint64(len(memory)) {
		return nil
	}
	return memory[ptr:end:end]
}
