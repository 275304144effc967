// Package webtransport is the transport for browsers that needs no TCP: NATS
// connections as streams of WebTransport sessions over HTTP/3, on the UDP port of
// listeners/quic, whose mapping this is but for what HTTP asks for.
// github.com/quic-go/webtransport-go does WebTransport.
//
// # The mapping, version 1
//
// A client opens a session with a CONNECT request (draft-ietf-webtrans-http3) for
// the path / or /nats. The request's cookies, headers and Origin are those of all
// NATS connections of the session. Each bidirectional stream that the client opens
// is one NATS connection and begins with the preamble of package quic; what it
// carries, how it ends, its lanes, which are unidirectional streams that the
// server opens, and the codes are as described there. Codes of streams are those
// of RESET_STREAM and STOP_SENDING as WebTransport maps them; what there is the
// code and text of CONNECTION_CLOSE is here those of the session's close. The QUIC
// connection itself carries requests for pages as well, and is closed with
// H3_NO_ERROR some time after the last request and session.
//
// The client's own unidirectional streams and datagrams have no meaning. They are
// not read, and bounded by their windows and by queues of fixed length.
//
// # Limits
//
// A QUIC connection has one session at a time: another one is refused until that
// has ended. (More would need the flow control of sessions, which browsers do not
// offer yet; they use a QUIC connection for each session.) A session without a
// stream in time is closed with code 0x02, a stream above MaxStreams is reset with
// code 0x03. A request line and its headers may have 16 KiB. Nothing is answered
// before the handshake is complete, so a replay of early data has no effect.
package webtransport
