//go:build !race

package broker_test

const (
	allowedAllocs = 0
	raceEnabled   = false
)
