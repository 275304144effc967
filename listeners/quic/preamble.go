package quic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// version is that of the mapping.
const version = 1

// flagLanes in a preamble says that the client takes lanes.
const flagLanes = 1 << 0

const magic = "NATS"

// A preamble is preambleLen bytes, or laneNumberLen more with flagLanes.
const (
	preambleLen   = len(magic) + 2
	laneNumberLen = 2
	laneHeadLen   = 1 + laneNumberLen
)

// Preamble is what a client's stream begins with.
type Preamble struct {
	// Lanes says that the client takes lanes.
	Lanes bool
	// Number names the connection in the heads of lanes.
	Number uint16
}

var errPreamble = errors.New("quic: the stream begins with no preamble of version 1")

// AppendPreamble appends p as it goes on the wire.
func AppendPreamble(b []byte, p Preamble) []byte {
	b = append(b, magic...)
	if !p.Lanes {
		return append(b, version, 0)
	}
	return binary.BigEndian.AppendUint16(append(b, version, flagLanes), p.Number)
}

// ReadPreamble reads a preamble, and no byte more, from r.
func ReadPreamble(r io.Reader) (Preamble, error) {
	var b [preambleLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Preamble{}, fmt.Errorf("quic: preamble: %w", err)
	}
	flags := b[len(magic)+1]
	if string(b[:len(magic)]) != magic || b[len(magic)] != version || flags&^flagLanes != 0 {
		return Preamble{}, errPreamble
	}
	if flags&flagLanes == 0 {
		return Preamble{}, nil
	}
	if _, err := io.ReadFull(r, b[:laneNumberLen]); err != nil {
		return Preamble{}, fmt.Errorf("quic: preamble: %w", err)
	}
	return Preamble{Lanes: true, Number: binary.BigEndian.Uint16(b[:])}, nil
}

// AppendLaneHead appends what a lane of the connection number begins with.
func AppendLaneHead(b []byte, number uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, version), number)
}

// ReadLaneHead reads the head of a lane, and no byte more, from r. It returns the
// number of the connection that the lane belongs to.
func ReadLaneHead(r io.Reader) (number uint16, err error) {
	var b [laneHeadLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("quic: head of a lane: %w", err)
	}
	if b[0] != version {
		return 0, fmt.Errorf("quic: head of a lane has version %d; want %d", b[0], version)
	}
	return binary.BigEndian.Uint16(b[1:]), nil
}
