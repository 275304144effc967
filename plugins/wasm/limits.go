package wasm

import "fmt"

// Limits bound what one plugin may use. The zero value of each is its default.
type Limits struct {
	Memory    int64 // bytes of memory of one instance; 4 MiB, 32 MiB for modules of Go
	Fuel      int64 // units of work of one message; 30 million, 100 million for modules of Go: some 10 ms
	StartFuel int64 // of starting an instance, manifest and configuration included; 200 million
	TickFuel  int64 // of one tick; 30 million
	Module    int64 // bytes of the file; 10 MiB
	Emits     int   // messages that one message may lead to; 8
	LogBytes  int   // bytes of log a second; 1 KiB, and eight times that at once
	Instances int   // at the same time; 4
	Result    int   // bytes of headers and payload that a result may have; 1 MiB
}

// Defaults and bounds of Limits.
const (
	DefaultMemory    = 4 << 20
	DefaultGoMemory  = 32 << 20
	DefaultFuel      = 30_000_000
	DefaultGoFuel    = 100_000_000
	DefaultStartFuel = 200_000_000
	DefaultModule    = 10 << 20
	DefaultEmits     = 8
	DefaultLogBytes  = 1 << 10
	DefaultInstances = 4
	DefaultResult    = 1 << 20

	MaxMemory    = 1 << 30
	MaxFuel      = 10_000_000_000
	MaxInstances = 256
	pageSize     = 64 << 10
)

// normal fills in the defaults.
func (l Limits) normal() (Limits, error) {
	for _, x := range []struct {
		name   string
		at     *int64
		def, m int64
	}{
		{"memory", &l.Memory, 0, MaxMemory}, {"fuel", &l.Fuel, 0, MaxFuel}, {"start_fuel", &l.StartFuel, DefaultStartFuel, MaxFuel},
		{"tick_fuel", &l.TickFuel, DefaultFuel, MaxFuel}, {"module", &l.Module, DefaultModule, 1 << 30},
	} {
		if *x.at == 0 {
			*x.at = x.def
		}
		if *x.at < 0 || *x.at > x.m {
			return l, fmt.Errorf("wasm: limit %s is %d; use 1 to %d", x.name, *x.at, x.m)
		}
	}
	for _, x := range []struct {
		name   string
		at     *int
		def, m int
	}{{"emits", &l.Emits, DefaultEmits, 1024}, {"log_bytes", &l.LogBytes, DefaultLogBytes, 1 << 20}, {"instances", &l.Instances, DefaultInstances, MaxInstances}, {"result", &l.Result, DefaultResult, 64 << 20}} {
		if *x.at == 0 {
			*x.at = x.def
		}
		if *x.at < 0 || *x.at > x.m {
			return l, fmt.Errorf("wasm: limit %s is %d; use 1 to %d", x.name, *x.at, x.m)
		}
	}
	return l, nil
}
