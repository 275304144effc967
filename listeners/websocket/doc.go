// Package websocket is the WebSocket transport: browsers and other clients that
// speak NATS inside the frames of RFC 6455.
//
// github.com/coder/websocket does the handshake. The data frames of the
// hijacked connection are handled here (a 128-byte frame costs its reader a
// fifth of what the library needs), and nothing of net/http or the library is
// held by a connection that was upgraded: an idle one costs what its TCP
// connection costs and some 200 bytes.
//
// A frame's payload is a piece of a stream: ops may share a frame or span
// frames, whose type (text or binary) says nothing. permessage-deflate is
// negotiated without context takeover, and each compressed message inflated
// through a pool.
//
// Leafs ask for the path /leafnode; what they compress by S2 goes below the frames
// (Conn.Below).
package websocket
