package auth

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// ErrBusy is returned by a Pool whose queue is full or that was closed. The
// connection should be closed without a word: clients come back by themselves.
var ErrBusy = errors.New("auth: too many logins at once")

// Cost is what checking a Request is going to take.
type Cost struct {
	CPU   time.Duration // 0: next to nothing
	Waits bool          // for somebody else: a resolver, a callout service
}

// costly is the Cost from which on work waits until there is none below it.
const costly = time.Millisecond

// PoolOptions bounds a Pool.
type PoolOptions struct {
	// Workers is how many logins are checked at once; 0 is half of GOMAXPROCS,
	// at least one.
	Workers int
	// Waiting is how many may wait for somebody else at once; 0 is 1024.
	Waiting int
	// Queue is how many may be queued; 0 is 4096.
	Queue int
	// Share is how much of all CPU time logins may take on average, from above 0
	// to 1; 0 is 0.2.
	Share float64
	// Burst is how much CPU time they may take at once after a pause; 0 is 1 s.
	Burst time.Duration
	// CPU returns the CPU time that the calling thread has used; nil asks the
	// operating system, which can't be done everywhere. false has the estimate of
	// a Cost stand.
	CPU func() (time.Duration, bool)
}

// Pool runs the checking of logins: on a few threads, in a bounded queue, and
// with a share of the CPU's time, so that whoever sends logins in masses can't
// take the CPU from those who are connected. Signatures go before bcrypt, which
// costs hundreds of times as much.
//
// It has Workers goroutines and one for each login that waits; Close ends them.
type Pool struct {
	// Static after NewPool.
	waiting int
	queue   int
	rate    float64 // CPU seconds per second
	burst   time.Duration
	cpu     func() (time.Duration, bool)
	wg      sync.WaitGroup

	mu     sync.Mutex
	wake   *sync.Cond
	cheap  fifo
	costly fifo
	waits  int           // jobs that wait for somebody else
	budget time.Duration // CPU time to spend, below 0 when overdrawn
	filled time.Time     // when budget was brought up to date
	timer  *time.Timer   // wakes a worker once budget is above 0; nil when not set
	spent  time.Duration
	closed bool
}

// job is one login.
type job struct {
	ctx  context.Context
	cost Cost
	f    func(done bool)
}

// fifo is a queue.
type fifo struct{ jobs []job }

func (q *fifo) push(j job) { q.jobs = append(q.jobs, j) }

func (q *fifo) pop() job {
	j := q.jobs[0]
	q.jobs[0] = job{}
	if q.jobs = q.jobs[1:]; len(q.jobs) == 0 {
		q.jobs = nil
	}
	return j
}

// NewPool starts a Pool.
func NewPool(o PoolOptions) *Pool {
	cpus := runtime.GOMAXPROCS(0)
	if o.Workers <= 0 {
		o.Workers = max(1, cpus/2)
	}
	if o.Waiting <= 0 {
		o.Waiting = 1024
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	if o.Share <= 0 {
		o.Share = 0.2
	}
	if o.Burst <= 0 {
		o.Burst = time.Second
	}
	if o.CPU == nil {
		o.CPU = threadCPU
	}
	p := &Pool{
		waiting: o.Waiting,
		queue:   o.Queue,
		rate:    o.Share * float64(cpus),
		burst:   o.Burst,
		cpu:     o.CPU,
		budget:  o.Burst,
		filled:  time.Now(),
	}
	p.wake = sync.NewCond(&p.mu)
	for range o.Workers {
		p.wg.Go(p.work)
	}
	return p
}

// Go has f run once it is its turn and returns at once. f is called with done
// set when ctx has ended before that, or the Pool was closed: then it should
// clean up and not work. It is called exactly once unless Go returns ErrBusy,
// and not by the caller's goroutine.
func (p *Pool) Go(ctx context.Context, cost Cost, f func(done bool)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.cheap.jobs)+len(p.costly.jobs) >= p.queue {
		return ErrBusy
	}
	j := job{ctx: ctx, cost: cost, f: f}
	if cost.CPU < costly {
		p.cheap.push(j)
	} else {
		p.costly.push(j)
	}
	p.wake.Signal()
	return nil
}

// Spent returns the CPU time that was spent so far.
func (p *Pool) Spent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spent
}

// Close calls what is queued with done set, and returns once nothing runs. It
// does not end what has begun: whoever started that ends its context.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.wake.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
}

// work is a worker.
func (p *Pool) work() {
	runtime.LockOSThread() // for cpu
	defer runtime.UnlockOSThread()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		j, done, ok := p.next()
		if !ok {
			return
		}
		switch {
		case done:
			p.mu.Unlock()
			j.f(true)
			p.mu.Lock()
		case j.cost.Waits:
			p.waits++
			p.charge(j.cost.CPU)
			p.wg.Go(func() {
				j.f(false)
				p.mu.Lock()
				p.waits--
				p.wake.Signal()
				p.mu.Unlock()
			})
		default:
			p.charge(j.cost.CPU) // so that others don't spend it too
			p.mu.Unlock()
			took := p.run(j)
			p.mu.Lock()
			p.charge(took - j.cost.CPU)
		}
	}
}

// run does a job and returns what it took.
func (p *Pool) run(j job) time.Duration {
	before, ok := p.cpu()
	j.f(false)
	after, still := p.cpu()
	if ok && still {
		return after - before
	}
	return j.cost.CPU
}

// next waits for a job that may run now, or that is done for. It returns false
// when there will be no more.
func (p *Pool) next() (j job, done, ok bool) {
	for {
		q := &p.cheap
		if len(q.jobs) == 0 {
			q = &p.costly
		}
		switch {
		case len(q.jobs) == 0 && p.closed:
			return job{}, false, false
		case len(q.jobs) == 0:
		case p.closed || q.jobs[0].ctx.Err() != nil:
			return q.pop(), true, true
		case q.jobs[0].cost.Waits && p.waits >= p.waiting:
		case p.funds():
			return q.pop(), false, true
		}
		p.wake.Wait()
	}
}

// funds reports whether there is anything left of the budget. If not, it sees to
// it that a worker is woken when there is.
func (p *Pool) funds() bool {
	now := time.Now()
	if gone := now.Sub(p.filled); gone > 0 {
		p.budget = min(p.burst, p.budget+time.Duration(float64(gone)*p.rate))
		p.filled = now
	}
	if p.budget > 0 {
		return true
	}
	if p.timer == nil {
		lack := time.Duration(float64(-p.budget)/p.rate) + time.Millisecond
		p.timer = time.AfterFunc(lack, func() {
			p.mu.Lock()
			p.timer = nil
			p.wake.Broadcast()
			p.mu.Unlock()
		})
	}
	return false
}

func (p *Pool) charge(d time.Duration) {
	p.budget -= d
	p.spent += d
}
