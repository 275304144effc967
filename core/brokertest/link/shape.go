package link

import (
	"errors"
	"fmt"
	"time"
)

// Direction is one of the two ways over a link.
type Direction int

const (
	Up   Direction = iota // from near to far
	Down                  // from far to near
)

func (d Direction) String() string {
	switch d {
	case Up:
		return "up"
	case Down:
		return "down"
	}
	return fmt.Sprintf("Direction(%d)", int(d))
}

// Shape is how a link behaves in one direction. The zero value passes everything
// on at once.
type Shape struct {
	// Delay is what every packet takes after its transmission, one way.
	Delay time.Duration
	// Jitter adds a random time, evenly from 0 to Jitter, to each packet's Delay. A
	// packet does not overtake the one before it, unless Unordered: so packets
	// closer together than Jitter come in at nearly the whole of it.
	Jitter time.Duration
	// Unordered lets Jitter change the order of packets.
	Unordered bool

	// Loss is the probability, 0 to 1, that a packet vanishes.
	Loss float64
	// Reorder is the probability, 0 to 1, that a packet is held back for
	// ReorderDelay more, while those behind it pass.
	Reorder      float64
	ReorderDelay time.Duration

	// Rate is in bits per second, of IP packets; 0 is without limit. A packet leaves
	// when its last bit has.
	Rate int
	// Queue is how many bytes wait for transmission at most, the packet in
	// transmission among them; more are dropped, the newest first. 0 is QueueTime at
	// Rate. One packet always has room. Without a Rate nothing waits.
	Queue int
	// QueueTime stands in for Queue when that is 0; 0 is 200 ms.
	QueueTime time.Duration

	// MTU drops larger packets on the way without telling anybody, as a path does
	// whose ICMP is filtered; 0 is without limit. [Link.SetMTU] is for interfaces.
	MTU int
	// Blackout drops everything.
	Blackout bool
}

const defaultQueueTime = 200 * time.Millisecond

// check says what in s makes no sense.
func (s Shape) check() error {
	probability := func(name string, p float64) error {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("%s is %v; it is a probability from 0 to 1", name, p)
		}
		return nil
	}
	negative := func(name string, bad bool) error {
		if bad {
			return fmt.Errorf("%s is negative; 0 switches it off", name)
		}
		return nil
	}
	var held error
	if s.Reorder > 0 && s.ReorderDelay == 0 {
		held = fmt.Errorf("a Reorder of %v is without ReorderDelay; set how long packets are held back", s.Reorder)
	}
	return errors.Join(
		probability("Loss", s.Loss), probability("Reorder", s.Reorder), held,
		negative("Delay", s.Delay < 0), negative("Jitter", s.Jitter < 0), negative("ReorderDelay", s.ReorderDelay < 0),
		negative("Rate", s.Rate < 0), negative("Queue", s.Queue < 0), negative("QueueTime", s.QueueTime < 0),
		negative("MTU", s.MTU < 0),
	)
}

// queue returns the limit of the queue in bytes.
func (s Shape) queue() int {
	if s.Queue > 0 {
		return s.Queue
	}
	wait := s.QueueTime
	if wait == 0 {
		wait = defaultQueueTime
	}
	return int(float64(s.Rate) / 8 * wait.Seconds())
}

// transmission returns how long n bytes take.
func (s Shape) transmission(n int) time.Duration {
	if s.Rate == 0 {
		return 0
	}
	return time.Duration(float64(n) * 8 / float64(s.Rate) * float64(time.Second))
}

// Stats counts the IPv4 packets of one direction. What is neither delivered nor
// dropped is on its way: Sent.Packets = Delivered.Packets + Dropped.Total() + OnTheWay.Packets.
type Stats struct {
	Sent      Count // that the sending host gave to the link
	Delivered Count // that the receiving host took
	OnTheWay  Count // in the queue or delayed
	Reordered uint64
	Dropped   Dropped
}

// Count is a number of packets and of their bytes, IP headers included.
type Count struct{ Packets, Bytes uint64 }

func (c *Count) add(n int) { c.Packets++; c.Bytes += uint64(n) }
func (c *Count) sub(n int) { c.Packets--; c.Bytes -= uint64(n) }

// Dropped counts dropped packets by reason.
type Dropped struct {
	Loss       uint64 // by chance
	Queue      uint64 // no room before the transmitter
	Blackout   uint64
	MTU        uint64 // larger than the MTU
	NAT        uint64 // to an outside port without a mapping
	Unroutable uint64 // to or from an address nobody has (any more)
	Refused    uint64 // the receiving interface did not take it
}

// Total is the sum over all reasons.
func (d Dropped) Total() uint64 {
	return d.Loss + d.Queue + d.Blackout + d.MTU + d.NAT + d.Unroutable + d.Refused
}

// reason says which counter of Dropped a packet belongs to.
type reason int

const (
	passed reason = iota
	lost
	overflowed
	blackedOut
	tooLarge
	unmapped
	unroutable
	refused
)

func (d *Dropped) add(why reason) {
	switch why {
	case lost:
		d.Loss++
	case overflowed:
		d.Queue++
	case blackedOut:
		d.Blackout++
	case tooLarge:
		d.MTU++
	case unmapped:
		d.NAT++
	case unroutable:
		d.Unroutable++
	case refused:
		d.Refused++
	}
}
