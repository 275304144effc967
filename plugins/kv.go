package plugins

import (
	"strconv"
	"sync"
	"time"

	"ganglion/plugins/abi"
)

const (
	maxKey    = 256     // bytes of a key
	maxValue  = 1 << 20 // bytes of a value
	valueCost = 96      // what a key costs beside its bytes
)

// store is a plugin's key-value store. It outlives the plugin's versions.
type store struct {
	mu     sync.Mutex
	limit  int64
	size   int64
	values map[string]value
	swept  time.Time // when all of it was looked at last
}

type value struct {
	bytes []byte
	until int64 // unix milliseconds; 0 is for ever
}

func (s *store) setLimit(n int64) {
	s.mu.Lock()
	s.limit = n
	s.mu.Unlock()
}

func (s *store) stats() (keys int, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values), s.size
}

func expired(v *value, now int64) bool { return v.until != 0 && now >= v.until }

// Get writes the value to dst if it fits (wasm.Store).
func (s *store) Get(key, dst []byte) int32 {
	if len(key) > maxKey {
		return abi.NotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if !ok || v.until != 0 && expired(&v, time.Now().UnixMilli()) {
		return abi.NotFound
	}
	if len(v.bytes) <= len(dst) {
		copy(dst, v.bytes)
	}
	return int32(len(v.bytes))
}

// Set keeps a value (wasm.Store).
func (s *store) Set(key, val []byte, ttl int64) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set(key, val, until(ttl))
}

func until(ttl int64) int64 {
	if ttl <= 0 {
		return 0
	}
	return time.Now().UnixMilli() + min(ttl, 1<<50)
}

func (s *store) set(key, val []byte, until int64) int32 {
	if len(key) == 0 {
		return abi.ErrInvalid
	}
	if len(key) > maxKey || len(val) > maxValue {
		return abi.ErrTooLarge
	}
	was, ok := s.values[string(key)]
	more := int64(len(val))
	if ok {
		more -= int64(len(was.bytes))
	} else {
		more += int64(len(key)) + valueCost
	}
	if s.size+more > s.limit {
		if now := time.Now(); now.Sub(s.swept) >= time.Second { // a full store is not looked through for each value
			s.swept = now
			s.sweep(len(s.values))
		}
		if s.size+more > s.limit {
			return abi.ErrFull
		}
		if _, still := s.values[string(key)]; ok && !still {
			more = int64(len(val)) + int64(len(key)) + valueCost
			was.bytes = nil
		}
	}
	if s.values == nil {
		s.values = map[string]value{}
	}
	s.size += more
	if cap(was.bytes) > 2*len(val)+64 { // what is kept is what is counted
		was.bytes = nil
	}
	s.values[string(key)] = value{append(was.bytes[:0], val...), until}
	s.sweep(2)
	return 0
}

// sweep looks at n values and forgets those whose time is over.
func (s *store) sweep(n int) {
	now := time.Now().UnixMilli()
	for k, v := range s.values {
		if n--; n < 0 {
			return
		}
		if expired(&v, now) {
			s.drop(k, v)
		}
	}
}

func (s *store) drop(k string, v value) {
	delete(s.values, k)
	s.size -= int64(len(k)+len(v.bytes)) + valueCost
}

// Delete forgets a value (wasm.Store).
func (s *store) Delete(key []byte) bool {
	if len(key) > maxKey {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if ok {
		s.drop(string(key), v)
	}
	return ok && !expired(&v, time.Now().UnixMilli())
}

// Add adds to a number (wasm.Store). A value that is none counts as 0. When there
// is no room for it, it returns n as if it were the first.
func (s *store) Add(key []byte, n, ttl int64) int64 {
	if len(key) > maxKey {
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if ok && v.until != 0 && expired(&v, time.Now().UnixMilli()) {
		s.drop(string(key), v)
		ok = false
	}
	end := v.until
	if ok {
		old, _ := strconv.ParseInt(string(v.bytes), 10, 64)
		n += old
	} else {
		end = until(ttl)
	}
	var room [24]byte
	s.set(key, strconv.AppendInt(room[:0], n, 10), end)
	return n
}
