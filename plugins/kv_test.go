package plugins

import (
	"fmt"
	"runtime"
	"testing"
)

// TestStoreMemory: a store keeps about as many bytes as it counts, whatever was
// there before.
func TestStoreMemory(t *testing.T) {
	s := &store{limit: 4 << 20}
	used := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := used()
	large := make([]byte, 1<<20)
	for i := range 200 {
		key := fmt.Appendf(nil, "key%d", i)
		if code := s.Set(key, large, 0); code != 0 {
			t.Fatal(code)
		}
		if code := s.Set(key, []byte("x"), 0); code != 0 {
			t.Fatal(code)
		}
	}
	if n := int64(used()) - int64(before); n > 8<<20 {
		t.Errorf("%d bytes are kept, %d are counted", n, s.size)
	}
	if keys, size := s.stats(); keys != 200 || size > 64<<10 {
		t.Errorf("%d keys, %d bytes", keys, size)
	}
}
