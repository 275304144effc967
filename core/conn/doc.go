// Package conn is one framed connection of any kind: who reads it, how bytes
// wait to be written, when it is closed and why. It knows no verbs; those are
// its Handler's.
//
// # Readers
//
// On Linux a TCP or unix connection at rest has no goroutine and no
// buffer. All of them sit in one epoll set of the Loop (ONESHOT), which is
// itself watched by Go's netpoller. A few workers share that set: one at a time
// waits, takes what is ready, reads it into the worker's own buffer, lets the
// handlers consume it, flushes the batch and re-arms. Elsewhere, and for
// connections without a descriptor, each connection has a goroutine that does
// the same. Either way a session's reader state belongs to whoever holds the
// connection at the moment, and needs no lock.
//
// A connection may travel in frames (WebSocket) and under TLS. crypto/tls runs
// over a transport that never touches the socket, and frames are unpacked in
// place in the read buffer, so such a connection is read and written like any
// other. Only a handshake has a goroutine, for as long as it lasts.
//
// # Writers
//
// Bytes are sent under the outbound lock: straight to an idle socket in one
// attempt that never blocks, with the lock released during the call and
// ownership marked by a bit; otherwise they are queued, and a goroutine started
// for the purpose drains the queue and ends.
//
// # Closing
//
// Close may be called by anybody at any time. It shuts the socket down, which
// wakes the reader; the last of reader and writer to let go closes the
// descriptor and calls Handler.Closed, exactly once and with no lock held.
//
// # Locks
//
// Conn.Lock is a leaf lock: nothing else is locked while it is held, except the
// Loop's backlog set by the code of this package.
package conn
