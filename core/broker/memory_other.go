//go:build !linux

package broker

// physicalMemory returns the machine's memory in bytes; 0 is unknown here.
func physicalMemory() int64 { return 0 }
