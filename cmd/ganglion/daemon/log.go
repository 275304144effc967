package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"sync/atomic"

	"gopkg.in/natefinch/lumberjack.v2"

	"ganglion/cmd/ganglion/config"
)

// logger is the process's log. What it writes to, and which levels, can change
// while others hold the *slog.Logger.
type logger struct {
	*slog.Logger
	to atomic.Pointer[target]
}

// target is where records go to.
type target struct {
	slog.Handler
	file    *lumberjack.Logger // nil for standard error
	noDebug bool               // traces without debug records (-V without -D)
}

func (t *target) Enabled(ctx context.Context, level slog.Level) bool {
	return !(t.noDebug && level == slog.LevelDebug) && t.Handler.Enabled(ctx, level)
}

// swapping is the handler of a logger: it asks for the target at each record.
type swapping struct {
	l    *logger
	with func(slog.Handler) slog.Handler
}

func newLogger(c config.Log) (*logger, error) {
	l := &logger{}
	t, err := open(c)
	if err != nil {
		return nil, err
	}
	l.to.Store(t)
	l.Logger = slog.New(&swapping{l: l, with: func(h slog.Handler) slog.Handler { return h }})
	return l, nil
}

// open returns the target that c describes. A file must be writable now.
func open(c config.Log) (*target, error) {
	t := &target{noDebug: c.Trace && !c.Debug}
	var w io.Writer = os.Stderr
	if c.File != "" {
		f, err := os.OpenFile(c.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return nil, fmt.Errorf("cannot open log file: %w", err)
		}
		f.Close()
		t.file = &lumberjack.Logger{Filename: c.File, MaxBackups: c.MaxFiles, LocalTime: !c.UTC, MaxSize: megabytes(c.SizeLimit)}
		w = t.file
	}
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	if c.Trace {
		level = config.LevelTrace
	}
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			if !c.Time {
				return slog.Attr{}
			}
			if c.UTC {
				a.Value = slog.TimeValue(a.Value.Time().UTC())
			}
		case slog.LevelKey:
			if a.Value.Any() == config.LevelTrace {
				a.Value = slog.StringValue("TRACE")
			}
		}
		return a
	}}
	if c.Format == "json" {
		t.Handler = slog.NewJSONHandler(w, o)
	} else {
		t.Handler = slog.NewTextHandler(w, o)
	}
	return t, nil
}

// megabytes is the unit in which the library rotates: a limit is rounded up,
// and none is more than a disk holds.
func megabytes(bytes int64) int {
	if bytes <= 0 {
		return math.MaxInt32
	}
	return int((bytes + 1<<20 - 1) >> 20)
}

// Reopen has the next record open the log file anew, as after it was renamed.
func (l *logger) Reopen() {
	if f := l.to.Load().file; f != nil {
		f.Close()
	}
}

// Close closes the log file.
func (l *logger) Close() { l.Reopen() }

// prepare opens what c describes; commit makes it the target.
func (l *logger) prepare(c config.Log) (commit, abort func(), err error) {
	t, err := open(c)
	if err != nil {
		return nil, nil, err
	}
	commit = func() {
		if old := l.to.Swap(t); old.file != nil {
			old.file.Close()
		}
	}
	return commit, func() {}, nil
}

func (h *swapping) Enabled(ctx context.Context, level slog.Level) bool {
	return h.l.to.Load().Enabled(ctx, level)
}

func (h *swapping) Handle(ctx context.Context, r slog.Record) error {
	return h.with(h.l.to.Load().Handler).Handle(ctx, r)
}

func (h *swapping) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := h.with
	return &swapping{l: h.l, with: func(t slog.Handler) slog.Handler { return with(t).WithAttrs(attrs) }}
}

func (h *swapping) WithGroup(name string) slog.Handler {
	with := h.with
	return &swapping{l: h.l, with: func(t slog.Handler) slog.Handler { return with(t).WithGroup(name) }}
}
