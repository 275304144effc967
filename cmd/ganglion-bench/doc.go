// Command ganglion-bench loads Ganglion and nats-server alternately, in one
// run on one machine, and prints how they compare: median ratios (ganglion /
// nats-server) of throughput, of the server's CPU time per message, of latency
// and of memory.
//
//	go run ./cmd/ganglion-bench                       # everything, about an hour
//	go run ./cmd/ganglion-bench -only 1:1,req -pairs 3
//	go run ./cmd/ganglion-bench -only ws,tls -pairs 1 -seconds 1 -spare 0
//	go run ./cmd/ganglion-bench -ganglion ./ganglion -nats ./nats-server -check
//	go run ./cmd/ganglion-bench -list
//
// # Why a load generator of our own
//
// An ordinary client library costs several times what a fast broker costs per
// message; on a small machine one would measure the client. Here a publisher
// writes pre-encoded PUBs, 64 KiB at a time, on a blocking socket, and all
// subscribers of a leg share one thread that reads 256 KiB at a time and hops
// from message to message by their known length (sink.go). Every delivery is
// nevertheless counted: the hop checks both ends of each message, and at the end of a
// leg the connections are flushed with PING/PONG and the counts must agree
// exactly, or the leg is an error.
//
// # WebSocket and TLS
//
// Both servers then read the same configuration file, with a certificate made
// for the run. Over WebSocket (scenarios ws...), publishers write frames that
// were masked beforehand, of up to 64 KiB or of one PUB each, and receivers
// take the frame headers out of what they read (frames.go) before they hop.
// Compressed messages are inflated, all of them and on every connection, but
// each only once where many connections receive the same bytes.
//
// TLS (tls...) is crypto/tls at both ends, so that the load generator costs
// about as much as the server. The throughput of these legs is that of both
// together; only the server's CPU time per message has a floor.
//
// # QUIC
//
// nats-server has no QUIC, so what Ganglion costs there (quic...) is compared with
// a relay of our own, bare quic-go with Ganglion's settings, which this program
// runs as a process by starting itself again (relay.go): it looks at nothing of
// what a publisher sends, MSGs ready-made, and writes it as it came to every
// subscriber's stream. In the tables it stands where nats-server does. The load
// generator costs about as much as the servers here too, so the ratio of CPU time
// has a floor, and throughput none. The packets that subscribers get are counted
// on their sockets.
//
// # Leafnodes
//
// Scenarios leaf... start two servers that read the same configuration, an edge
// with a remote and a hub that listens. In leaf-up and leaf-down the hub is
// always nats-server, and what is compared is the edge: its CPU time per message;
// throughput is that of the slower of the two. In the others both are of one
// product, and CPU time is that of both. A leg begins once a message has crossed
// the link in either direction behind all SUBs.
//
// What a hub knows is read from /subsz of its monitoring port and checked with
// messages: after leaf-interest and leaf-reconnect it must have as many
// subscriptions by the link as the clients at the edge have, and each of these
// gets what is published to it at the hub, once. The time of a reconnect
// runs from the TCP connection in the kernel's table; the hub is asked every
// 5 ms.
//
// # How a leg goes
//
// A fresh server process is started, connections and subscriptions are made,
// load runs for the warm-up (0.5 s), then deliveries and the server's
// CPU clock are sampled at both ends of the measured window (3 s). Publishers
// are held back by TCP and by a window of bytes not yet delivered (window.go),
// far below the 32 MiB at which nats-server begins to stall producers and the
// 64 MiB at which it cuts slow consumers.
//
// A pair is one leg of each server, the order alternating from pair to pair.
// Pairs are repeated (a bounded number of times) when the machine was not the
// same for both: a fixed piece of CPU work timed around each leg differs by
// more than 15 %, other processes used the cores, or the host of a virtual
// machine moved its cores apart (probe_linux.go, by far the largest effect).
// What cannot be repeated any more is filled up with the least disturbed pairs,
// and said under the table. Errors are never repeated.
//
// # Platforms
//
// Measuring needs Linux (process CPU clocks, epoll, affinity). Elsewhere
// the program compiles, and refuses to run.
package main
