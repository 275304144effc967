//go:build unix

package operator

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestDirBroken has a good file beside every kind of broken one.
func TestDirBroken(t *testing.T) {
	op, good, wrong, empty, garbage, link, out, dirKey, fifo, huge, secret := testOperator{operatorKey()}, accountKey(), accountKey(),
		accountKey(), accountKey(), accountKey(), accountKey(), accountKey(), accountKey(), accountKey(), accountKey()
	dir, elsewhere := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(good.pub+".jwt", op.token(good, 1)+"\n", 0o644)
	write(wrong.pub+".jwt", op.token(good, 1), 0o644)
	write(empty.pub+".jwt", "", 0o644)
	write(garbage.pub+".jwt", "\x00\xffgarbage", 0o644)
	write("garbage.jwt", op.token(good, 1), 0o644)
	write("note.txt", "not for us", 0o644)
	write(huge.pub+".jwt", strings.Repeat("x", MaxToken+1), 0o644)
	write(secret.pub+".jwt", op.token(secret, 1), 0)
	outside := filepath.Join(elsewhere, "token")
	for _, err := range []error{
		os.WriteFile(outside, []byte(op.token(out, 1)), 0o644),
		os.Symlink(outside, filepath.Join(dir, out.pub+".jwt")),
		os.Symlink("nowhere", filepath.Join(dir, link.pub+".jwt")),
		os.Mkdir(filepath.Join(dir, dirKey.pub+".jwt"), 0o755),
		syscall.Mkfifo(filepath.Join(dir, fifo.pub+".jwt"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	d, log := openDir(t, DirOptions{Dir: dir})
	want := []string{good.pub}
	if os.Geteuid() == 0 { // to whom no file is unreadable
		want = append(want, secret.pub)
		slices.Sort(want)
	}
	if got, err := d.List(); !slices.Equal(got, want) || err != nil {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if n := strings.Count(log.String(), "skipped"); n != 11-len(want) {
		t.Errorf("%d files are logged, want %d:\n%s", n, 11-len(want), log)
	}
	for _, k := range []key{wrong, empty, garbage, link, out, dirKey, fifo, huge} {
		if got, err := d.Fetch(t.Context(), k.pub); got != "" || err == nil {
			t.Errorf("fetching a broken file gives %q, %v", got, err)
		}
	}
	for _, name := range []string{"", "..", "../" + filepath.Base(elsewhere) + "/token", "garbage"} {
		if got, err := d.Fetch(t.Context(), name); got != "" || !errors.Is(err, ErrMalformed) {
			t.Errorf("fetching %q gives %q, %v", name, got, err)
		}
	}
	// What was broken can be stored over, unless it is a directory.
	if err := d.Store(garbage.pub, op.token(garbage, 1)); err != nil {
		t.Error(err)
	}
	if err := d.Store(out.pub, op.token(out, 2)); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != op.token(out, 1) {
		t.Error("a link led a write out of the directory")
	}
	if err := d.Store(dirKey.pub, op.token(dirKey, 1)); err == nil {
		t.Error("stored over a directory")
	}
	if slices.ContainsFunc(names(t, dir), func(s string) bool { return strings.HasSuffix(s, tempSuffix) }) {
		t.Errorf("a temporary file is left: %v", names(t, dir))
	}
}
