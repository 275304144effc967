package plugintest

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"ganglion/plugins/abi"
)

// The broker's bounds on values.
const (
	defaultKV = 64 << 10
	maxKey    = 256
	maxValue  = 1 << 20
	valueCost = 96 // what a key costs beside its bytes
)

// KV is what a plugin keeps. It is safe for concurrent use.
type KV struct {
	mu     sync.Mutex
	limit  int64
	size   int64
	ahead  time.Duration // of the real clock
	values map[string]value
}

type value struct {
	text  string
	until time.Time // zero is for ever
}

// Value returns the value of a key, and whether there is one.
func (k *KV) Value(key string) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.get(key)
	return v.text, ok
}

// Put sets a value for ever, as if the plugin had; the code is abi's, 0 for success.
func (k *KV) Put(key, text string) int32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set(key, text, time.Time{})
}

// Keys returns the keys, sorted.
func (k *KV) Keys() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []string
	for key := range k.values {
		if _, ok := k.get(key); ok {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// Advance has d pass for the values, so that a test need not wait for the end of
// their time.
func (k *KV) Advance(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ahead += d
}

func (k *KV) now() time.Time { return time.Now().Add(k.ahead) }

// get returns a value whose time is not over. The caller holds mu.
func (k *KV) get(key string) (value, bool) {
	v, ok := k.values[key]
	if ok && !v.until.IsZero() && !k.now().Before(v.until) {
		k.drop(key)
		return value{}, false
	}
	return v, ok
}

func (k *KV) drop(key string) {
	if v, ok := k.values[key]; ok {
		k.size -= int64(len(key)+len(v.text)) + valueCost
		delete(k.values, key)
	}
}

func (k *KV) until(ttl int64) time.Time {
	if ttl <= 0 {
		return time.Time{}
	}
	return k.now().Add(time.Duration(min(ttl, 1<<40)) * time.Millisecond)
}

func (k *KV) set(key, text string, until time.Time) int32 {
	if key == "" {
		return abi.ErrInvalid
	}
	if len(key) > maxKey || len(text) > maxValue {
		return abi.ErrTooLarge
	}
	more := func() int64 {
		if was, ok := k.values[key]; ok {
			return int64(len(text) - len(was.text))
		}
		return int64(len(key)+len(text)) + valueCost
	}
	if k.size+more() > k.limit {
		for other := range k.values {
			k.get(other) // what is over makes room
		}
		if k.size+more() > k.limit {
			return abi.ErrFull
		}
	}
	if k.values == nil {
		k.values = map[string]value{}
	}
	k.size += more()
	k.values[key] = value{text, until}
	return 0
}

// store is a KV as the plugin uses it (wasm.Store).
type store KV

// Get writes a value to dst if it fits.
func (s *store) Get(key, dst []byte) int32 {
	text, ok := (*KV)(s).Value(string(key))
	if !ok {
		return abi.NotFound
	}
	if len(text) <= len(dst) {
		copy(dst, text)
	}
	return int32(len(text))
}

// Set keeps a value.
func (s *store) Set(key, text []byte, ttl int64) int32 {
	k := (*KV)(s)
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set(string(key), string(text), k.until(ttl))
}

// Delete forgets a value.
func (s *store) Delete(key []byte) bool {
	k := (*KV)(s)
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.get(string(key))
	k.drop(string(key))
	return ok
}

// Add adds to a number; a value that is none counts as 0.
func (s *store) Add(key []byte, n, ttl int64) int64 {
	k := (*KV)(s)
	k.mu.Lock()
	defer k.mu.Unlock()
	until := k.until(ttl)
	if v, ok := k.get(string(key)); ok {
		old, _ := strconv.ParseInt(v.text, 10, 64)
		n += old
		until = v.until
	}
	k.set(string(key), strconv.FormatInt(n, 10), until)
	return n
}
