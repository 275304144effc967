package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSelectScenarios(t *testing.T) {
	t.Parallel()
	all := scenarios(options{}, 20_000)
	tests := []struct {
		only string
		want []string
	}{
		{"1:1", []string{"1:1/16", "1:1/128", "1:1/1k", "1:1/16k"}},
		{"1:1/128", []string{"1:1/128"}},
		{"1:8,churn", []string{"1:8", "churn"}},
		{"req", []string{"req1", "req64", "req64one"}},
		{"req64", []string{"req64"}},
		{"*:8/16", []string{"8:8/16"}},
		{"pub", []string{"pub1/16", "pub1/128", "pub8/16", "pub8/128"}},
		{"idle", []string{"idle10k", "idle18k", "idlews", "idletls", "idlewss"}},
		{"ws", []string{"ws1:1/128", "ws1:8", "ws8:8/128", "ws1:1/one", "ws1:1/16k", "wscompress"}},
		{"ws1:1", []string{"ws1:1/128", "ws1:1/one", "ws1:1/16k"}},
		{"quic-idle", []string{"quic-idle", "quic-idle/10"}},
		{"quic", []string{"quic-1:1", "quic-1:8", "quic-idle", "quic-idle/10"}},
		{"leaf-up", []string{"leaf-up/128", "leaf-up/1k", "leaf-up/s2"}},
		{"leaf-", []string{"leaf-up/128", "leaf-up/1k", "leaf-up/s2", "leaf-down/128", "leaf-down/1k", "leaf-down/s2", "leaf-pair", "leaf-interest", "leaf-reconnect"}},
		{"tls", []string{"tls1:1/128", "tls1:8", "tls8:8/128", "tls1:1/16k"}},
	}
	for _, tt := range tests {
		got, err := selectScenarios(all, tt.only)
		if err != nil {
			t.Errorf("%s: %v", tt.only, err)
		}
		var names []string
		for _, sc := range got {
			names = append(names, sc.name)
		}
		if !slices.Equal(names, tt.want) {
			t.Errorf("%s selects %v, want %v", tt.only, names, tt.want)
		}
	}
	if _, err := selectScenarios(all, "1:1,nonsense"); err == nil {
		t.Error("an unknown name was accepted")
	}
	if got, _ := selectScenarios(all, ""); len(got) != len(all) {
		t.Errorf("no pattern selects %d of %d", len(got), len(all))
	}
}

func TestFloors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		f     floor
		v     float64
		holds bool
	}{
		{atMost("x.cpu", 0.33), 0.33, true},
		{atMost("x.cpu", 0.33), 0.34, false},
		{atLeast("x.rate", 1.8), 1.8, true},
		{atLeast("x.rate", 1.8), 1.7, false},
		{atMost("x.cpu", 0.33), math.NaN(), false},
	}
	for _, tt := range tests {
		if got := tt.f.holds(tt.v); got != tt.holds {
			t.Errorf("%s with %v: %v", tt.f, tt.v, got)
		}
	}
}

func TestResultMediansAndVerdict(t *testing.T) {
	t.Parallel()
	r := result{scenario: scenario{name: "x", floors: cpuAndRate(0.4, 1.8)}}
	for _, x := range []float64{0.1, 0.3, 0.9} {
		r.pairs = append(r.pairs, pair{
			Ganglion: leg{Rate: 200, CPU: x * 1000, Extra: map[string]float64{"start": x}},
			Nats:     leg{Rate: 100, CPU: 1000, Extra: map[string]float64{"start": 2}},
		})
	}
	for metric, want := range map[string]float64{"x.cpu": 0.3, "g.cpu": 300, "n.cpu": 1000, "x.rate": 2, "x.start": 0.15, "d.cpu": -700, "d.start": -1.7, "m.start": 0.15} {
		if got := r.median(metric); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", metric, got, want)
		}
	}
	if got := r.verdict(); got != "ok" {
		t.Errorf("verdict %q", got)
	}
	r.scenario.floors = cpuAndRate(0.2, 1.8)
	if got := r.verdict(); got != "miss: cpu" {
		t.Errorf("verdict %q", got)
	}
	r.err = errors.New("lost")
	if got := r.verdict(); got != "error" {
		t.Errorf("verdict %q", got)
	}
	var out bytes.Buffer
	printLoad(&out, []result{r})
	if lines := strings.Count(out.String(), "\n"); lines != 4 {
		t.Errorf("table of %d lines:\n%s", lines, out.String())
	}
}

func TestPairScore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		p    pair
		want string
	}{
		{pair{}, ""},
		{pair{Ganglion: leg{Far: 0.9}, Nats: leg{Far: 0.8}, Drift: 0.1}, ""},
		{pair{Ganglion: leg{Far: 0.9}, Nats: leg{Far: 0.1}}, "cores were moved"},
		{pair{Nats: leg{Foreign: 0.5}}, "others were busy"},
		{pair{Drift: 0.2}, "machine drifted by 20 %"},
	}
	for _, tt := range tests {
		if got := tt.p.disturbance(); got != tt.want || (tt.p.score() > 1) != (got != "") {
			t.Errorf("%+v: %q, score %v", tt.p, got, tt.p.score())
		}
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for in, want := range map[float64]string{
		0.333: "0.33", 12.34: "12.3", 999: "999", 1234: "1,234", 1234567: "1,234,567", -123456: "-123,456", math.NaN(): "-",
	} {
		if got := short(in); got != want {
			t.Errorf("%v prints as %q, want %q", in, got, want)
		}
	}
}

func TestWindowHoldsPublishersBack(t *testing.T) {
	t.Parallel()
	w := newWindow(1000, 10) // 100 messages
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 {
		if err := w.reserve(ctx, 50); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan error)
	go func() { got <- w.reserve(ctx, 50) }()
	w.delivered(10) // not enough
	select {
	case err := <-got:
		t.Fatalf("reserved beyond the limit: %v", err)
	default:
	}
	w.delivered(40)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if out := w.sent.Load() - w.done.Load(); out != 100 {
		t.Fatalf("%d in flight", out)
	}
	cancel()
	if err := w.reserve(ctx, 50); err == nil {
		t.Fatal("reserve ignored its context")
	}
}

// Every subject of the wildcard scenario matches the subscription that it was
// made from, and no other.
func TestWildSubjectsMatchOnce(t *testing.T) {
	t.Parallel()
	const n = 1_000
	size := len(wildSubject(0, "v0"))
	for i := range n {
		subject := wildSubject(i, fmt.Sprintf("v%d", i%10))
		if len(subject) != size {
			t.Fatalf("%s is not %d bytes long", subject, size)
		}
		for k := range n {
			if got := matches(wildSubject(k, "*"), subject); got != (i == k) {
				t.Fatalf("%s and %s: %v", wildSubject(k, "*"), subject, got)
			}
		}
	}
}

func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i := range p {
		if i >= len(s) || p[i] != "*" && p[i] != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}
