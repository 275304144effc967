//go:build long

package brokertest_test

const leafRounds = 600
