//go:build browser

package brokertest_test

import (
	"os"
	"path/filepath"
	"testing"

	"ganglion/core/broker"
)

// TestJS runs testdata/js/checks.mjs, which uses the NATS client for JavaScript,
// against Ganglion. Without node it is skipped, except in CI.
func TestJS(t *testing.T) {
	need(t, "node", "npm")
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "js"))))
	command(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")

	b := newBroker(t, broker.Options{})
	addr := serve(t, b, "127.0.0.1:0")
	runChecks(t, dir, "checks.mjs", func() {
		shutDown(t, b)
		b = newBroker(t, broker.Options{})
		serve(t, b, addr)
	}, "NO_COLOR=1", addr)
}
