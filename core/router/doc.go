// Package router is the stairwell of the broker: every message goes through
// Batch.Publish, whatever it came from and whatever it goes to.
//
// A Batch belongs to one reader (a worker, a service) and is not safe for
// concurrent use. It remembers who is interested in the subjects it saw last,
// stages each delivery per receiver, and commits every receiver once per Flush:
// one lock, one append, one write or wake for all messages of a turn.
package router
