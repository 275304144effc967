package router

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"ganglion/core/account"
	"ganglion/core/permission"
)

const (
	// verdictSets is how many pairs of beginnings of subjects a batch remembers
	// verdicts on.
	verdictSets = 2048
	// verdictSubject is how long such a beginning may be.
	verdictSubject = 36
	// verdictAnswers is how many permission sets' verdicts are kept of each: as a
	// rule the publisher's and the receiver's.
	verdictAnswers = 2
)

// verdicts remember what permission sets said of subjects. Many users share a set
// and many subjects begin alike, with a site or a kind, so asking a set anew for
// each message costs more than to look; and what is kept by the beginnings that
// decide (see permission.Deciding) is few enough to stay in the processor's cache.
// Beginnings are compared byte by byte: an answer is never another subject's.
type verdicts struct {
	places [][2]verdict
	depth  int // of the deepest set asked
	// last is the place of the subject of whose, if verdictOf was not called since.
	last  *verdict
	whose *entry
	// before is the place that was asked for before: publishers that go round and
	// round have the next one be the one that followed it.
	before *verdict
}

// verdict is what sets said of the subjects that begin alike, in one cache line.
type verdict struct {
	sets   [verdictAnswers]*permission.Set
	follow *verdict // whose turn it was after this one's, last time
	begin  [verdictSubject]byte
	yes    [verdictAnswers]bool
	length uint8 // of begin; 0 is an empty place
	next   uint8 // answer to be replaced next
}

// expected returns the place for verdicts on subject if it is the one that was
// asked for after the one before, the last time; nil otherwise. The subject has no
// empty token, so that a beginning that ends in a dot decides.
func (vs *verdicts) expected(subject []byte) *verdict {
	if vs.before == nil {
		return nil
	}
	v := vs.before.follow
	if v == nil {
		return nil
	}
	n := int(v.length)
	if n == 0 || n >= len(subject) || v.begin[n-1] != '.' || string(v.begin[:n]) != string(subject[:n]) {
		return nil
	}
	vs.before = v
	return v
}

// verdictOf returns the place for verdicts on subject; nil when there is none.
func (b *Batch) verdictOf(subject []byte) *verdict {
	vs := &b.verdicts
	vs.whose = nil
	begin := permission.Deciding(subject, vs.depth)
	if len(begin) > verdictSubject || len(begin) == 0 {
		return nil
	}
	if vs.places == nil {
		vs.places = make([][2]verdict, verdictSets)
	}
	h := b.hashBegin(begin)
	two := &vs.places[h%verdictSets]
	for i := range two {
		if v := &two[i]; string(v.begin[:v.length]) == string(begin) {
			vs.comes(v)
			return v
		}
	}
	v := &two[h>>32&1]
	if two[0].length == 0 {
		v = &two[0]
	} else if two[1].length == 0 {
		v = &two[1]
	}
	*v = verdict{length: uint8(copy(v.begin[:], begin)), begin: v.begin}
	vs.comes(v)
	return v
}

// comes notes that v was asked for.
func (vs *verdicts) comes(v *verdict) {
	if vs.before != nil {
		vs.before.follow = v
	}
	vs.before = v
}

// hashBegin is a hash of a few bytes. Whoever finds two with the same one makes
// them push each other out, and no more.
func (b *Batch) hashBegin(begin []byte) uint64 {
	n := len(begin)
	if n < 8 || n > 24 {
		return maphash.Bytes(b.seed, begin)
	}
	const odd = 0x9E3779B97F4A7C15
	first, last := binary.LittleEndian.Uint64(begin), binary.LittleEndian.Uint64(begin[n-8:])
	middle := binary.LittleEndian.Uint64(begin[n/2-4:])
	h := (first ^ bits.RotateLeft64(last, 23)) * odd
	h = (h ^ h>>29 ^ middle) * odd
	return h ^ h>>32
}

// allows is set.Allows(subject), where v is subject's place, or nil.
func (vs *verdicts) allows(v *verdict, set *permission.Set, subject []byte) bool {
	if v == nil {
		return set.Allows(subject)
	}
	for i := range v.sets {
		if v.sets[i] == set {
			return v.yes[i]
		}
	}
	yes := set.Allows(subject)
	if set.Depth() > vs.depth { // what is remembered by less does not hold for it
		vs.depth, vs.whose, vs.before = set.Depth(), nil, nil
		clear(vs.places)
		return yes
	}
	v.sets[v.next], v.yes[v.next] = set, yes
	v.next = (v.next + 1) % verdictAnswers
	return yes
}

// filter leaves out of res whoever must not be given messages on subject, whose
// place is v.
func (vs *verdicts) filter(res *account.Result, subject []byte, v *verdict) {
	if len(res.Plain) == 1 && len(res.Groups) == 0 { // the most frequent one
		if vs.denied(res.Plain[0], subject, v) {
			res.Plain[0] = nil
			res.Plain = res.Plain[:0]
		}
		return
	}
	res.Filter(func(sub *account.Subscription) bool { return vs.denied(sub, subject, v) })
}

// denied reports whether sub must not be given messages on subject.
func (vs *verdicts) denied(sub *account.Subscription, subject []byte, v *verdict) bool {
	if sub.Via != nil {
		return sub.DeniesFar(subject)
	}
	deny := sub.Denials()
	return deny != nil && !vs.allows(v, deny, subject)
}
