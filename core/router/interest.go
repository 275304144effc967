package router

import (
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"ganglion/core/account"
	"ganglion/core/permission"
)

const (
	// cacheSize is the number of subjects whose interest a batch remembers.
	cacheSize = 2048
	// keepResult is how many receivers a remembered result may have room for
	// when its place is taken by another subject.
	keepResult = 1024
	// secondSize is the number of subjects of imported services whose interest
	// is remembered.
	secondSize = 256
)

// entry is the remembered interest in one subject of one account. It owns its
// memory and is overwritten in place.
type entry struct {
	acc     *account.Account
	gen     *atomic.Uint64
	seen    uint64 // value of gen at the time of the match
	subject []byte
	res     account.Result
	only    *account.Subscription // the one receiver, where there is just that
	nobody  bool                  // neither receivers nor hooks
	// may is the permission set that was asked about the subject last, and yes
	// what it said.
	may *permission.Set
	yes bool
}

// allowed reports whether may allows the subject.
func (e *entry) allowed(b *Batch, may *permission.Set) bool {
	if e.may != may {
		v := b.verdicts.last
		if b.verdicts.whose != e {
			v = b.verdictOf(e.subject)
		}
		e.may, e.yes = may, b.verdicts.allows(v, may, e.subject)
	}
	return e.yes
}

// level is what publishing in another account needs while that in the first
// one is under way.
type level struct {
	subject, mapped, reply, data []byte
	found                        entry
}

// nested returns who gets messages on subject in acc, with an entry of the level
// at hand: those of outer levels are still in use.
func (b *Batch) nested(lv *level, acc *account.Account, subject []byte) *entry {
	e := &lv.found
	if b.depth == 1 { // most imports lead no further, so they have a cache
		if b.second == nil {
			b.second = make([]entry, secondSize)
		}
		e = &b.second[(maphash.Bytes(b.seed, subject)^mixed(acc))%secondSize]
	}
	if e.acc == acc && string(e.subject) == string(subject) && e.gen.Load() == e.seen {
		return e
	}
	return e.match(b, acc, subject)
}

// mixed is what an account adds to the hash of its subjects. Objects don't move.
func mixed(acc *account.Account) uint64 {
	return uint64(uintptr(unsafe.Pointer(acc))>>4) * 0x9E3779B97F4A7C15
}

// interest returns who gets messages on subject in acc. A subject takes its
// place in the cache when it comes a second time: streams of subjects that never
// come again would only drive the others out, and touch cold memory doing so.
func (b *Batch) interest(acc *account.Account, subject []byte) *entry {
	if e := b.last; e != nil && e.acc == acc && string(e.subject) == string(subject) && e.gen.Load() == e.seen {
		return e
	}
	if b.cache == nil {
		b.cache, b.missed = make([]entry, cacheSize), make([]uint32, cacheSize)
	}
	h := maphash.Bytes(b.seed, subject) ^ mixed(acc)
	i, check := h%cacheSize, uint32(h>>32)|1
	if b.missed[i] != check {
		b.missed[i] = check
		b.last = b.once.match(b, acc, subject)
		return b.last
	}
	e := &b.cache[i]
	b.last = e
	if e.acc == acc && string(e.subject) == string(subject) && e.gen.Load() == e.seen {
		return e
	}
	return e.match(b, acc, subject)
}

// match fills e anew.
func (e *entry) match(b *Batch, acc *account.Account, subject []byte) *entry {
	if cap(e.res.Plain) > keepResult {
		e.res = account.Result{}
	}
	if cap(e.subject) > 1024 {
		e.subject = nil
	}
	e.acc, e.subject = acc, append(e.subject[:0], subject...)
	e.gen = acc.Generation(subject)
	e.seen = e.gen.Load()
	e.may = nil
	b.verdicts.whose = nil // it may have been e, of another subject
	if acc.MatchAll(b.reader, subject, &e.res) {
		var v *verdict
		if !e.res.Result.Empty() { // somebody's pattern matches: it is a well-formed subject
			v = b.verdicts.expected(subject)
		}
		if v == nil {
			v = b.verdictOf(subject)
		}
		b.verdicts.last, b.verdicts.whose = v, e // the publisher's permissions are asked next
		b.verdicts.filter(&e.res, subject, v)
	}
	e.only, e.nobody = nil, e.res.Empty() && e.res.Chain == nil
	if len(e.res.Plain) == 1 && len(e.res.Groups) == 0 && e.res.Chain == nil {
		e.only = e.res.Plain[0]
	}
	return e
}
