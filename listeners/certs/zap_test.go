package certs

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestZapLogger(t *testing.T) {
	var b bytes.Buffer
	h := slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	log := zapLogger(slog.New(h).With("source", "web")).Named("obtain").With(zap.String("ca", "x"))
	log.Info("every step", zap.Error(errors.New("unseen")))
	log.Warn("a retry", zap.Duration("in", time.Second))
	log.Error("went wrong", zap.Error(errors.New("no route")), zap.Strings("names", []string{"a", "b"}))
	want := `level=INFO msg="a retry" source=web ca=x part=obtain in=1s
level=WARN msg="went wrong" source=web ca=x part=obtain error="no route" names="[a b]"
`
	if got := b.String(); got != want {
		t.Errorf("logged\n%swant\n%s", got, want)
	}
	b.Reset()
	c := slog.New(calm{h}).With("component", "acme").WithGroup("g")
	c.Info("every step")
	c.Warn("a retry")
	c.Error("went wrong", "error", "no route")
	if got := b.String(); strings.Contains(got, "every step") || !strings.Contains(got, "level=WARN msg=\"went wrong\" component=acme g.error=\"no route\"") {
		t.Errorf("logged\n%s", got)
	}
}

func TestRateLimit(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for detail, want := range map[string]time.Duration{
		"too many failed authorizations (5) for \"x\" in the last 1h0m0s, retry after 2026-01-02 03:30:00 UTC: see https://x": 30 * time.Minute,
		"Retry after 2026-01-02T04:00:00Z":        time.Hour,
		"retry after 2026-02-02 03:00:00 UTC":     24 * time.Hour, // no longer than that
		"retry after 2026-01-01 03:00:00 UTC":     0,
		"retry after 2026-99-01 03:00:00 UTC":     0,
		"too many new orders, please retry later": 0,
	} {
		if got := rateLimit(detail, now); got != want {
			t.Errorf("rateLimit(%q) = %v, want %v", detail, got, want)
		}
	}
}

func TestJudgeBacksOff(t *testing.T) {
	s := &acmeSource{timing: Timing{Retry: time.Second, RetryMax: time.Minute, Refused: 10 * time.Second}.withDefaults()}
	last := time.Duration(0)
	for i := range 100 {
		pause, _ := s.judge(unreachable{errors.New("away")}, "x", i)
		if pause > 66*time.Second || i < 5 && pause <= last {
			t.Fatalf("pause after failure %d is %v, before that %v", i, pause, last)
		}
		last = pause
	}
	if last < 54*time.Second {
		t.Errorf("the longest pause is %v, want a minute, give or take a tenth", last)
	}
}
