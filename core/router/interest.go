package router

import (
	"hash/maphash"
	"sync/atomic"

	"ganglion/core/account"
)

const (
	// cacheSize is the number of subjects whose interest a batch remembers.
	cacheSize = 2048
	// keepResult is how many receivers a remembered result may have room for
	// when its place is taken by another subject.
	keepResult = 1024
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
	h := maphash.Bytes(b.seed, subject)
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
	acc.Match(b.reader, subject, &e.res)
	e.only, e.nobody = nil, e.res.Empty() && e.res.Chain == nil
	if len(e.res.Plain) == 1 && len(e.res.Groups) == 0 && e.res.Chain == nil {
		e.only = e.res.Plain[0]
	}
	return e
}
