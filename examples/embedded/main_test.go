package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const want = "orders.new: one coffee (seen by the broker)"

func Example() {
	main()
	// Output: orders.new: one coffee (seen by the broker)
}

// TestOutsideTheCheckout builds and runs the same program in a module of its own.
func TestOutsideTheCheckout(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	src, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	// The checkout's own requirements, so that nothing has to be looked up.
	text := strings.Replace(string(mod), "module ganglion\n", "module example.com/elsewhere\n", 1)
	text += "\nrequire ganglion v0.0.0\n\nreplace ganglion => " + root + "\n"
	for name, data := range map[string][]byte{"main.go": src, "go.mod": []byte(text), "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Fatalf("%v: %s", err, out)
	}
}
