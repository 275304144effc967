package monitor

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process watches the process that it runs in.
type process struct {
	mu  sync.Mutex
	at  time.Time
	cpu time.Duration
	pct float64
}

// usage returns the resident memory in bytes and the processor share in
// percent since the last call at least a second ago.
func (p *process) usage() (rss int64, cpu float64) {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			n, _ := strconv.ParseInt(string(f[1]), 10, 64)
			rss = n * int64(os.Getpagesize())
		}
	}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return rss, 0
	}
	used := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := now.Sub(p.at); d >= time.Second {
		if !p.at.IsZero() {
			p.pct = float64(int64(1000*(used-p.cpu)/d)) / 10
		}
		p.at, p.cpu = now, used
	}
	return rss, p.pct
}
