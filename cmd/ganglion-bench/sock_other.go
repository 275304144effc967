//go:build !linux

package main

import (
	"errors"
	"net/netip"
	"sync/atomic"
)

var (
	errClosing = errors.New("session is closing")
	errEOF     = errors.New("server closed the connection")
)

// sock refuses to connect: measuring needs Linux, see the package comment, "Platforms".
type sock struct {
	tls    *secured
	quic   *quicStream
	framed bool
}

func dialSock(netip.Addr, netip.AddrPort, *atomic.Bool) (*sock, error) {
	return nil, errors.ErrUnsupported
}

func quicSock(*quicStream, *atomic.Bool) *sock { return nil }

func (*sock) read([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (*sock) write([]byte) error       { return errors.ErrUnsupported }
func (*sock) op([]byte) error          { return errors.ErrUnsupported }
func (*sock) pong() error              { return errors.ErrUnsupported }
func (*sock) close() error             { return nil }

func (*sock) receive([]byte, bool) (int, error) { return 0, errors.ErrUnsupported }
func (*sock) transmit([]byte) error             { return errors.ErrUnsupported }
