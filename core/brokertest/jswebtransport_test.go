//go:build browser

package brokertest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ganglion/core/conn"
)

// TestJSOps runs testdata/browser/ops.mjs: the splitter of ops that nats.js has.
func TestJSOps(t *testing.T) {
	need(t, "node")
	dir := t.TempDir()
	for to, from := range map[string]string{"ops.mjs": "testdata/browser/ops.mjs", "nats.mjs": "../../web/dist/nats.js"} {
		b, err := os.ReadFile(filepath.FromSlash(from))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, to), b, 0o644))
	}
	runChecks(t, dir, "ops.mjs", nil, "NO_COLOR=1")
}

// TestJSCodes compares the names of codes that the transport for browsers has.
func TestJSCodes(t *testing.T) {
	src, err := os.ReadFile(filepath.FromSlash("../../web/src/codes.ts"))
	must(t, err)
	_, list, _ := strings.Cut(string(src), "const reasons = [")
	list, _, _ = strings.Cut(list, "]")
	var got, want []string
	for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(list, -1) {
		got = append(got, m[1])
	}
	for r := conn.ClientClosed; r <= conn.DuplicateRemote; r++ {
		want = append(want, r.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("codes.ts has %q, want %q", got, want)
	}
}
