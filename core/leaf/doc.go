// Package leaf joins the accounts of a broker to those of other servers by the
// leafnode protocol of NATS: it solicits hubs and accepts leafs, nats-servers and
// Ganglions alike.
//
// A Link is one connection in one account. What the other end is interested in are
// subscriptions of the Link, as a sink of the account; what is published there goes
// over it once. What this end is interested in is counted by the account's book and
// announced, each subject (and queue group) once.
//
// A Remote keeps a link to one of several addresses of a hub and never gives up.
// While it is down the hub's interest is remembered for a while: who publishes to
// what only the hub wants is told so (no responders), and such messages are
// counted.
package leaf
