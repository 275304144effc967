package conn

import "sync"

// Pooled buffers come in these sizes. Arrays behind pointers keep sync.Pool
// from allocating for the slice header.
const (
	size2K   = 2 << 10
	size16K  = 16 << 10
	size64K  = 64 << 10
	size256K = 256 << 10
	size1M   = 1 << 20
)

var (
	pool2K   = sync.Pool{New: func() any { return new([size2K]byte) }}
	pool16K  = sync.Pool{New: func() any { return new([size16K]byte) }}
	pool64K  = sync.Pool{New: func() any { return new([size64K]byte) }}
	pool256K = sync.Pool{New: func() any { return new([size256K]byte) }}
	pool1M   = sync.Pool{New: func() any { return new([size1M]byte) }}
)

// getBuf returns an empty slice with room for n bytes at least. Above the
// largest class it is ordinary memory.
func getBuf(n int) []byte {
	switch {
	case n <= size2K:
		return pool2K.Get().(*[size2K]byte)[:0]
	case n <= size16K:
		return pool16K.Get().(*[size16K]byte)[:0]
	case n <= size64K:
		return pool64K.Get().(*[size64K]byte)[:0]
	case n <= size256K:
		return pool256K.Get().(*[size256K]byte)[:0]
	case n <= size1M:
		return pool1M.Get().(*[size1M]byte)[:0]
	}
	return make([]byte, 0, n)
}

// putBuf gives b, the whole of what getBuf returned, back.
func putBuf(b []byte) {
	switch cap(b) {
	case size2K:
		pool2K.Put((*[size2K]byte)(b[:size2K]))
	case size16K:
		pool16K.Put((*[size16K]byte)(b[:size16K]))
	case size64K:
		pool64K.Put((*[size64K]byte)(b[:size64K]))
	case size256K:
		pool256K.Put((*[size256K]byte)(b[:size256K]))
	case size1M:
		pool1M.Put((*[size1M]byte)(b[:size1M]))
	}
}
