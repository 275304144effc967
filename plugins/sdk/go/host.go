package plugin

import (
	"encoding/json"
	"time"
)

// Error is why the host refused a call.
type Error int32

// What the host says.
const (
	ErrNotFound Error = -1 // there is no such value
	ErrDenied   Error = -2 // the plugin may not do that
	ErrTooLarge Error = -3 // too large, or too many
	ErrInvalid  Error = -4 // an argument is wrong
	ErrFull     Error = -5 // a queue or the store is full
)

func (e Error) Error() string {
	switch e {
	case ErrNotFound:
		return "not found"
	case ErrDenied:
		return "not allowed"
	case ErrTooLarge:
		return "too large"
	case ErrInvalid:
		return "invalid argument"
	case ErrFull:
		return "full"
	}
	return "refused by the host"
}

// check returns a negative n as an error.
func check(n int32) error {
	if n < 0 {
		return Error(n)
	}
	return nil
}

// Level is how much a line of the log matters.
type Level int32

// The levels.
const (
	Debug Level = -4
	Info  Level = 0
	Warn  Level = 4
	Err   Level = 8
)

// Log writes a line to the host's log, which limits how many and how long they are.
func Log(level Level, text string) { hostLog(int32(level), text) }

// configuration is what ganglion_configure was given.
var configuration []byte

// ConfigJSON returns the plugin's configuration, a JSON object. It must not be
// changed.
func ConfigJSON() []byte {
	if configuration == nil {
		return []byte("{}")
	}
	return configuration
}

// Config reads the configuration into v, as encoding/json does. It links
// encoding/json into the plugin, about a megabyte; ConfigString does not.
func Config(v any) error { return json.Unmarshal(ConfigJSON(), v) }

// ConfigString returns the value of one key of the configuration: strings as they
// are, other values as JSON, and fallback when there is none.
func ConfigString(key, fallback string) string {
	b, err := read(func(out []byte) int32 { return hostConfigGet(key, out) })
	if err != nil {
		return fallback
	}
	return string(b)
}

// read calls get with room enough for what it returns.
func read(get func(out []byte) int32) ([]byte, error) {
	b := make([]byte, 128)
	for {
		n := get(b)
		if n < 0 {
			return nil, Error(n)
		}
		if int(n) <= len(b) {
			return b[:n], nil
		}
		b = make([]byte, n) // another instance may make it longer meanwhile: ask again
	}
}

// KVGet returns the value of a key of the plugin's store, or ErrNotFound.
func KVGet(key string) ([]byte, error) {
	return read(func(out []byte) int32 { return hostKVGet(key, out) })
}

// KVSet sets a key. After ttl, which counts in milliseconds, it is gone; 0 is for
// ever.
func KVSet(key string, value []byte, ttl time.Duration) error {
	return check(hostKVSet(key, value, ttl.Milliseconds()))
}

// KVDelete removes a key and says whether it was there.
func KVDelete(key string) (bool, error) {
	n := hostKVDelete(key)
	return n == 1, check(n)
}

// KVAdd adds n to a decimal number, which is 0 when it isn't there, and returns the
// sum. No other instance comes between. ttl counts for a new key. A sum below zero
// can't be told from an error.
func KVAdd(key string, n int64, ttl time.Duration) (int64, error) {
	sum := hostKVAdd(key, n, ttl.Milliseconds())
	if sum < 0 {
		return 0, Error(max(sum, -1<<31))
	}
	return sum, nil
}

// Emit publishes a message of the plugin's own. reply and headers may be empty;
// headers go from NATS/1.0 to the empty line.
func Emit(subject, reply string, headers, payload []byte) error {
	return check(hostEmit(subject, reply, headers, payload))
}

// MetricAdd adds n to a counter in the host's metrics.
func MetricAdd(name string, n int64) { hostMetricAdd(name, n) }

// MetricSet sets a gauge in the host's metrics.
func MetricSet(name string, v float64) { hostMetricSet(name, v) }

// Now returns the time, or a zero time when the plugin may not know it
// (Plugin.Clock).
func Now() time.Time {
	n := hostNow()
	if n <= 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
