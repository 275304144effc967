// Package core is the map of the broker; it holds no code.
//
//	core/broker                                        the embedding API: assembles the core, serves net.Listeners
//	core/client core/event                             a session type over one connection; the system account's services
//	core/local core/auth                               a peer inside the process; who may join, as whom
//	core/router core/operator                          the stairwell: every message goes through here; the trust chain of JWTs
//	core/account                                       isolated subject spaces, what they export and import
//	core/conn core/sublist core/hook core/limit core/permission core/monitor
//	core/wire core/subject                             the foundation: standard library only
//
// A package imports only packages of a lower layer, and packages of one layer
// never meet; deps_test.go holds the layers as a table.
//
// # The path of a message
//
//	listeners/*   Accept               a net.Conn
//	core/broker   Serve(ln, Endpoint)  default kind, TLS mode, limits
//	core/conn     (*Conn).readReady    a worker fills its buffer and hands it on
//	core/client   (*Client).Consume    all whole ops of the buffer, one by one
//	core/router   (*Batch).Publish     match, queue pick, stage: the function to read
//	core/account  Sink.Stage           one call per receiver, into the worker's own batch
//	core/router   (*Batch).Flush       for each touched receiver once:
//	core/account  Sink.Commit          one lock, one append, one write or wake
//	core/conn     writer               swap queue, writev, deadline, slow-consumer verdict
//
// # Ordering
//
// One publisher to one receiver is in order across all subscriptions. +OK,
// -ERR, PONG, 503 and a session's own echoes are committed last, so a PONG means
// that everything before the PING was handed over. UNSUB closes a subscription
// under the receiver's outbound lock; a commit drops what was closed since it
// was staged and gives queue messages back for another member.
//
// # Locks
//
// An account's interest has one writer lock; readers use a lock of their own
// worker. An outbound queue has a leaf lock. No lock is held while a Sink, Hook
// or Authenticator is called.
package core
