package main

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// How finely a rate is cut: paceStep where a step is one write, slowStep where
// each message is one, and a burst would only measure its own queue.
const (
	paceStep = time.Millisecond
	slowStep = 200 * time.Microsecond
)

// epoch is the origin of all time stamps in payloads.
var epoch = time.Now()

// stamp writes the time, 8 bytes, to the front of a payload.
func stamp(payload []byte, now time.Duration) {
	binary.LittleEndian.PutUint64(payload, uint64(now))
}

// age is how long ago a payload was stamped.
func age(payload []byte, now time.Duration) int64 {
	return int64(now) - int64(binary.LittleEndian.Uint64(payload))
}

// pace calls send about every step with as many messages as are due at rate
// per second, until stop. What could not be sent in time stays due: the rate
// holds in the mean even if the machine pauses us.
func pace(rate float64, step time.Duration, stop *atomic.Bool, send func(n int) error) error {
	begin, sent := time.Now(), int64(0)
	for !stop.Load() {
		if due := int64(rate*time.Since(begin).Seconds()) - sent; due > 0 {
			if err := send(int(due)); err != nil {
				return err
			}
			sent += due
		}
		nap(step)
	}
	return nil
}

// stampedSink is a sink for messages that carry their time of sending.
func stampedSink(s *session, c *conn, head string, size int, h *hist, add func(n int)) *framer {
	f := &framer{control: &c.control, size: msgSize(head, size)}
	f.run = func(msgs []byte) error {
		if s.measuring.Load() {
			now := time.Since(epoch)
			for m := msgs; len(m) > 0; m = m[f.size:] {
				h.add(age(m[len(head):], now))
			}
		}
		add(len(msgs) / f.size)
		return nil
	}
	return f
}
