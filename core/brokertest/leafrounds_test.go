//go:build !long

package brokertest_test

// leafRounds is how many rounds TestLeafRandom plays; make test-long has more.
const leafRounds = 25
