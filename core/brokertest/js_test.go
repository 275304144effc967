//go:build browser

package brokertest_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ganglion/core/broker"
)

// TestJS runs testdata/js/checks.mjs, which uses the NATS client for JavaScript,
// against Ganglion. Without node it is skipped, except in CI.
func TestJS(t *testing.T) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("GANGLION_CI") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "js"))))
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}

	b := newBroker(t, broker.Options{})
	addr := serve(t, b, "127.0.0.1:0")
	cmd := exec.CommandContext(ctx, "node", "checks.mjs", addr)
	cmd.Dir = dir
	cmd.WaitDelay = soon
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	done := false
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		t.Log(line)
		switch {
		case line == "restart":
			shutDown(t, b)
			b = newBroker(t, broker.Options{})
			serve(t, b, addr)
		case strings.HasPrefix(line, "FAIL"):
			t.Error("a check failed") // what follows says more
		case strings.HasPrefix(line, "done"):
			done = true
		}
	}
	if err := cmd.Wait(); err != nil || !done {
		t.Fatalf("node: %v\n%s", err, &stderr)
	}
}
