package router

import (
	"runtime"
	"sync/atomic"

	"ganglion/core/account"
)

const (
	// shareReceivers and shareBytes are from how many receivers and staged bytes
	// on a flush is worth waking others for: each commit is a system call, and
	// one publisher to many would otherwise keep one core at it while the rest
	// idle.
	shareReceivers = 32
	shareBytes     = 64 << 10
	// shareStep is how many stages are claimed at a time.
	shareStep = 4
	// shareMost bounds how many goroutines help one flush.
	shareMost = 7
)

// share is a flush done by several goroutines. A helper that comes too late
// finds nothing left to claim and touches nothing.
type share struct {
	stages []*account.Stage
	now    int64
	n      int32
	next   atomic.Int32
	done   atomic.Int32
	last   chan struct{} // told by the helper that finishes the flush
}

// commitShared commits stages on this goroutine and some others at the time now.
// It returns when all are committed.
func commitShared(stages []*account.Stage, now int64) {
	s := &share{stages: stages, now: now, n: int32(len(stages)), last: make(chan struct{}, 1)}
	helpers := min(runtime.GOMAXPROCS(0)-1, len(stages)/shareReceivers, shareMost)
	for range helpers {
		go func() {
			if s.work() {
				s.last <- struct{}{}
			}
		}()
	}
	if !s.work() {
		<-s.last
	}
}

// work commits stages until none is left to claim; true when that finished the
// flush.
func (s *share) work() bool {
	mine := int32(0)
	for {
		from := s.next.Add(shareStep) - shareStep
		if from >= s.n {
			break
		}
		to := min(from+shareStep, s.n)
		for _, st := range s.stages[from:to] {
			commit(st, s.now)
		}
		mine += to - from
	}
	return mine > 0 && s.done.Add(mine) == s.n
}
