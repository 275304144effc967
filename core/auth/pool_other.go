//go:build !linux

package auth

import "time"

// threadCPU can't tell here.
func threadCPU() (time.Duration, bool) { return 0, false }
