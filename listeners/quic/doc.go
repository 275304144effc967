// Package quic is the QUIC transport: NATS connections as streams, so that one
// handshake carries many, a device may change its address, and what is lost on
// one stream holds up no other. github.com/quic-go/quic-go does QUIC; this
// package is the mapping, a server's Listener and a client's Dial and Dialer.
//
// # The mapping, version 1
//
// Enough to write a client with any QUIC library (RFC 9000, TLS 1.3, ALPN
// "nats"):
//
// Each bidirectional stream that the client opens is one NATS client connection:
// the bytes of the NATS client protocol, INFO first, both ways, without further
// framing. Because a stream does not exist for the server until its opener has
// written, and NATS clients wait for INFO, the client begins with a preamble:
//
//	"NATS"   4 bytes
//	version  1 byte, 1
//	flags    1 byte: bit 0, the client takes lanes; all others 0
//	number   2 bytes, big endian, only with bit 0: names this connection in the
//	         heads of its lanes; different for all such connections of one QUIC
//	         connection
//
// The preamble may travel as 0-RTT data, and the server answers it with INFO at
// once. Nothing else may: what else comes early waits until the handshake is
// complete, so that a replay has no effect.
//
// A FIN of the client ends its NATS connection. The server ends one with a FIN
// behind its last byte (usually an -ERR line) and STOP_SENDING with a code that
// says why; if the client did not take what was queued for it, with RESET_STREAM
// and that code. When a connection was the last one of its QUIC connection, a
// server that ended it closes that too after a while, with the same code and its
// text. Clients should close a QUIC connection that they don't need any more.
//
// # Lanes
//
// A client whose preamble has bit 0 set is told so in INFO by "lanes":true. It
// may then name subjects, which may have wildcards, in CONNECT ("lanes":["a.>"])
// or by a line of its own at any later time:
//
//	LANE <subject>
//
// From then on each new subscription that lies within one of them is delivered on
// a unidirectional stream of its own, its lane, which the server opens when it
// has the first message for it. A lane begins with
//
//	version  1 byte, 1
//	number   2 bytes, big endian, of the preamble
//
// and goes on with whole MSG and HMSG ops of that one subscription. Within a lane
// messages are in order; between lanes, and between a lane and the connection's
// stream, there is no order: a PONG does not say that everything before it was
// delivered on lanes too. UNSUB ends the lane with a FIN behind its last message,
// and so does the maximum of an UNSUB. All lanes and the connection's stream
// together share one limit of pending bytes. Where there is no room for all, lanes
// that carry little at a time go first. Where the client allows no further
// stream, or the server's limit on lanes is reached, the subscription's messages
// come on the connection's stream; a client must take them on either.
//
// # Codes
//
// Codes of streams (RESET_STREAM, STOP_SENDING) and of the QUIC connection
// (CONNECTION_CLOSE, with a text) are the same:
//
//	0x00   closed without anything wrong
//	0x01   no preamble, or none of this version
//	0x02   no preamble, or no stream, in time
//	0x03   the listener has as many connections as it may
//	0x04   the server's listener was closed
//	0x100  and above: what monitoring calls the reason, e.g. 0x101 Client Closed,
//	       0x103 Authentication Failure, 0x106 Slow Consumer (Pending Bytes),
//	       0x114 Server Shutdown; the text of CONNECTION_CLOSE has the name
//
// # Costs
//
// An idle QUIC connection costs what quic-go needs for it (some 70 KiB) and two
// parked goroutines of ours with small stacks; see `make bench ONLY=quic-idle`.
//
// # Leafs
//
// With ALPN "nats-leaf" the streams carry the leafnode protocol, and all else is the
// same; there are no lanes.
package quic
