package router

import (
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"ganglion/core/account"
	"ganglion/core/wire"
)

const (
	// A batch commits by itself at this many staged bytes or deliveries.
	flushBytes      = 2 << 20
	flushDeliveries = 16384
	// busyReceivers is how many receivers make a flush much work.
	busyReceivers = 8
	// keepStage is how much memory an idle stage may keep, keepAll all of them.
	keepStage = 256 << 10
	keepAll   = 4 << 20
	keepFree  = 2048
)

// Batch stages deliveries of one reader. Create it with New.
type Batch struct {
	// Op is room for the op that the session being read is at.
	Op wire.Op

	reader  int
	seed    maphash.Seed
	rng     *rand.PCG
	counter *Counters

	last  *entry  // interest in the subject published last
	cache []entry // direct-mapped by subject
	// missed holds, for each place in cache, a check of the subject that was
	// looked for there last; once is for those that came for the first time.
	missed    []uint32
	once      entry
	trace     *Trace // of the message being published; nil for none
	over      *over  // of one that came over a link; nil for none
	linked    over
	choices   []choice
	names     [][]byte
	nameBytes []byte
	verdicts  verdicts
	// depth counts the accounts that the message being published has come
	// through; levels has room for each, second is the cache of the first.
	depth  int
	asked  int              // of these, how many are services
	home   *account.Account // where a message came from that goes through others
	levels []*level
	second []entry

	stages   table
	open     []*account.Stage // in order of first touch
	own      []*account.Stage // the senders' own, committed last
	free     []*account.Stage
	freeMem  int
	bytes    int
	count    int
	borrowed bool
	slow     bool // somebody staged for is falling behind
	flushing bool

	views   []view // of the messages being published, by listener
	scratch []byte
	// scratches are what hooks replaced of the message being published.
	scratches []byte
	near      []byte // a subject as the importer of a stream calls it
}

// Counters are totals of all batches that share them; they are added to once per
// Flush.
type Counters struct {
	NoInterest atomic.Uint64 // messages that nobody was interested in
	Refused    atomic.Uint64 // messages that a publish hook dropped or rejected
}

// New returns a Batch. reader is a small number that few other batches in use
// at the same time share; it selects the lock under which interest is looked up.
func New(reader int, c *Counters) *Batch {
	return &Batch{reader: reader, seed: maphash.MakeSeed(), rng: rand.NewPCG(rand.Uint64(), rand.Uint64()), counter: c}
}

// Borrowed reports whether staged deliveries refer to published bytes.
func (b *Batch) Borrowed() bool { return b.borrowed }

// Busy reports whether a Flush would be much work.
func (b *Batch) Busy() bool { return len(b.open) >= busyReceivers }

// Slow reports whether a receiver of what was staged since the last call is
// falling behind, so that its producers should slow down.
func (b *Batch) Slow() bool {
	s := b.slow
	b.slow = false
	return s
}

// MarkSlow is called by a Sink in Stage when its receiver is falling behind.
// See Slow.
func (b *Batch) MarkSlow() { b.slow = true }

// Own returns the stage of the session from, committed after all others: for
// +OK, -ERR, PONG, 503 and its own echoes. A session keeps it until Flush.
func (b *Batch) Own(from account.Sink) *account.Stage {
	for i := len(b.own) - 1; i >= 0; i-- {
		if b.own[i].Owner == from {
			return b.own[i]
		}
	}
	st := b.newStage(from)
	st.Sender = from
	b.own = append(b.own, st)
	return st
}

// stage returns the stage of receiver to for messages of from.
func (b *Batch) stage(from, to account.Sink) *account.Stage {
	key := object(to)
	if key == object(from) {
		return b.Own(from)
	}
	st, slot := b.stages.find(key)
	if st == nil {
		st = b.newStage(to)
		b.stages.put(slot, key, st)
		b.open = append(b.open, st)
	}
	st.Sender = from
	return st
}

func (b *Batch) newStage(owner account.Sink) *account.Stage {
	var st *account.Stage
	if n := len(b.free); n > 0 {
		st = b.free[n-1]
		b.free = b.free[:n-1]
		b.freeMem -= st.Memory()
	} else {
		st = &account.Stage{}
	}
	st.Owner = owner
	return st
}

// Flush commits everything staged: receivers in the order in which they were
// touched first, then the senders' own stages.
func (b *Batch) Flush() {
	if b.flushing || len(b.open) == 0 && len(b.own) == 0 {
		return
	}
	b.flushing = true
	now := time.Now().UnixNano()
	if len(b.open) >= shareReceivers && b.bytes >= shareBytes {
		commitShared(b.open, now)
	} else {
		for _, st := range b.open {
			commit(st, now)
		}
	}
	b.takeBack(b.open)
	for _, st := range b.own {
		commit(st, now)
	}
	b.takeBack(b.own)
	b.stages.reset(len(b.open))
	for i, st := range b.open {
		b.recycle(st)
		b.open[i] = nil
	}
	for i, st := range b.own {
		b.recycle(st)
		b.own[i] = nil
	}
	b.open, b.own = b.open[:0], b.own[:0]
	b.bytes, b.count, b.borrowed = 0, 0, false
	b.flushing = false
}

func commit(st *account.Stage, now int64) {
	if st.Len() > 0 || len(st.Deliveries) > 0 {
		st.Now = now
		st.Owner.Commit(st)
	}
}

// takeBack gives what committed stages returned to other members.
func (b *Batch) takeBack(stages []*account.Stage) {
	for _, st := range stages {
		back := st.Returned
		st.Returned = nil
		for i := range back {
			b.redeliver(&back[i])
		}
	}
}

func (b *Batch) recycle(st *account.Stage) {
	st.Clear(keepStage)
	if len(b.free) >= keepFree || b.freeMem+st.Memory() > keepAll {
		st.Clear(0)
		if len(b.free) >= keepFree {
			return
		}
	}
	b.freeMem += st.Memory()
	b.free = append(b.free, st)
}

// staged is called after each delivery of n bytes.
func (b *Batch) staged(n int) {
	b.bytes += n
	b.count++
}
