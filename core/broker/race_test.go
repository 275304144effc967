//go:build race

package broker_test

const (
	allowedAllocs = 1e6
	raceEnabled   = true
)
