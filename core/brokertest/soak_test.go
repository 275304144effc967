//go:build long

package brokertest_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
)

// soakTime is how long the soak runs; GANGLION_SOAK shortens it while one works
// on it.
func soakTime(t *testing.T) time.Duration {
	if s := os.Getenv("GANGLION_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 10 * time.Minute
}

// TestSoak runs churn, slow consumers and clients that are killed beside healthy
// pairs whose every message must arrive, exactly once and in order. Heap and
// goroutines at the end are within 5 % of what they were at a fifth of the time.
func TestSoak(t *testing.T) {
	total := soakTime(t)
	b, err := broker.New(broker.Options{MaxPending: 4 << 20, WriteDeadline: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go b.Serve(ln, broker.Endpoint{Name: "tcp"})
	defer b.Shutdown(t.Context())
	url := "nats://" + ln.Addr().String()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	start := func(f func()) {
		wg.Add(1)
		go func() { defer wg.Done(); f() }()
	}
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}

	var sent, got atomic.Int64
	for i := range 4 {
		start(func() { healthy(t, url, i, running, &sent, &got) })
	}
	start(func() { churn(t, ln.Addr().String(), running) })
	start(func() { slow(t, ln.Addr().String(), running) })
	start(func() { killed(t, ln.Addr().String(), running) })

	measure := func() (heap uint64, goroutines int) {
		// The quietest of a few looks: churn is under way all the time.
		heap, goroutines = 1<<62, 1<<30
		for range 20 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			heap, goroutines = min(heap, m.HeapAlloc), min(goroutines, runtime.NumGoroutine())
			time.Sleep(50 * time.Millisecond) // let the churn move on between looks
		}
		return heap, goroutines
	}
	time.Sleep(total / 5) // the measured time itself
	heap1, gor1 := measure()
	time.Sleep(total - total/5)
	heap2, gor2 := measure()
	close(stop)
	wg.Wait()
	v := b.Varz()
	t.Logf("%d messages, %d connections, %d slow consumers cut; heap %d -> %d KiB, goroutines %d -> %d",
		got.Load(), v.TotalConnections, v.SlowConsumers, heap1>>10, heap2>>10, gor1, gor2)
	if sent.Load() != got.Load() || got.Load() == 0 {
		t.Errorf("sent %d, received %d", sent.Load(), got.Load())
	}
	if v.SlowConsumers == 0 {
		t.Error("no slow consumer was cut; the soak did not do what it is for")
	}
	if float64(heap2) > 1.05*float64(heap1)+256<<10 {
		t.Errorf("heap grew from %d to %d KiB", heap1>>10, heap2>>10)
	}
	if float64(gor2) > 1.05*float64(gor1)+2 {
		t.Errorf("goroutines grew from %d to %d", gor1, gor2)
	}
}

// healthy publishes to itself over two connections and counts exactly.
func healthy(t *testing.T, url string, i int, running func() bool, sent, got *atomic.Int64) {
	sub, err := nats.Connect(url)
	if err != nil {
		t.Error(err)
		return
	}
	defer sub.Close()
	pub, err := nats.Connect(url)
	if err != nil {
		t.Error(err)
		return
	}
	defer pub.Close()
	subject := fmt.Sprintf("healthy.%d", i)
	var next uint64
	s, err := sub.SubscribeSync(subject)
	if err != nil {
		t.Error(err)
		return
	}
	sub.Flush()
	data := make([]byte, 128)
	for n := uint64(0); running(); {
		const batch = 500
		for range batch {
			binary.LittleEndian.PutUint64(data, n)
			n++
			if err := pub.Publish(subject, data); err != nil {
				t.Error(err)
				return
			}
		}
		pub.Flush()
		sent.Add(batch)
		for range batch {
			m, err := s.NextMsg(20 * time.Second)
			if err != nil {
				t.Errorf("%s: message %d: %v", subject, next, err)
				return
			}
			if k := binary.LittleEndian.Uint64(m.Data); k != next {
				t.Errorf("%s: got %d, want %d", subject, k, next)
				return
			}
			next++
			got.Add(1)
		}
		time.Sleep(10 * time.Millisecond) // leaves the machine to the disturbers
	}
}

// churn connects, subscribes widely, and leaves.
func churn(t *testing.T, addr string, running func() bool) {
	buf := make([]byte, 4096)
	for running() {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(nc, "CONNECT {\"verbose\":false}\r\n")
		for i := range 50 {
			fmt.Fprintf(nc, "SUB churn.%d.*.%d %d\r\n", rand.IntN(1000), rand.IntN(1000), i)
		}
		fmt.Fprint(nc, "PING\r\n")
		for got := ""; !strings.Contains(got, "PONG"); {
			n, err := nc.Read(buf)
			if err != nil {
				t.Error(err)
				return
			}
			got += string(buf[:n])
		}
		nc.Close()
	}
}

// slow subscribes to a flood and never reads.
func slow(t *testing.T, addr string, running func() bool) {
	payload := make([]byte, 32<<10)
	for running() {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(nc, "CONNECT {\"verbose\":false}\r\nSUB flood 1\r\n")
		pub, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(pub, "CONNECT {\"verbose\":false}\r\n")
		for range 400 {
			fmt.Fprintf(pub, "PUB flood %d\r\n%s\r\n", len(payload), payload)
		}
		pub.Close()
		nc.Close()
	}
}

// killed breaks off in the middle of an op, with data unread.
func killed(t *testing.T, addr string, running func() bool) {
	for running() {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(nc, "CONNECT {\"verbose\":false}\r\nSUB healthy.* 1\r\nSUB work q 2\r\nPUB a 1000\r\nhalf")
		nc.(*net.TCPConn).SetLinger(0) // RST
		nc.Close()
	}
}
