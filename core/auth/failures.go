package auth

import (
	"math"
	"net/netip"
	"sync"
	"time"
)

const (
	// failureHalf is the time in which what is held against an address halves.
	failureHalf = 5 * time.Second
	// failureFree is how many recent failures cost nothing: a person mistypes.
	failureFree = 5
	// failureStep is what each failure above that adds to the delay.
	failureStep = 50 * time.Millisecond
	// MaxDelay is the longest Delay. Clients give up connecting after 2 s.
	MaxDelay = time.Second
	// failureTable bounds the addresses that are remembered.
	failureTable = 16384
)

// Failures remembers which addresses failed to log in of late: IPv4 addresses
// and IPv6 networks of 64 bits. The zero value is ready; it is safe for
// concurrent use.
type Failures struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu    sync.Mutex
	table map[netip.Addr]failure
}

// failure is a count that decays.
type failure struct {
	count float64 // at the time at
	at    time.Time
}

func (f failure) now(t time.Time) float64 {
	return f.count * math.Exp2(-max(0, t.Sub(f.at).Seconds())/failureHalf.Seconds())
}

// network is what addresses are counted by.
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64)
	return p.Addr()
}

func (f *Failures) clock() time.Time {
	if f.Now == nil {
		return time.Now()
	}
	return f.Now()
}

// Failed counts a failed login from addr.
func (f *Failures) Failed(addr netip.Addr) {
	now := f.clock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.table == nil {
		f.table = make(map[netip.Addr]failure)
	}
	key := network(addr)
	old, known := f.table[key]
	if !known && len(f.table) >= failureTable {
		f.evict(now)
	}
	// More than the longest delay asks for would only prolong the punishment.
	most := failureFree + float64(MaxDelay/failureStep)*2
	f.table[key] = failure{count: min(old.now(now)+1, most), at: now}
}

// evict makes room: of a few entries, which the map picks at random, the one that
// matters least goes, and all that matter no more.
func (f *Failures) evict(now time.Time) {
	var least netip.Addr
	lowest, looked := math.Inf(1), 0
	for addr, e := range f.table {
		if c := e.now(now); c < 0.5 {
			delete(f.table, addr)
		} else if c < lowest {
			least, lowest = addr, c
		}
		if looked++; looked == 16 {
			break
		}
	}
	if len(f.table) >= failureTable {
		delete(f.table, least)
	}
}

// Succeeded forgives addr half of its failures: not all, lest somebody with one
// valid user guesses others for free.
func (f *Failures) Succeeded(addr netip.Addr) {
	now := f.clock()
	f.mu.Lock()
	defer f.mu.Unlock()
	key := network(addr)
	old, known := f.table[key]
	if !known {
		return
	}
	if c := old.now(now) / 2; c >= 0.5 {
		f.table[key] = failure{count: c, at: now}
	} else {
		delete(f.table, key)
	}
}

// Delay returns how long a new connection from addr is to wait before it is
// served: 0 normally, MaxDelay at most.
func (f *Failures) Delay(addr netip.Addr) time.Duration {
	now := f.clock()
	f.mu.Lock()
	defer f.mu.Unlock()
	e, known := f.table[network(addr)]
	if !known {
		return 0
	}
	over := e.now(now) - failureFree
	return min(max(0, time.Duration(over*float64(failureStep))), MaxDelay)
}
