package fuel_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ganglion/plugins/fuel"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst

// generous lets every program of the corpus end by itself.
var generous = fuel.Options{Default: fuel.MaxBudget, Host: 7, Grow: 3}

// wazeroDir is where the module cache has wazero's own tests.
func wazeroDir(tb testing.TB) string {
	tb.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		tb.Skip("wazero's source is not there")
	}
	return dir
}

func corpus(tb testing.TB) (files []string) {
	tb.Helper()
	seen := map[[32]byte]bool{}
	err := filepath.WalkDir(wazeroDir(tb), func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".wasm" {
			return err
		}
		b, err := os.ReadFile(path)
		if h := sha256.Sum256(b); err == nil && !seen[h] {
			seen[h] = true
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	if len(files) < 1000 {
		tb.Skipf("only %d modules there", len(files))
	}
	return files
}

// What the compiler takes is taken, or refused for a reason; and what it refuses
// is not made acceptable by being rewritten.
func TestCorpusCompiles(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	defer r.Close(ctx)
	compile := func(b []byte) error {
		c, err := r.CompileModule(ctx, b)
		if err == nil {
			c.Close(ctx)
		}
		return err
	}
	var taken, refused, unsupported int
	for _, path := range corpus(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(filepath.Base(filepath.Dir(filepath.Dir(path))), filepath.Base(path))
		out, rewriteErr := fuel.Rewrite(b, generous)
		if rewriteErr == nil && len(out) > 16*len(b)+4096 {
			t.Errorf("%s: %d bytes became %d", name, len(b), len(out))
		}
		if errors.Is(rewriteErr, fuel.ErrTooBig) {
			continue // it may be too big for the compiler of the original, too
		}
		switch err := compile(b); {
		case err == nil && rewriteErr == nil:
			if err := compile(out); err != nil {
				t.Errorf("%s: the result is refused: %v", name, err)
			}
			taken++
		case err == nil && errors.Is(rewriteErr, fuel.ErrUnsupported):
			unsupported++
		case err == nil:
			t.Errorf("%s: %v", name, rewriteErr)
		case rewriteErr == nil:
			if compile(out) == nil {
				t.Errorf("%s: became acceptable; the original: %v", name, err)
			}
			refused++
		default:
			refused++
		}
	}
	t.Logf("%d modules rewritten, %d refused as the compiler does, %d not supported", taken, refused, unsupported)
	if taken < 1000 {
		t.Errorf("only %d modules were taken", taken)
	}
}
