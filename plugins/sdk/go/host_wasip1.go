//go:build wasip1

package plugin

import "unsafe"

// A string of an import is a pointer and a length.

//go:wasmimport ganglion_v1 log
func hostLog(level int32, text string)

//go:wasmimport ganglion_v1 config_get
//go:noescape
func importConfigGet(key string, out unsafe.Pointer, size uint32) int32

func hostConfigGet(key string, out []byte) int32 {
	return importConfigGet(key, unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
}

//go:wasmimport ganglion_v1 metric_add
func hostMetricAdd(name string, n int64)

//go:wasmimport ganglion_v1 metric_set
func hostMetricSet(name string, v float64)

//go:wasmimport ganglion_v1 kv_get
//go:noescape
func importKVGet(key string, out unsafe.Pointer, size uint32) int32

func hostKVGet(key string, out []byte) int32 {
	return importKVGet(key, unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
}

//go:wasmimport ganglion_v1 kv_set
func importKVSet(key, value string, ttl int64) int32

func hostKVSet(key string, value []byte, ttl int64) int32 {
	return importKVSet(key, borrow(value), ttl)
}

//go:wasmimport ganglion_v1 kv_delete
func hostKVDelete(key string) int32

//go:wasmimport ganglion_v1 kv_add
func hostKVAdd(key string, n, ttl int64) int64

//go:wasmimport ganglion_v1 emit
func importEmit(subject, reply, headers, payload string) int32

func hostEmit(subject, reply string, headers, payload []byte) int32 {
	return importEmit(subject, reply, borrow(headers), borrow(payload))
}

//go:wasmimport ganglion_v1 now_ns
func hostNow() int64
