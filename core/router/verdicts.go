package router

import (
	"hash/maphash"
	"unsafe"

	"ganglion/core/permission"
)

const (
	// verdictSize is how many answers of permission sets a batch remembers, each
	// in a cache line.
	verdictSize = 4096
	// verdictSubject is how long a subject may be whose answer is remembered.
	verdictSubject = 46
)

// verdict is what a permission set said of a subject.
type verdict struct {
	set     *permission.Set
	length  uint8
	yes     bool
	subject [verdictSubject]byte
}

// verdicts remembers what permission sets said of subjects. Many users share a
// set and many subjects come again, so asking it anew each time costs more than
// to look. Subjects are compared byte by byte: an answer is never another
// subject's.
type verdicts struct {
	seed  maphash.Seed
	table []verdict
}

// allows is set.Allows(subj).
func (v *verdicts) allows(set *permission.Set, subj []byte) bool {
	if len(subj) > verdictSubject {
		return set.Allows(subj)
	}
	if v.table == nil {
		v.table = make([]verdict, verdictSize)
	}
	h := maphash.Bytes(v.seed, subj) ^ uint64(uintptr(unsafe.Pointer(set))>>4)*0x9E3779B97F4A7C15
	x := &v.table[h%verdictSize]
	if x.set == set && string(x.subject[:x.length]) == string(subj) {
		return x.yes
	}
	x.set, x.yes = set, set.Allows(subj)
	x.length = uint8(copy(x.subject[:], subj))
	return x.yes
}
