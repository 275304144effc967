// Package wire knows the bytes of the NATS protocols and nothing else: an
// incremental parser that never copies, append-style encoders, the header
// block, INFO and CONNECT, and the -ERR texts.
//
// The client protocol is described at https://docs.nats.io/reference/reference-protocols/nats-protocol;
// where a running nats-server is more tolerant than the page, so is this
// package, because clients lean on it.
//
// # Borrowed bytes
//
// Everything a Parser hands out is a slice of the buffer it was given and
// lives only as long as that buffer's contents. Who keeps a part of it copies it.
package wire
