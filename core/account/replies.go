package account

import (
	"math/rand/v2"
	"sync"
	"time"

	"ganglion/core/sublist"
)

const (
	// replyShards is how many locks the awaited answers of an account share.
	replyShards = 16
	// maxReplies is how many answers a shard awaits; beyond, the oldest is
	// forgotten. 16 shards of them take some 200 MiB.
	maxReplies = 65536
	idDigits   = 10
	// ReplyPrefix begins the subjects that services answer to.
	ReplyPrefix = "_R_."
	digits      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Reply is where answers to a request of a service go.
type Reply struct {
	Import  *ServiceImport
	Subject []byte   // in Import.From
	Measure *Measure // nil when nobody wants to know how long it takes

	id         uint64
	due        int64
	prev, next *Reply // in order of arrival
}

// Measure is what is known of a request whose service's latency is measured.
type Measure struct {
	Start     int64         // when it came, unix nanoseconds
	RTT       time.Duration // of who asked
	Requestor []byte        // who asked, JSON
	Header    map[string][]string
}

// Replies are the answers that an account's services owe. Messages to their
// subjects reach it by one subscription.
type Replies struct {
	prefix string // of the subjects, "_R_.xxxxxx."
	sub    Subscription
	shards [replyShards]replyShard
}

type replyShard struct {
	mu    sync.Mutex
	byID  map[uint64]*Reply
	queue Reply // its next is the oldest, prev the youngest
	free  *Reply
}

// Replies returns a's awaited answers, made with the first call.
func (a *Account) Replies() *Replies {
	if r := a.replies.Load(); r != nil {
		return r
	}
	r := &Replies{}
	p := []byte(ReplyPrefix)
	for range 6 {
		p = append(p, digits[rand.IntN(len(digits))])
	}
	r.prefix = string(append(p, '.'))
	r.sub = Subscription{Via: &Via{Replies: r}, account: a}
	r.sub.entry = sublist.Entry[*Subscription]{Value: &r.sub, Subject: r.prefix + ">"}
	for i := range r.shards {
		s := &r.shards[i]
		s.byID = map[uint64]*Reply{}
		s.queue.next, s.queue.prev = &s.queue, &s.queue
	}
	if !a.replies.CompareAndSwap(nil, r) {
		return a.replies.Load()
	}
	a.insert(&r.sub)
	return r
}

// ExpireReplies is Replies.Expire for the answers that a's services owe, if any.
func (a *Account) ExpireReplies(now int64, late func(*Reply)) {
	if r := a.replies.Load(); r != nil {
		r.Expire(now, late)
	}
}

// Prefix is what all of the subjects begin with.
func (r *Replies) Prefix() string { return r.prefix }

// Await appends the subject by which the service of imp is to answer, so that
// the answer goes to subj in the account that asks. now is unix nanoseconds; x is
// nil unless the latency is measured.
func (r *Replies) Await(dst []byte, imp *ServiceImport, subj []byte, now int64, x *Measure) []byte {
	threshold := imp.Export.Threshold
	if threshold <= 0 {
		threshold = DefaultThreshold
	}
	id := rand.Uint64() % maxID
	s := &r.shards[id%replyShards]
	s.mu.Lock()
	for s.byID[id] != nil {
		id = (id + replyShards) % maxID
	}
	for q := s.queue.next; q != &s.queue && (q.due <= now || len(s.byID) >= maxReplies); q = s.queue.next {
		s.drop(q)
	}
	q := s.free
	if q != nil {
		s.free = q.next
	} else {
		q = &Reply{}
	}
	q.Import, q.Subject, q.id, q.due = imp, append(q.Subject[:0], subj...), id, now+int64(threshold)
	q.prev, q.next = s.queue.prev, &s.queue
	q.prev.next, s.queue.prev = q, q
	s.byID[id] = q
	q.Measure = x
	s.mu.Unlock()
	dst = appendID(append(dst, r.prefix...), id)
	if x != nil {
		dst = append(dst, ".T"...)
	}
	return dst
}

// Take returns in q what is known of the answer that came on subj, whose bytes it
// appends to dst and q refers to; false when none is awaited at now, in unix
// nanoseconds. last says that the answer is empty, which is the last one wherever
// there may be many. What a service answers once is forgotten then.
func (r *Replies) Take(dst, subj []byte, last bool, now int64, q *Reply) ([]byte, bool) {
	id, ok := parseID(subj[min(len(r.prefix), len(subj)):])
	if !ok {
		return dst, false
	}
	s := &r.shards[id%replyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byID[id]
	if x == nil || x.due <= now { // Expire tells of one that is too late
		return dst, false
	}
	*q = Reply{Import: x.Import, Measure: x.Measure}
	x.Measure = nil // the first answer counts
	dst = append(dst, x.Subject...)
	q.Subject = dst[len(dst)-len(x.Subject):]
	if last || x.Import.Export.Response == Singleton {
		s.drop(x)
	}
	return dst, true
}

// Forget gives up on the answer on subj, as when nobody was asked.
func (r *Replies) Forget(subj []byte) {
	id, ok := parseID(subj[min(len(r.prefix), len(subj)):])
	if !ok {
		return
	}
	s := &r.shards[id%replyShards]
	s.mu.Lock()
	if q := s.byID[id]; q != nil {
		s.drop(q)
	}
	s.mu.Unlock()
}

// Expire forgets the answers that did not come in time, and calls late, if not
// nil, for a copy of each whose latency is measured.
func (r *Replies) Expire(now int64, late func(*Reply)) {
	for i := range r.shards {
		s := &r.shards[i]
		var gone []*Reply
		s.mu.Lock()
		for q := s.queue.next; q != &s.queue; {
			next := q.next
			if q.due <= now {
				if q.Measure != nil && late != nil {
					gone = append(gone, &Reply{Import: q.Import, Measure: q.Measure})
				}
				s.drop(q)
			}
			q = next
		}
		if len(s.byID) == 0 {
			s.free = nil
		}
		s.mu.Unlock()
		for _, q := range gone {
			late(q)
		}
	}
}

// Len returns how many answers are awaited.
func (r *Replies) Len() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.byID)
		s.mu.Unlock()
	}
	return n
}

// drop forgets q; the lock is held.
func (s *replyShard) drop(q *Reply) {
	delete(s.byID, q.id)
	q.prev.next, q.next.prev = q.next, q.prev
	*q = Reply{Subject: q.Subject[:0], next: s.free}
	s.free = q
}

// maxID is one more than the greatest id of idDigits digits.
const maxID = 62 * 62 * 62 * 62 * 62 * 62 * 62 * 62 * 62 * 62

func appendID(dst []byte, id uint64) []byte {
	for range idDigits {
		dst = append(dst, digits[id%62])
		id /= 62
	}
	return dst
}

// parseID reads what appendID wrote; anything may stand behind it.
func parseID(b []byte) (uint64, bool) {
	if len(b) < idDigits {
		return 0, false
	}
	id := uint64(0)
	for i := idDigits - 1; i >= 0; i-- {
		c := b[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'A' && c <= 'Z':
			c = c - 'A' + 10
		case c >= 'a' && c <= 'z':
			c = c - 'a' + 36
		default:
			return 0, false
		}
		id = id*62 + uint64(c)
	}
	return id, true
}
