package conn

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

// halting takes one op of eight bytes at a time and suspends after each of them
// until somebody else resumes.
type halting struct {
	c      *Conn
	mu     sync.Mutex
	got    []byte
	resume func(*Conn)
	closed chan CloseReason
}

func (h *halting) Consume(_ Batch, data []byte) (int, error) {
	if h.c.Suspended() || len(data) < 8 {
		return 0, nil
	}
	h.mu.Lock()
	h.got = append(h.got, data[:8]...)
	h.mu.Unlock()
	h.c.Suspend()
	h.resume(h.c)
	return 8, nil
}
func (h *halting) Need() int                    { return 8 }
func (h *halting) ReadDone(Batch)               {}
func (h *halting) Tick(time.Time) time.Duration { return 0 }
func (h *halting) Closed(r CloseReason)         { h.closed <- r }

// TestSuspend: whoever resumes, at once or later, every op is consumed once and
// in order.
func TestSuspend(t *testing.T) {
	const ops = 5000
	var want []byte
	for i := range ops {
		want = binary.LittleEndian.AppendUint64(want, uint64(i))
	}
	resumers := map[string]func(*Conn){
		"at once":   func(c *Conn) { c.Resume() },
		"elsewhere": func(c *Conn) { go c.Resume() },
	}
	for by, resume := range resumers {
		for kind, p := range pairs(t) {
			t.Run(kind+" "+by, func(t *testing.T) {
				l := newLoop(t, LoopOptions{})
				h := &halting{resume: resume, closed: make(chan CloseReason, 1)}
				h.c = l.Add(p[1], h, limits())
				h.c.Start()
				if _, err := p[0].Write(want); err != nil {
					t.Fatal(err)
				}
				deadline := time.Now().Add(30 * time.Second)
				for {
					h.mu.Lock()
					n := len(h.got)
					h.mu.Unlock()
					if n == len(want) {
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("%d of %d bytes", n, len(want))
					}
					time.Sleep(time.Millisecond)
				}
				if !bytes.Equal(h.got, want) {
					t.Error("not in order")
				}
				p[0].Close()
				<-h.closed
				l.Close()
			})
		}
	}
}

// TestSuspendClosed: a connection that is closed while suspended ends when it is
// resumed, and consumes nothing more.
func TestSuspendClosed(t *testing.T) {
	for kind, p := range pairs(t) {
		t.Run(kind, func(t *testing.T) {
			l := newLoop(t, LoopOptions{})
			held := make(chan *Conn, 1)
			h := &halting{resume: func(c *Conn) { held <- c }, closed: make(chan CloseReason, 1)}
			h.c = l.Add(p[1], h, limits())
			h.c.Start()
			go p[0].Write(make([]byte, 64))
			c := <-held
			c.Close(AuthTimeout)
			select {
			case <-h.closed:
				t.Fatal("closed while suspended")
			default:
			}
			c.Resume()
			if r := <-h.closed; r != AuthTimeout {
				t.Errorf("closed for %v", r)
			}
			if len(h.got) != 8 {
				t.Errorf("%d bytes consumed, want 8", len(h.got))
			}
			p[0].Close()
			l.Close()
		})
	}
}
