package conn

import (
	"encoding/binary"
	"testing"
	"time"
)

// cautious is halting that notes how many bytes it is given at most.
type cautious struct {
	halting
	most int
}

func (h *cautious) Consume(b Batch, data []byte) (int, error) {
	h.most = max(h.most, len(data))
	return h.halting.Consume(b, data)
}

// TestReadAtMost: what is read of a connection, and so what is kept of it while it
// is suspended, is bounded.
func TestReadAtMost(t *testing.T) {
	const most, ops = 64, 4000
	for kind, p := range pairs(t) {
		t.Run(kind, func(t *testing.T) {
			l := newLoop(t, LoopOptions{})
			h := &cautious{halting: halting{resume: func(c *Conn) { go c.Resume() }, closed: make(chan CloseReason, 1)}}
			h.c = l.Add(p[1], h, limits())
			h.c.ReadAtMost(most)
			h.c.Start()
			var b []byte
			for i := range ops {
				b = binary.LittleEndian.AppendUint64(b, uint64(i))
			}
			if _, err := p[0].Write(b); err != nil {
				t.Fatal(err)
			}
			p[0].Close()
			select {
			case <-h.closed:
			case <-time.After(30 * time.Second):
				t.Fatal("it is not read to its end")
			}
			l.Close()
			if len(h.got) == 0 || string(h.got) != string(b[:len(h.got)]) {
				t.Errorf("%d bytes, or not in order", len(h.got))
			}
			if h.most > 8+most {
				t.Errorf("%d bytes were read ahead; at most %d may be", h.most, most)
			}
		})
	}
}
