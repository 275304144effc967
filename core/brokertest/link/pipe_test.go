package link

import (
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// iface is an interface without a kernel: what is sent into it comes out of Read,
// what is written to it is noted with its time.
type iface struct {
	sent  chan []byte
	began time.Time
	got   []arrival
}

type arrival struct {
	number int // of the packet
	size   int
	at     time.Duration
}

func (i *iface) Read(b []byte) (int, error) {
	p, ok := <-i.sent
	if !ok {
		return 0, io.EOF
	}
	return copy(b, p), nil
}

func (i *iface) Write(b []byte) (int, error) {
	i.got = append(i.got, arrival{int(binary.BigEndian.Uint32(b[16:])), len(b), time.Since(i.began)})
	return len(b), nil
}

// numbered is a packet that says its number where its destination stands.
func numbered(n, size int) []byte {
	b := make([]byte, size)
	b[0] = 0x45
	binary.BigEndian.PutUint32(b[16:], uint32(n))
	return b
}

// track is a pipe in a bubble of synctest, where times are exact.
type track struct {
	*pipe
	t        *testing.T
	from, to *iface
}

func onTrack(t *testing.T, s Shape, test func(*testing.T, *track)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pass := func([]byte) reason { return passed }
		k := &track{t: t, from: &iface{sent: make(chan []byte)}, to: &iface{began: time.Now()}}
		k.pipe = newPipe(k.from, k.to, pass, pass, 7, Up)
		if err := k.set(func(now *Shape) { *now = s }); err != nil {
			t.Fatal(err)
		}
		k.start()
		test(t, k)
		close(k.from.sent)
		k.stop()
		st := k.snapshot()
		if sum := st.Delivered.Packets + st.Dropped.Total() + st.OnTheWay.Packets; st.Sent.Packets != sum {
			t.Errorf("sent %d packets, but delivered, dropped and on the way are %d: %+v", st.Sent.Packets, sum, st)
		}
	})
}

// send sends packets from first on and waits until the pipe has them.
func (k *track) send(first, n, size int) {
	for i := range n {
		k.from.sent <- numbered(first+i, size)
	}
	synctest.Wait()
}

// arrivals returns what has come when nothing is on the way any more.
func (k *track) arrivals() []arrival {
	for k.snapshot().OnTheWay.Packets > 0 {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	return k.to.got
}

func numbers(got []arrival) (n []int) {
	for _, a := range got {
		n = append(n, a.number)
	}
	return n
}

func TestDelay(t *testing.T) {
	onTrack(t, Shape{Delay: 30 * time.Millisecond}, func(t *testing.T, k *track) {
		k.send(0, 2, 100)
		time.Sleep(10 * time.Millisecond)
		k.send(2, 1, 100)
		want := []arrival{{0, 100, 30 * time.Millisecond}, {1, 100, 30 * time.Millisecond}, {2, 100, 40 * time.Millisecond}}
		if got := k.arrivals(); !slices.Equal(got, want) {
			t.Errorf("arrived %v, want %v", got, want)
		}
	})
}

// A shorter delay does not let packets overtake.
func TestDelayShortened(t *testing.T) {
	onTrack(t, Shape{Delay: 300 * time.Millisecond}, func(t *testing.T, k *track) {
		k.send(0, 1, 100)
		k.set(func(s *Shape) { s.Delay = 10 * time.Millisecond })
		k.send(1, 1, 100)
		want := []arrival{{0, 100, 300 * time.Millisecond}, {1, 100, 300 * time.Millisecond}}
		if got := k.arrivals(); !slices.Equal(got, want) {
			t.Errorf("arrived %v, want %v", got, want)
		}
	})
}

// 1000 bytes at 80 kbit/s take 100 ms, and then the delay.
func TestRate(t *testing.T) {
	onTrack(t, Shape{Rate: 80_000, Delay: 5 * time.Millisecond, Queue: 10_000}, func(t *testing.T, k *track) {
		k.send(0, 10, 1000)
		for i, a := range k.arrivals() {
			if want := time.Duration(i+1)*100*time.Millisecond + 5*time.Millisecond; a.at != want {
				t.Errorf("packet %d came at %v, want %v", i, a.at, want)
			}
		}
		if n := k.snapshot().Delivered.Packets; n != 10 {
			t.Errorf("%d packets delivered, want 10", n)
		}
	})
}

func TestRateChanged(t *testing.T) {
	onTrack(t, Shape{Rate: 8_000, Queue: 10_000}, func(t *testing.T, k *track) {
		k.send(0, 3, 1000) // the first would need a second
		time.Sleep(900 * time.Millisecond)
		k.set(func(s *Shape) { s.Rate = 80_000 })
		want := []arrival{{0, 1000, time.Second}, {1, 1000, 1100 * time.Millisecond}, {2, 1000, 1200 * time.Millisecond}}
		if got := k.arrivals(); !slices.Equal(got, want) {
			t.Errorf("arrived %v, want %v", got, want)
		}
	})
}

func TestQueue(t *testing.T) {
	for _, tc := range []struct {
		name  string
		shape Shape
		want  int
	}{
		{"bytes", Shape{Rate: 80_000, Queue: 3500}, 3},
		{"time", Shape{Rate: 80_000, QueueTime: 500 * time.Millisecond}, 5},
		{"by itself", Shape{Rate: 80_000}, 2},
		{"one always", Shape{Rate: 80_000, Queue: 1}, 1},
		{"no rate", Shape{Queue: 1}, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onTrack(t, tc.shape, func(t *testing.T, k *track) {
				k.send(0, 9, 1000)
				got := numbers(k.arrivals())
				if len(got) != tc.want || got[len(got)-1] != tc.want-1 {
					t.Errorf("packets %v came, want the first %d of 9", got, tc.want)
				}
				if d := k.snapshot().Dropped; d.Queue != uint64(9-tc.want) {
					t.Errorf("dropped %+v, want %d for the queue", d, 9-tc.want)
				}
			})
		})
	}
}

func TestJitter(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		s := Shape{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond, Unordered: unordered}
		onTrack(t, s, func(t *testing.T, k *track) {
			for i := range 200 {
				k.send(i, 1, 100)
				time.Sleep(5 * time.Millisecond)
			}
			got := k.arrivals()
			var early, late int
			for _, a := range got {
				took := a.at - time.Duration(a.number)*5*time.Millisecond
				if took < s.Delay || took > s.Delay+s.Jitter {
					t.Errorf("packet %d took %v", a.number, took)
				}
				if took < s.Delay+s.Jitter/4 {
					early++
				}
				if took > s.Delay+s.Jitter*3/4 {
					late++
				}
			}
			if len(got) != 200 || late == 0 || (unordered && early == 0) {
				t.Errorf("unordered %v: %d of 200 came, %d early, %d late", unordered, len(got), early, late)
			}
			if slices.IsSorted(numbers(got)) == unordered {
				t.Errorf("unordered %v, but sorted %v", unordered, !unordered)
			}
		})
	}
}

func TestReorder(t *testing.T) {
	s := Shape{Delay: 10 * time.Millisecond, Reorder: .1, ReorderDelay: 25 * time.Millisecond}
	onTrack(t, s, func(t *testing.T, k *track) {
		for i := range 500 {
			k.send(i, 1, 100)
			time.Sleep(10 * time.Millisecond)
		}
		held := uint64(0)
		for _, a := range k.arrivals() {
			switch took := a.at - time.Duration(a.number)*10*time.Millisecond; took {
			case 35 * time.Millisecond:
				held++
			case 10 * time.Millisecond:
			default:
				t.Errorf("packet %d took %v", a.number, took)
			}
		}
		if st := k.snapshot(); st.Reordered != held || held < 30 || held > 75 || st.Delivered.Packets != 500 {
			t.Errorf("%d held back of 500 with probability 0.1: %+v", held, st)
		}
		if slices.IsSorted(numbers(k.to.got)) {
			t.Error("nothing came out of order")
		}
	})
}

// The same seed loses the same packets, whatever else is set.
func TestLoss(t *testing.T) {
	var runs [2][]int
	for i, s := range []Shape{
		{Loss: .05},
		{Loss: .05, Jitter: 50 * time.Millisecond, Reorder: .1, ReorderDelay: time.Millisecond, Unordered: true},
	} {
		onTrack(t, s, func(t *testing.T, k *track) {
			k.send(0, 4000, 100)
			runs[i] = numbers(k.arrivals())
			slices.Sort(runs[i])
			if lost := k.snapshot().Dropped.Loss; lost < 150 || lost > 250 || int(lost) != 4000-len(runs[i]) {
				t.Errorf("lost %d of 4000 with probability 0.05, %d came", lost, len(runs[i]))
			}
		})
	}
	if !slices.Equal(runs[0], runs[1]) {
		t.Error("jitter changed which packets are lost")
	}
}

func TestBlackout(t *testing.T) {
	onTrack(t, Shape{Delay: 100 * time.Millisecond}, func(t *testing.T, k *track) {
		blackout := func(on bool) { k.set(func(s *Shape) { s.Blackout = on }) }
		k.send(0, 1, 100) // arrives before
		time.Sleep(50 * time.Millisecond)
		k.send(1, 1, 100) // would arrive within
		time.Sleep(60 * time.Millisecond)
		blackout(true)
		k.send(2, 3, 100) // sent within
		time.Sleep(60 * time.Millisecond)
		blackout(false)
		k.send(5, 1, 100)
		if got := numbers(k.arrivals()); !slices.Equal(got, []int{0, 5}) {
			t.Errorf("packets %v came, want 0 and 5", got)
		}
		if d := k.snapshot().Dropped; d.Blackout != 4 {
			t.Errorf("dropped %+v, want 4 for the blackout", d)
		}
	})
}

func TestMTU(t *testing.T) {
	onTrack(t, Shape{MTU: 1280}, func(t *testing.T, k *track) {
		k.send(0, 1, 1280)
		k.send(1, 1, 1281)
		if got := k.arrivals(); len(got) != 1 || got[0].size != 1280 {
			t.Errorf("arrived %v, want the packet of 1280 bytes", got)
		}
		if st := k.snapshot(); st.Dropped.MTU != 1 || st.Sent != (Count{2, 2561}) || st.Delivered != (Count{1, 1280}) {
			t.Errorf("counted %+v", st)
		}
	})
}

func TestIgnoresIPv6(t *testing.T) {
	onTrack(t, Shape{}, func(t *testing.T, k *track) {
		k.from.sent <- []byte{0x60, 0, 0, 0, 0, 0, 0, 0}
		k.send(0, 1, 100)
		if st := k.snapshot(); st.Sent.Packets != 1 || len(k.arrivals()) != 1 {
			t.Errorf("counted %+v, want one packet", st)
		}
	})
}

func TestShapeCheck(t *testing.T) {
	for _, s := range []Shape{
		{Loss: 1.5}, {Loss: -.1}, {Reorder: 2, ReorderDelay: 1}, {Reorder: .1}, {Delay: -1}, {Jitter: -1},
		{Rate: -1}, {Queue: -1}, {QueueTime: -1}, {MTU: -1}, {ReorderDelay: -1},
	} {
		if s.check() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
	if err := (Shape{Loss: 1, Reorder: 1, ReorderDelay: 1}).check(); err != nil {
		t.Error(err)
	}
}

func TestOptionsCheck(t *testing.T) {
	for mtu, ok := range map[int]bool{67: false, 68: true, 1280: true, 65535: true, 65536: false} {
		if err := (Options{MTU: mtu}).check(); (err == nil) != ok {
			t.Errorf("MTU %d: %v", mtu, err)
		}
	}
}

func TestLiteral(t *testing.T) {
	for _, tc := range []struct {
		address      string
		dial, listen bool
	}{
		{"10.2.0.1:4222", true, true},
		{"[::1]:4222", true, true},
		{":0", false, true},
		{"[::]:4222", false, true},
		{"localhost:4222", false, false},
		{"10.2.0.1:nats", false, false},
		{"10.2.0.1", false, false},
	} {
		if err := literal(tc.address, false); (err == nil) != tc.dial {
			t.Errorf("dial %s: %v", tc.address, err)
		}
		if err := literal(tc.address, true); (err == nil) != tc.listen {
			t.Errorf("listen %s: %v", tc.address, err)
		}
	}
}
