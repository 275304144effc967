package link

import (
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// maxPacket is the largest IP packet.
const maxPacket = 1<<16 - 1

// maxOnTheWay bounds the memory of a pipe with much delay and no rate.
const maxOnTheWay = 64 << 20

// pipe is one direction: a goroutine reads packets from one interface, another
// writes them to the other interface when their time has come.
type pipe struct {
	from, to    io.ReadWriter
	enter, exit func(packet []byte) reason // change the packet's addresses or drop it
	began       time.Time                  // times below are counted from here
	wake        chan struct{}              // one slot; the writer looks again
	done        chan struct{}              // closed by stop
	running     sync.WaitGroup
	packets     sync.Pool

	mu       sync.Mutex
	shape    Shape
	losses   *rand.Rand
	jitters  *rand.Rand
	reorders *rand.Rand
	waiting  fifo          // before the transmitter
	txBegan  time.Duration // of the first in waiting
	flying   flight        // after the transmitter
	lastDue  time.Duration // of packets that keep the order
	number   uint64        // of the next packet to fly
	asleep   bool          // the writer sleeps, until that time or (negative) for good
	until    time.Duration
	stats    Stats
}

type packet struct {
	bytes  []byte
	due    time.Duration
	number uint64
}

func newPipe(from, to io.ReadWriter, enter, exit func([]byte) reason, seed uint64, d Direction) *pipe {
	generator := func(kind uint64) *rand.Rand {
		return rand.New(rand.NewPCG(seed, uint64(d)<<8|kind))
	}
	return &pipe{
		from: from, to: to, enter: enter, exit: exit,
		began: time.Now(), wake: make(chan struct{}, 1), done: make(chan struct{}),
		packets: sync.Pool{New: func() any { return &packet{bytes: make([]byte, 0, 1536)} }},
		losses:  generator(1), jitters: generator(2), reorders: generator(3),
	}
}

// start starts both goroutines. The reader ends when reading fails, so whoever
// stops a pipe closes its interfaces first.
func (p *pipe) start() {
	p.running.Go(p.read)
	p.running.Go(p.write)
}

// stop ends the writer and waits for both.
func (p *pipe) stop() {
	close(p.done)
	p.running.Wait()
}

func (p *pipe) set(change func(*Shape)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	shape := p.shape
	change(&shape)
	if err := shape.check(); err != nil {
		return err
	}
	now := time.Since(p.began)
	p.transmit(now)
	if shape.Rate != p.shape.Rate {
		p.txBegan = now // the packet in transmission starts over: no credit at the new rate
	}
	p.shape = shape
	p.rouse()
	return nil
}

func (p *pipe) snapshot() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *pipe) read() {
	buf := make([]byte, maxPacket)
	for {
		n, err := p.from.Read(buf)
		if err != nil {
			return
		}
		if !isIPv4(buf[:n]) {
			continue // what a kernel says about IPv6 by itself is not the test's traffic
		}
		p.accept(buf[:n])
	}
}

// accept takes a packet that a host sent.
func (p *pipe) accept(b []byte) {
	size := len(b)
	why := p.enter(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Sent.add(size)
	now := time.Since(p.began)
	p.transmit(now)
	if why == passed {
		why = p.fate(size)
	}
	if why != passed {
		p.stats.Dropped.add(why)
		return
	}
	pkt := p.packets.Get().(*packet)
	pkt.bytes = append(pkt.bytes[:0], b...)
	p.stats.OnTheWay.add(size)
	if p.waiting.len() == 0 {
		p.txBegan = max(p.txBegan, now)
	}
	p.waiting.push(pkt)
	p.transmit(now)
	p.rouse()
}

// fate says whether a packet is dropped on entering.
func (p *pipe) fate(size int) reason {
	s := &p.shape
	switch {
	case s.MTU > 0 && size > s.MTU:
		return tooLarge
	case s.Blackout:
		return blackedOut
	case s.Loss > 0 && p.losses.Float64() < s.Loss:
		return lost
	case s.Rate > 0 && p.waiting.len() > 0 && p.waiting.bytes+size > s.queue():
		return overflowed
	case p.stats.OnTheWay.Bytes+uint64(size) > maxOnTheWay:
		return overflowed
	}
	return passed
}

// transmit moves the packets whose transmission has ended by now from the queue into
// flight. They leave at the exact end of it, however late this is called.
func (p *pipe) transmit(now time.Duration) {
	for p.waiting.len() > 0 {
		end := p.transmitted()
		if end > now {
			return
		}
		p.txBegan = end
		p.fly(p.waiting.pop(), end)
	}
}

// transmitted returns when the first of the queue will have left.
func (p *pipe) transmitted() time.Duration {
	return p.txBegan + p.shape.transmission(len(p.waiting.first().bytes))
}

func (p *pipe) fly(pkt *packet, left time.Duration) {
	s := &p.shape
	pkt.due = left + s.Delay
	if s.Jitter > 0 {
		pkt.due += time.Duration(p.jitters.Int64N(int64(s.Jitter) + 1))
	}
	switch {
	case s.Reorder > 0 && p.reorders.Float64() < s.Reorder:
		pkt.due = max(pkt.due, p.lastDue) + s.ReorderDelay
		p.stats.Reordered++
	case !s.Unordered:
		pkt.due = max(pkt.due, p.lastDue)
		p.lastDue = pkt.due
	}
	pkt.number = p.number
	p.number++
	p.flying.push(pkt)
}

// next returns when there is something to do, negative for never.
func (p *pipe) next() time.Duration {
	at := time.Duration(-1)
	if len(p.flying) > 0 {
		at = p.flying[0].due
	}
	if p.waiting.len() > 0 {
		if end := p.transmitted(); at < 0 || end < at {
			at = end
		}
	}
	return at
}

// rouse wakes the writer if it would sleep for too long.
func (p *pipe) rouse() {
	if !p.asleep {
		return
	}
	if at := p.next(); at >= 0 && (p.until < 0 || at < p.until) {
		p.asleep = false
		p.wake <- struct{}{} // there is room: only who clears asleep sends, and the writer sets it
	}
}

func (p *pipe) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []*packet
	for {
		var now, at time.Duration
		due, now, at = p.collect(due[:0])
		if len(due) > 0 {
			p.deliver(due)
			continue
		}
		if at >= 0 {
			timer.Reset(at - now)
		} else {
			timer.Stop()
		}
		select {
		case <-p.done:
			return
		case <-p.wake:
		case <-timer.C:
			p.woken()
		}
	}
}

// woken says that the writer is up by itself, and takes back the wake-up that may
// have come at the same moment.
func (p *pipe) woken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asleep = false
	select {
	case <-p.wake:
	default:
	}
}

// collect appends what is due. With nothing due it says that the writer goes to
// sleep, and until when.
func (p *pipe) collect(due []*packet) (_ []*packet, now, at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now = time.Since(p.began)
	p.transmit(now)
	for len(p.flying) > 0 && p.flying[0].due <= now {
		pkt := p.flying.pop()
		if p.shape.Blackout {
			p.stats.OnTheWay.sub(len(pkt.bytes))
			p.stats.Dropped.add(blackedOut)
			p.packets.Put(pkt)
			continue
		}
		due = append(due, pkt)
	}
	at = p.next()
	if len(due) == 0 {
		p.asleep, p.until = true, at
	}
	return due, now, at
}

// deliver writes packets to the interface. It counts them before: who has
// received a packet finds it in the counters.
func (p *pipe) deliver(due []*packet) {
	for _, pkt := range due {
		size := len(pkt.bytes)
		why := p.exit(pkt.bytes)
		p.mu.Lock()
		p.stats.OnTheWay.sub(size)
		if why == passed {
			p.stats.Delivered.add(size)
		} else {
			p.stats.Dropped.add(why)
		}
		p.mu.Unlock()
		if why == passed {
			if _, err := p.to.Write(pkt.bytes); err != nil {
				p.mu.Lock()
				p.stats.Delivered.sub(size)
				p.stats.Dropped.add(refused)
				p.mu.Unlock()
			}
		}
		p.packets.Put(pkt)
	}
}
