// Package client is the session of a NATS client over one connection: it reads
// the client's verbs (one file each), publishes through the router, and is the
// sink of its own subscriptions.
//
// A Client's reader state belongs to whoever reads its connection at the
// moment (core/conn). Its subscriptions and outbound counters are guarded by
// the connection's outbound lock, which is what makes "nothing more after
// UNSUB" hold.
package client
