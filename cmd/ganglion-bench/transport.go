package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// transport is what lies between a client and the NATS protocol.
type transport struct {
	websocket bool
	secure    bool // TLS: on the client port, or below websocket
	quic      bool // streams of QUIC connections
	streams   int  // quic: so many on each connection where many are made; 0 is 1
	deflate   bool // websocket: negotiate permessage-deflate
	single    bool // websocket: publishers put each op into a frame of its own
	lean      bool // so many connections that none of them gets a buffer of its own

	conf string // what else stands in the configuration of both servers
}

// layered is whether a connection needs more than TCP.
func (t transport) layered() bool { return t.websocket || t.secure || t.quic }

func (t transport) String() string {
	switch {
	case t.quic:
		return "quic"
	case t.websocket && t.secure:
		return "wss"
	case t.websocket:
		return "ws"
	case t.secure:
		return "tls"
	}
	return "tcp"
}

// config is the configuration file that both servers read for t, empty if they
// need none. Handshakes get more time than by default: thousands of them share
// two cores with their clients.
func (t transport) config(web netip.AddrPort, id identity) string {
	if t.conf != "" {
		rest := t
		rest.conf = ""
		return t.conf + rest.config(web, id)
	}
	secure := fmt.Sprintf("tls { cert_file: %q, key_file: %q, timeout: 20 }", id.cert, id.key)
	switch {
	case !t.websocket && !t.secure && !t.quic:
		return ""
	case !t.websocket:
		return secure + "\n"
	case !t.secure:
		secure = "no_tls: true"
	}
	var b strings.Builder
	b.WriteString("websocket {\n")
	fmt.Fprintf(&b, "  listen: %q\n  handshake_timeout: \"20s\"\n  compression: %t\n  %s\n", web, t.deflate, secure)
	b.WriteString("}\n")
	return b.String()
}

// frameBytes is how much one frame carries at most: what a client library
// hands to its WebSocket at once.
const frameBytes = 64 << 10

// encode brings the ops of a chunk into the form in which they cross the
// connection, as far as that is possible beforehand.
func (t transport) encode(c chunk) chunk {
	if !t.websocket {
		return c
	}
	op := len(c.b) / c.n
	per := op
	if !t.single {
		per = max(op, frameBytes/op*op)
	}
	out := chunk{n: c.n}
	for i, b := 0, c.b; len(b) > 0; i++ {
		k := min(per, len(b))
		out.b = appendFrame(out.b, b[:k], maskKey(i))
		b = b[k:]
	}
	return out
}
