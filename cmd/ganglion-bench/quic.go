package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"

	"ganglion/listeners/quic"
)

// quicDialPatience bounds a handshake over QUIC; many share two cores.
const quicDialPatience = 20 * time.Second

// quicLink is a QUIC connection to the server, on a UDP socket of its own.
type quicLink struct {
	session *quic.Session
	in      *udpCount
}

// dialQUIC connects to the server's UDP port.
func dialQUIC(ctx context.Context, srv *server) (*quicLink, error) {
	ctx, cancel := context.WithTimeout(ctx, quicDialPatience)
	defer cancel()
	q := &quicLink{}
	s, err := quic.DialSession(ctx, srv.udp.String(), quic.DialOptions{
		TLS:              srv.id.client,
		HandshakeTimeout: quicDialPatience,
		ListenPacket: func(ctx context.Context) (net.PacketConn, error) {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				return nil, err
			}
			q.in = &udpCount{UDPConn: c, batch: ipv4.NewPacketConn(c)}
			return q.in, nil
		},
	})
	if err != nil {
		return nil, err
	}
	q.session = s
	return q, nil
}

// stream opens a NATS connection.
func (q *quicLink) stream(ctx context.Context) (*quicStream, error) {
	ctx, cancel := context.WithTimeout(ctx, quicDialPatience)
	defer cancel()
	c, err := q.session.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &quicStream{c, q}, nil
}

// quicStream is a NATS connection over QUIC.
type quicStream struct {
	*quic.ClientConn
	link *quicLink
}

// hangUp closes the QUIC connection, which ends whatever waits on its streams:
// without the round trip that closing each of them takes.
func (s *quicStream) hangUp() { s.link.session.Close() }

// udpCount is a UDP socket that counts what it receives. It has all by which
// quic-go recognises a socket that it can read from in batches.
type udpCount struct {
	*net.UDPConn
	batch          *ipv4.PacketConn
	packets, bytes atomic.Int64
}

// ReadBatch is where quic-go reads.
func (u *udpCount) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	n, err := u.batch.ReadBatch(ms, flags)
	var total int64
	for i := range max(n, 0) {
		total += int64(ms[i].N)
	}
	u.packets.Add(int64(max(n, 0)))
	u.bytes.Add(total)
	return n, err
}

// quicReady waits until the server answers over QUIC with an INFO.
func (s *server) quicReady(ctx context.Context) error {
	for s.over.quic {
		err := s.tryQUIC(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return s.explain(fmt.Errorf("%s does not answer over QUIC on %s: %w", s.name, s.udp, err))
		}
	}
	return nil
}

// tryQUIC connects once. Whoever sends before the port is open is heard only at
// the first repetition, so a try is short.
func (s *server) tryQUIC(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	q, err := dialQUIC(ctx, s)
	if err != nil {
		return err
	}
	defer q.session.Close()
	c, err := q.stream(ctx)
	if err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var b [1]byte
	_, err = c.Read(b[:])
	return err
}

// freeUDP is freeAddr for UDP.
func freeUDP() (netip.AddrPort, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free UDP port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort(), nil
}
