// Package limit says how often something may happen. A Bucket is a token bucket;
// Limits are the rates of an edge by scope, a Group the buckets of one of those
// whom they bound, and a Table the groups that connections share.
//
// A Bucket may be taken from one by one (Take), or for many at a time: Lease
// before a read and Give afterwards, so that its lock is taken twice for a read
// and not once for each message. Reserve queues: it takes what is not there yet
// and says from when on it may be used, so that a thousand who wait for one
// bucket are served in turn and none of them has to look twice.
package limit
