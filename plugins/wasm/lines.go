package wasm

import (
	"bytes"
	"log/slog"
)

// maxLine is how long a line of a plugin's output may be.
const maxLine = 1024

// lines hands what is written on to a log, line by line.
type lines struct {
	inst  *Instance // who writes, and pays for it
	to    Services
	level slog.Level
	rest  []byte
}

// Write fails when the guest has no fuel left.
func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	if !l.inst.pay(hostPrice + n) {
		return 0, ErrFuel
	}
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part = b[:end]
		}
		if room := maxLine - len(l.rest); room > 0 {
			l.rest = append(l.rest, part[:min(len(part), room)]...)
		}
		if end < 0 {
			break
		}
		if !l.inst.pay(hostPrice + 4*len(l.rest)) {
			return 0, ErrFuel
		}
		l.to.Log(l.level, clean(l.rest))
		l.rest = l.rest[:0]
		b = b[end+1:]
	}
	return n, nil
}

// clean returns b as text of one line.
func clean(b []byte) string {
	b = bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, b[:min(len(b), maxLine)])
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

// nothing are the services of an instance that is asked for its manifest only.
type nothing struct{}

func (nothing) Log(slog.Level, string)     {}
func (nothing) Count([]byte, int64) bool   { return true }
func (nothing) Gauge([]byte, float64) bool { return true }
func (nothing) Emit(*Emit) int32           { return -2 }
func (nothing) Store() Store               { return nil }
func (nothing) Clock() bool                { return false }
