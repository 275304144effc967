package wasm

import "log/slog"

// Services are what instances call. They are safe for concurrent use, don't block
// and keep no bytes that they are given.
type Services interface {
	// Log takes a line of the plugin, of at most some KiB and without line ends.
	Log(level slog.Level, text string)
	// Count adds to a counter of the plugin, Gauge sets a gauge. False says that
	// there are too many, or that the name is none.
	Count(name []byte, n int64) bool
	Gauge(name []byte, v float64) bool
	// Emit publishes a message on the plugin's behalf: 0, or one of abi's errors.
	Emit(e *Emit) int32
	// Store keeps values; nil for a plugin that may keep none.
	Store() Store
	// Clock reports whether the plugin may know the time.
	Clock() bool
}

// Emit is a message that a plugin publishes while it looks at another.
type Emit struct {
	Account string // of the message it looks at; "" for none
	Hops    uint32 // that message's
	Subject []byte
	Reply   []byte
	Headers []byte
	Payload []byte
}

// Store keeps values by key, all instances' alike. Lifetimes are in milliseconds,
// 0 is for ever; results are abi's codes.
type Store interface {
	// Get writes the value to dst if it fits and returns its length, or
	// abi.NotFound.
	Get(key, dst []byte) int32
	Set(key, value []byte, ttl int64) int32
	Delete(key []byte) bool
	Add(key []byte, n, ttl int64) int64
}
