package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	quicgo "github.com/quic-go/quic-go"

	"ganglion/listeners/quic"
)

// relayCommand is the first argument with which the bench starts itself again as
// a relay.
const relayCommand = "relay"

// relayConfig is what the server of listeners/quic sets (NewPort and options.go
// there): the relay is to differ from it in nothing but what it does with the
// bytes. Datagrams are off, which spares the relay a little.
func relayConfig() *quicgo.Config {
	return &quicgo.Config{
		HandshakeIdleTimeout: quic.DefaultHandshakeTimeout, MaxIdleTimeout: quic.DefaultIdleTimeout, KeepAlivePeriod: quic.DefaultKeepAlive,
		MaxIncomingStreams: quic.DefaultMaxStreams, MaxIncomingUniStreams: 8,
		InitialStreamReceiveWindow: 64 << 10, MaxStreamReceiveWindow: 4 << 20,
		InitialConnectionReceiveWindow: 128 << 10, MaxConnectionReceiveWindow: 8 << 20,
		InitialPacketSize: 1200, Allow0RTT: true,
	}
}

// relayRead is how much of a publisher's stream goes on at once.
const relayRead = 32 << 10

// relayLine bounds what a client says before its stream is copied.
const relayLine = 512

// relay is a bare server over QUIC, what a broker's costs are compared with: it
// reads lines until one is a MSG; from there on it copies what comes, unread, to
// the streams that had subscribed to that MSG's subject. Lines are CONNECT, PING
// and SUB as of NATS, and TELL <subject> <size>, which has a MSG of that size sent.
type relay struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	subs map[string][]*quicgo.Stream
}

// runRelay serves until it is killed.
func runRelay(args []string) error {
	fs := flag.NewFlagSet(relayCommand, flag.ContinueOnError)
	addr := fs.String("listen", "", "UDP `address`")
	cert := fs.String("cert", "", "certificate `file`")
	key := fs.String("key", "", "key `file`")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return fmt.Errorf("relay: load certificate: %w", err)
	}
	ua, err := net.ResolveUDPAddr("udp", *addr)
	if err != nil {
		return fmt.Errorf("relay: -listen %q: %w", *addr, err)
	}
	pc, err := net.ListenUDP("udp", ua)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return relayOn(ctx, pc, pair)
}

// relayOn relays on pc, which it closes, until ctx ends.
func relayOn(ctx context.Context, pc net.PacketConn, cert tls.Certificate) error {
	defer pc.Close()
	tr := &quicgo.Transport{Conn: pc, ConnectionIDLength: 8}
	ln, err := tr.ListenEarly(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{quic.ALPN}, MinVersion: tls.VersionTLS13}, relayConfig())
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	r := &relay{subs: map[string][]*quicgo.Stream{}}
	defer r.wg.Wait()
	defer tr.Close() // ends all connections, and with them what wg counts
	for {
		qc, err := ln.Accept(ctx)
		if err != nil {
			return nil
		}
		r.wg.Go(func() { r.serve(qc) })
	}
}

// serve takes the streams of a connection.
func (r *relay) serve(qc *quicgo.Conn) {
	for {
		str, err := qc.AcceptStream(context.Background())
		if err != nil {
			return
		}
		r.wg.Go(func() { r.stream(str) })
	}
}

var errRelayLine = errors.New("line not understood")

// stream serves a stream to its end.
func (r *relay) stream(str *quicgo.Stream) {
	subject, rest, err := r.talk(str)
	if err != nil {
		str.CancelRead(1)
		str.CancelWrite(1)
		return
	}
	r.copy(r.receivers(subject), str, rest)
}

// talk handles lines up to the first MSG. It returns what was read from there on,
// and its subject.
func (r *relay) talk(str *quicgo.Stream) (subject string, rest []byte, err error) {
	if _, err := quic.ReadPreamble(str); err != nil {
		return "", nil, err
	}
	if _, err := fmt.Fprintf(str, "INFO {\"server_id\":%q}\r\n", "relay"); err != nil {
		return "", nil, err
	}
	buf := make([]byte, 0, relayLine)
	for {
		n, err := str.Read(buf[len(buf):cap(buf)])
		if err != nil && n == 0 {
			return "", nil, err
		}
		buf = buf[:len(buf)+n]
		b := buf
		for i := bytes.IndexByte(b, '\n'); i >= 0; i = bytes.IndexByte(b, '\n') {
			if f := bytes.Fields(b[:i]); len(f) > 1 && string(f[0]) == "MSG" {
				return string(f[1]), b, nil
			}
			if err := r.line(str, string(b[:i])); err != nil {
				return "", nil, err
			}
			b = b[i+1:]
		}
		if buf = append(buf[:0], b...); len(buf) == cap(buf) {
			return "", nil, errRelayLine
		}
	}
}

func (r *relay) line(str *quicgo.Stream, line string) error {
	f := strings.Fields(line)
	switch {
	case len(f) == 1 && f[0] == "PING":
		_, err := str.Write([]byte("PONG\r\n"))
		return err
	case len(f) >= 1 && (f[0] == "CONNECT" || f[0] == "PONG"):
		return nil
	case len(f) == 3 && f[0] == "SUB":
		r.mu.Lock()
		defer r.mu.Unlock()
		r.subs[f[1]] = append(r.subs[f[1]], str)
		return nil
	case len(f) == 3 && f[0] == "TELL":
		size, err := strconv.Atoi(f[2])
		if err != nil {
			return err
		}
		return r.tell(f[1], size)
	}
	return fmt.Errorf("%w: %.40q", errRelayLine, line)
}

func (r *relay) receivers(subject string) []*quicgo.Stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.subs[subject]
}

// tell sends a MSG of its own.
func (r *relay) tell(subject string, size int) error {
	msg := msgHead(subject, "1", "", size) + strings.Repeat("x", size) + "\r\n"
	for _, s := range r.receivers(subject) {
		if _, err := s.Write([]byte(msg)); err != nil {
			return err
		}
	}
	return nil
}

// copy writes b, and then what comes from from, to all of to.
func (r *relay) copy(to []*quicgo.Stream, from *quicgo.Stream, b []byte) {
	buf := make([]byte, relayRead)
	for {
		for _, s := range to {
			s.Write(b) // one that is gone gets nothing
		}
		n, err := from.Read(buf)
		if n == 0 && err != nil {
			return
		}
		b = buf[:n]
	}
}

// appendTell is what has the relay send what appendPub has a broker send.
func appendTell(b []byte, subject string, size int) []byte {
	return fmt.Appendf(b, "TELL %s %d\r\n", subject, size)
}

// relayed is the chunk with which a publisher has the relay deliver what a broker
// delivers for c: the MSGs themselves, ready-made, which are the two bytes of
// their sid longer than the PUBs.
func relayed(subject string, size int) chunk {
	one := []byte(msgHead(subject, "1", "", size) + strings.Repeat("x", size) + "\r\n")
	c := chunk{n: chunkBytes / len(one)}
	c.b = bytes.Repeat(one, c.n)
	return c
}
