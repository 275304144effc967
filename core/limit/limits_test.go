package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	t0 := time.Unix(1, 0)
	b := NewBucket(10, 20)
	for i, step := range []struct {
		at         time.Duration
		need, more float64
		alone      bool
		want       float64
	}{
		{0, 4, 8, false, 6}, // an eighth of the 16 that are left
		{0, 4, 8, true, 12}, // 14 were there
		{0, 3, 8, true, 0},  // and 2 are
		{0, 2, 8, true, 2},
		{0, 1, 0, true, 0},
		{time.Hour, 50, 10, true, 50}, // above the burst: when it is full
		{time.Hour + 2*time.Second, 1, 0, true, 0},
		{time.Hour + 3*time.Second + 100*time.Millisecond, 1, 0, true, 1},
	} {
		if got := b.Lease(t0.Add(step.at), step.need, step.more, step.alone); got != step.want {
			t.Fatalf("step %d: got %v, want %v", i, got, step.want)
		}
	}
	b.Give(1000)
	if got := b.Lease(t0.Add(time.Hour), 20, 1000, true); got != 20 {
		t.Fatalf("more than the burst was given back: %v", got)
	}
}

// Those who reserve are served in turn.
func TestReserve(t *testing.T) {
	t0 := time.Unix(1, 0)
	b := NewBucket(10, 1)
	for i := range 5 {
		if d, ok := b.Reserve(t0, 1, time.Hour); !ok || d != time.Duration(i)*100*time.Millisecond {
			t.Fatalf("%d. waits %v, %v", i, d, ok)
		}
	}
	if d, ok := b.Reserve(t0, 1, 400*time.Millisecond); ok {
		t.Fatalf("it is to wait %v, which is too long", d)
	}
	if d, ok := b.Reserve(t0, 1, 500*time.Millisecond); !ok || d != 500*time.Millisecond {
		t.Fatalf("what was refused was charged: %v, %v", d, ok)
	}
	if d, _ := NewBucket(1e-300, 1).Reserve(t0, 1e300, math.MaxInt64); d <= 0 {
		t.Fatalf("a wait without end is %v", d)
	}
}

// However tokens are leased, reserved and given back, no more are used than the
// rate allows.
func TestNeverAbove(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		rate, burst := 1+r.Float64()*1000, 1+r.IntN(100)
		b := NewBucket(rate, burst)
		now, used := time.Unix(1, 0), 0.0
		type promise struct {
			due time.Time
			n   float64
		}
		var waiting []promise
		t0 := now
		for range 2000 {
			now = now.Add(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
			for len(waiting) > 0 && !waiting[0].due.After(now) {
				used += waiting[0].n
				waiting = waiting[1:]
			}
			switch r.IntN(3) {
			case 0:
				got := b.Lease(now, 1, float64(r.IntN(64)), r.IntN(2) == 0)
				part := r.Float64() * got
				b.Give(got - part)
				used += part
			case 1:
				n := r.Float64() * 10
				if d, ok := b.Reserve(now, n, time.Second); ok {
					waiting = append(waiting, promise{now.Add(d + 1), n})
				}
			case 2:
				if b.Take(now, 1) {
					used++
				}
			}
			if most := rate*now.Sub(t0).Seconds() + float64(burst) + 1e-6; used > most {
				t.Fatalf("seed %d: %v used after %v, at most %v may be", seed, used, now.Sub(t0), most)
			}
		}
	}
}

func TestBucketSet(t *testing.T) {
	t0 := time.Unix(1, 0)
	var b Bucket
	b.Set(1, 10)
	if b.Lease(t0, 10, 0, true) != 10 || b.Lease(t0, 1, 0, true) != 0 {
		t.Fatal("a bucket that gets a rate is full, and not more")
	}
	b.Set(1, 100)
	if b.Lease(t0, 1, 0, true) != 0 || b.Full(t0) {
		t.Fatal("another burst filled the bucket")
	}
	b.Set(0, 1)
	if !b.Take(t0, 1e6) || !b.Full(t0) {
		t.Fatal("without a rate everything passes")
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]float64{
		"100": 100, "100/s": 100, " 0.5/sec": 0.5, "600/m": 10, "36/h": 0.01, "64KB/s": 65536, "1MiB": 1 << 20, "10m": 1e7, "2k/m": 2000.0 / 60, "1g": 1e9,
	} {
		if got, err := ParseRate(text); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/s", "x", "1/d", "-1", "0", "1e9", "0x10", "inf", "nan", "1_000", "99999999999g", "1.2.3", "kb", "5 5"} {
		if got, err := ParseRate(text); err == nil || !strings.Contains(err.Error(), "write e.g.") {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"100/s", "64kb/s", "1.5m/h", "0", "1e400", "nan"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseRate(s); err == nil && !(n > 0 && n <= maxRate) {
			t.Fatalf("%q is %v", s, n)
		}
	})
}

func TestTags(t *testing.T) {
	s, errs := Tags([]string{"dept:sales", "rate", "rate-msgs:100/s", "Rate-Bytes:64KB/s", "rate-subs:20", "rate-connects:6/m", "rate-burst:2s", "rate-action:Drop",
		"rate-conn-msgs:10/s", "rate-conn-burst:500ms", "rate-conn-action:disconnect"})
	want := Scopes{User: Rates{Messages: 100, Bytes: 65536, Subscriptions: 20, Connects: 0.1, Burst: 2 * time.Second, Action: Drop},
		Connection: Rates{Messages: 10, Burst: 500 * time.Millisecond, Action: Disconnect}}
	if s != want || len(errs) > 0 {
		t.Errorf("got %+v, %v", s, errs)
	}
	for _, tag := range []string{"rate-msgs:x", "rate-conn-connects:1", "rate-burst:-1s", "rate-burst:1", "rate-action:", "rate-limit:1", "rate-:1"} {
		if s, errs := Tags([]string{tag, "rate-conn-subs:5"}); len(errs) != 1 || s != (Scopes{Connection: Rates{Subscriptions: 5}}) {
			t.Errorf("%q: %+v, %v", tag, s, errs)
		}
	}
}

func TestFor(t *testing.T) {
	l := Limits{
		Connection: Rates{Messages: 100, Bytes: 1000, Action: Drop}, Account: Rates{Messages: 500},
		Accounts: map[string]Scopes{
			"A": {Connection: Rates{Messages: 10, Action: Disconnect}, User: Rates{Bytes: 7}},
			"B": {Connection: Rates{Messages: -1, Bytes: -1}, Account: Rates{Messages: -1}},
		},
	}
	for _, tc := range []struct {
		name, account string
		own           Scopes
		want          *Scopes
	}{
		{"as for all", "X", Scopes{}, &Scopes{Connection: l.Connection, Account: l.Account}},
		{"differences", "A", Scopes{}, &Scopes{Connection: Rates{Messages: 10, Bytes: 1000, Action: Disconnect}, User: Rates{Bytes: 7}, Account: l.Account}},
		{"lifted", "B", Scopes{}, nil},
		{"own where there are none", "B", Scopes{User: Rates{Messages: 3}},
			&Scopes{Connection: Rates{Messages: -1, Bytes: -1, Action: Drop}, User: Rates{Messages: 3}, Account: Rates{Messages: -1}}},
		{"own can't widen", "X", Scopes{Connection: Rates{Messages: 1000, Burst: time.Minute, Action: Throttle}}, &Scopes{Connection: l.Connection, Account: l.Account}},
		{"own can narrow", "X", Scopes{Connection: Rates{Messages: 1, Subscriptions: 2, Burst: time.Millisecond, Action: Disconnect}},
			&Scopes{Connection: Rates{Messages: 1, Bytes: 1000, Subscriptions: 2, Burst: time.Millisecond, Action: Disconnect}, Account: l.Account}},
	} {
		got := l.For(tc.account, tc.own)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tc.want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
	if (&Limits{}).For("X", Scopes{}) != nil {
		t.Error("no limits are not nil")
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::", "fe80::1%eth0": "fe80::"} {
		if got := Network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s is counted as %v, want %s", addr, got, want)
		}
	}
}

// A table shares groups while they are used, remembers what was used up, and
// forgets the rest.
func TestTable(t *testing.T) {
	t0 := time.Unix(1, 0)
	r := Rates{Messages: 1, Burst: 10 * time.Second}
	var tab Table[int]
	a, b := tab.Acquire(1, r, t0), tab.Acquire(1, r, t0)
	if a != b {
		t.Fatal("one key, two groups")
	}
	a.Messages.Take(t0, 10)
	tab.Release(1, t0)
	tab.Release(1, t0)
	if c := tab.Acquire(1, r, t0.Add(time.Second)); c != a || c.Messages.Take(t0.Add(time.Second), 2) {
		t.Fatal("who comes again has a full bucket")
	}
	tab.Release(1, t0)
	if used, idle := tab.Len(); used != 0 || idle != 1 {
		t.Fatalf("%d used, %d idle", used, idle)
	}
	tab.Acquire(2, r, t0.Add(time.Minute)) // by then the other is full
	tab.Release(2, t0.Add(time.Minute))
	if used, idle := tab.Len(); used != 0 || idle != 0 {
		t.Fatalf("%d used, %d idle; none is worth it", used, idle)
	}
	for i := range maxIdle + 2000 {
		tab.Acquire(i, r, t0).Messages.Take(t0, 1+i%10)
		tab.Release(i, t0)
	}
	if used, idle := tab.Len(); used != 0 || idle > maxIdle {
		t.Fatalf("%d used, %d idle", used, idle)
	}
}

func BenchmarkLease(b *testing.B) {
	k := NewBucket(1e12, 1e9)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		k.Give(k.Lease(now, 1, 64, false) - 1)
	}
}
