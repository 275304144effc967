package conn

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// nobatch is the batch of handlers that stage nothing.
type nobatch struct{}

func (nobatch) Flush()         {}
func (nobatch) Borrowed() bool { return false }
func (nobatch) Busy() bool     { return false }

// echo collects what it reads in ops of a fixed size.
type echo struct {
	size   int
	mu     sync.Mutex
	got    []byte
	ticks  atomic.Int32
	closed chan CloseReason
}

func (h *echo) Consume(_ Batch, data []byte) (int, error) {
	n := len(data) / h.size * h.size
	h.mu.Lock()
	h.got = append(h.got, data[:n]...)
	h.mu.Unlock()
	return n, nil
}
func (h *echo) Need() int      { return h.size }
func (h *echo) ReadDone(Batch) {}
func (h *echo) Tick(time.Time) time.Duration {
	h.ticks.Add(1)
	return time.Millisecond
}
func (h *echo) Closed(r CloseReason) { h.closed <- r }

func newLoop(t *testing.T, o LoopOptions) *Loop {
	t.Helper()
	o.NewBatch = func(int) Batch { return nobatch{} }
	l, err := NewLoop(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tcpPair returns both ends of a loopback connection.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	done := make(chan net.Conn, 1)
	go func() { c, _ := ln.Accept(); done <- c }()
	near, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far = <-done
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func limits() *Limits {
	l := &Limits{}
	l.MaxPending.Store(1 << 30)
	l.WriteDeadline.Store(int64(20 * time.Second))
	return l
}

func pairs(t *testing.T) map[string][2]net.Conn {
	near, far := tcpPair(t)
	pn, pf := net.Pipe()
	return map[string][2]net.Conn{"tcp": {near, far}, "pipe": {pn, pf}}
}

// TestSendFromMany: what several senders send arrives whole, each one's in
// order, whatever mix of direct writes, queueing and writers carries it.
func TestSendFromMany(t *testing.T) {
	for name, p := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, LoopOptions{})
			h := &echo{size: 1, closed: make(chan CloseReason, 1)}
			c := l.Add(p[1], h, limits())
			c.Start()
			const senders, each = 4, 2000
			var wg sync.WaitGroup
			for s := range senders {
				wg.Add(1)
				go func() {
					defer wg.Done()
					var x Buffer
					for i := range each {
						size := rand.IntN(600)
						if i%50 == 0 {
							size = 20_000
						}
						m := make([]byte, 12+size)
						binary.LittleEndian.PutUint32(m, uint32(s))
						binary.LittleEndian.PutUint32(m[4:], uint32(i))
						binary.LittleEndian.PutUint32(m[8:], uint32(size))
						for k := range m[12:] {
							m[12+k] = byte(i)
						}
						if i%3 == 0 {
							x.Append(m[:8])
							x.Borrow(m[8:])
						} else {
							x.Append(m)
						}
						c.Lock()
						c.Send(&x)
						x.Reset(1 << 16)
					}
				}()
			}
			var next [senders]uint32
			head := make([]byte, 12)
			for range senders * each {
				if _, err := io.ReadFull(p[0], head); err != nil {
					t.Fatal(err)
				}
				s, i, size := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[8:])
				if s >= senders || i != next[s] || size > 20_000 {
					t.Fatalf("sender %d: got %d of %d bytes, want %d", s, i, size, next[s])
				}
				next[s]++
				body := make([]byte, size)
				if _, err := io.ReadFull(p[0], body); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(body, bytes.Repeat([]byte{byte(i)}, int(size))) {
					t.Fatalf("sender %d, message %d: body is torn", s, i)
				}
			}
			wg.Wait()
			c.Close(Shutdown)
			c.Close(Kicked) // only the first counts
			if r := <-h.closed; r != Shutdown {
				t.Fatalf("closed for %v", r)
			}
			if n, _ := l.PendingTotal(); n != 0 {
				t.Fatalf("%d bytes pending after the end", n)
			}
			l.Close()
		})
	}
}

// TestRead: ops of all sizes arrive whole however the stream is cut.
func TestRead(t *testing.T) {
	for _, size := range []int{1, 1000, readBufferSize - 1, readBufferSize + 1, 1 << 20} {
		for name, p := range pairs(t) {
			l := newLoop(t, LoopOptions{})
			h := &echo{size: size, closed: make(chan CloseReason, 1)}
			c := l.Add(p[1], h, limits())
			c.Start()
			want := make([]byte, max(3*size, 100_000/size*size))
			for i := range want {
				want[i] = byte(i * 7)
			}
			for at := 0; at < len(want); {
				n := min(1+rand.IntN(70_000), len(want)-at)
				if _, err := p[0].Write(want[at : at+n]); err != nil {
					t.Fatal(err)
				}
				at += n
			}
			p[0].Close()
			if r := <-h.closed; r != ClientClosed {
				t.Errorf("%s, ops of %d: closed for %v", name, size, r)
			}
			if !bytes.Equal(h.got, want) {
				t.Errorf("%s, ops of %d: got %d bytes of %d", name, size, len(h.got), len(want))
			}
			l.Close()
		}
	}
}

// TestCloseFlushes: what is queued when a connection is closed goes out first.
func TestCloseFlushes(t *testing.T) {
	for name, p := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, LoopOptions{})
			h := &echo{size: 1, closed: make(chan CloseReason, 1)}
			c := l.Add(p[1], h, limits())
			c.Start()
			want := bytes.Repeat([]byte("x"), 8<<20)
			var x Buffer
			x.Append(want)
			c.Lock()
			c.Send(&x)
			c.SendString("-ERR 'bye'\r\n")
			c.Close(ProtocolViolation)
			got, err := io.ReadAll(p[0])
			if err != nil || len(got) != len(want)+12 || !bytes.HasSuffix(got, []byte("-ERR 'bye'\r\n")) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if r := <-h.closed; r != ProtocolViolation {
				t.Fatalf("closed for %v", r)
			}
			l.Close()
		})
	}
}

// TestAbort: a peer that does not read does not hold up the end.
func TestAbort(t *testing.T) {
	for name, p := range pairs(t) {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, LoopOptions{})
			h := &echo{size: 1, closed: make(chan CloseReason, 1)}
			c := l.Add(p[1], h, limits())
			c.Start()
			var x Buffer
			x.Append(make([]byte, 32<<20))
			c.Lock()
			c.Send(&x)
			c.Close(Shutdown) // wants to flush, and can't
			c.Abort()
			if r := <-h.closed; r != Shutdown {
				t.Fatalf("closed for %v", r)
			}
			l.Close()
		})
	}
}

func TestTimer(t *testing.T) {
	near, far := tcpPair(t)
	l := newLoop(t, LoopOptions{})
	h := &echo{size: 1, closed: make(chan CloseReason, 1)}
	c := l.Add(far, h, limits())
	c.Start()
	c.Schedule(time.Millisecond)
	for h.ticks.Load() < 3 {
		time.Sleep(time.Millisecond) // what is tested is time itself
	}
	c.Schedule(0)
	near.Close()
	<-h.closed
	l.Close()
	if l.wheel.count != 0 {
		t.Fatalf("%d timers left", l.wheel.count)
	}
}

// TestBuffer compares a Buffer with plain bytes.
func TestBuffer(t *testing.T) {
	for range 200 {
		var x, y Buffer
		var want []byte
		type mark struct{ own, pieces, at int }
		marks := []mark{{}}
		for range rand.IntN(30) {
			p := bytes.Repeat([]byte{byte(rand.IntN(256))}, rand.IntN(5000))
			if rand.IntN(3) == 0 {
				x.Borrow(p)
			} else {
				x.Append(p)
			}
			want = append(want, p...)
			own, pieces := x.Mark()
			marks = append(marks, mark{own, pieces, len(want)})
		}
		if x.Len() != len(want) || !bytes.Equal(x.Bytes(nil), want) {
			t.Fatal("bytes differ")
		}
		i := rand.IntN(len(marks))
		j := i + rand.IntN(len(marks)-i)
		y.AppendRange(&x, marks[i].own, marks[i].pieces, marks[j].own, marks[j].pieces)
		if !bytes.Equal(y.Bytes(nil), want[marks[i].at:marks[j].at]) {
			t.Fatal("range differs")
		}
		skip := rand.IntN(len(want) + 1)
		var rest []byte
		x.pieces(skip, func(p []byte) { rest = append(rest, p...) })
		if !bytes.Equal(rest, want[skip:]) {
			t.Fatal("rest differs")
		}
		x.Reset(0)
		y.Reset(0)
	}
}
