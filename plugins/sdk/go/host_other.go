//go:build !wasip1

package plugin

// Where there is no host, as in an author's own tests, it allows nothing.

func hostLog(int32, string)                         {}
func hostConfigGet(string, []byte) int32            { return int32(ErrNotFound) }
func hostMetricAdd(string, int64)                   {}
func hostMetricSet(string, float64)                 {}
func hostKVGet(string, []byte) int32                { return int32(ErrDenied) }
func hostKVSet(string, []byte, int64) int32         { return int32(ErrDenied) }
func hostKVDelete(string) int32                     { return int32(ErrDenied) }
func hostKVAdd(string, int64, int64) int64          { return int64(ErrDenied) }
func hostEmit(string, string, []byte, []byte) int32 { return int32(ErrDenied) }
func hostNow() int64                                { return int64(ErrDenied) }
