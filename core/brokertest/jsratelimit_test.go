//go:build browser

package brokertest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"ganglion/core/broker"
	"ganglion/core/limit"
)

// TestJSRateLimits runs testdata/js/limits.mjs: the NATS client for JavaScript
// stays usable through each action of rate_limits.
func TestJSRateLimits(t *testing.T) {
	need(t, "node", "npm")
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "js"))))
	command(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")

	var args []string
	var brokers []*broker.Broker
	for _, action := range []limit.Action{limit.Throttle, limit.Drop, limit.Disconnect} {
		r := limit.Rates{Messages: 500, Burst: 100 * time.Millisecond, Action: action}
		b := newBroker(t, broker.Options{RateLimits: limit.Limits{Connection: r}})
		brokers = append(brokers, b)
		args = append(args, action.String(), serve(t, b, "127.0.0.1:0"))
	}
	runChecks(t, dir, "limits.mjs", nil, "NO_COLOR=1", args...)
	for i, n := range []broker.RateCounters{brokers[0].RateCounters(), brokers[1].RateCounters(), brokers[2].RateCounters()} {
		if hit := []uint64{n.Throttled, n.Dropped, n.Disconnected}; hit[i] == 0 || n.Throttled+n.Dropped+n.Disconnected != hit[i] {
			t.Errorf("%s: counted %+v", args[2*i], n)
		}
	}
}
