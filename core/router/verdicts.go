package router

import (
	"ganglion/core/account"
	"ganglion/core/permission"
)

const (
	// verdictSets is how many pairs of subjects a batch remembers verdicts on.
	verdictSets = 2048
	// verdictSubject is how long such a subject may be.
	verdictSubject = 44
	// verdictAnswers is how many permission sets' verdicts are kept of each: as a
	// rule the publisher's and the receiver's.
	verdictAnswers = 2
)

// verdict is what permission sets said of a subject, in one cache line. Many
// users share a set and many subjects come again, so asking a set anew for each
// message costs more than to look. Subjects are compared byte by byte: an answer
// is never another subject's.
type verdict struct {
	sets    [verdictAnswers]*permission.Set
	subject [verdictSubject]byte
	yes     [verdictAnswers]bool
	length  uint8 // of subject; 0 is an empty place
	next    uint8 // answer to be replaced next
}

// verdictOf returns the place for verdicts on subject, whose hash is h; nil when
// it is too long.
func (b *Batch) verdictOf(subject []byte, h uint64) *verdict {
	if len(subject) > len(verdict{}.subject) || len(subject) == 0 {
		return nil
	}
	if b.verdicts == nil {
		b.verdicts = make([][2]verdict, verdictSets)
	}
	two := &b.verdicts[h%verdictSets]
	for i := range two {
		if v := &two[i]; string(v.subject[:v.length]) == string(subject) {
			return v
		}
	}
	v := &two[h>>32&1]
	if two[0].length == 0 {
		v = &two[0]
	} else if two[1].length == 0 {
		v = &two[1]
	}
	*v = verdict{length: uint8(copy(v.subject[:], subject)), subject: v.subject}
	return v
}

// allows is set.Allows(subject), where v is subject's place, or nil.
func (v *verdict) allows(set *permission.Set, subject []byte) bool {
	if v == nil {
		return set.Allows(subject)
	}
	for i := range v.sets {
		if v.sets[i] == set {
			return v.yes[i]
		}
	}
	yes := set.Allows(subject)
	v.sets[v.next], v.yes[v.next] = set, yes
	v.next = (v.next + 1) % verdictAnswers
	return yes
}

// filter leaves out of res whoever must not be given messages on subject, whose
// place is v.
func filter(res *account.Result, subject []byte, v *verdict) {
	if len(res.Plain) == 1 && len(res.Groups) == 0 { // the most frequent one
		if denied(res.Plain[0], subject, v) {
			res.Plain[0] = nil
			res.Plain = res.Plain[:0]
		}
		return
	}
	res.Filter(func(sub *account.Subscription) bool { return denied(sub, subject, v) })
}

// denied reports whether sub must not be given messages on subject.
func denied(sub *account.Subscription, subject []byte, v *verdict) bool {
	if sub.Via != nil {
		return sub.DeniesFar(subject)
	}
	deny := sub.Denials()
	return deny != nil && !v.allows(deny, subject)
}
