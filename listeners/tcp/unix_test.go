package tcp

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"ganglion/listeners"
)

// leftOver leaves the socket file of a process that ended at path.
func leftOver(t *testing.T, path string) {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

func knock(t *testing.T, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return accept(t, ln)
}

func TestUnixStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	leftOver(t, path)
	ln, err := OpenUnix(t.Context(), listeners.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a := knock(t, ln).RemoteAddr().String(); a != path {
		t.Fatalf("remote address %q", a)
	}

	// One that is in use stays.
	_, err = OpenUnix(t.Context(), listeners.Config{Path: path})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), path) {
		t.Fatalf("second listener: %v", err)
	}
	knock(t, ln)
	ln.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("after close: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
}

func TestUnixErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, want string }{
		{"no path", "", "set Path"},
		{"a file", file, "no socket"},
		{"a directory", dir, "no socket"},
		{"no directory", filepath.Join(dir, "none", "s"), "no such file"},
		{"too long", filepath.Join(dir, strings.Repeat("x", 120)), "systems allow"},
	} {
		_, err := OpenUnix(t.Context(), listeners.Config{Path: tc.path})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Fatalf("the file: %q, %v", b, err)
	}
}

// A listener removes its own file, not that of the one that came after it.
func TestUnixCloseAfterReplacement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := OpenUnix(t.Context(), listeners.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil { // keeps the inode from being used again
		t.Fatal(err)
	}
	next, err := OpenUnix(t.Context(), listeners.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	old.Close()
	knock(t, next)
}

func TestUnixMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o660, 0o666} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := UnixOpener(UnixOptions{Mode: mode})(t.Context(), listeners.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != mode {
			t.Fatalf("mode %v, want %v; %v", fi.Mode(), mode, err)
		}
	}
}

// The mode is there from the first moment on.
func TestUnixRestrict(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux gives a socket a mode before it has a path")
	}
	path := filepath.Join(t.TempDir(), "s")
	ln, err := (&net.ListenConfig{Control: restrict(0o600)}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", fi.Mode(), err)
	}
}

func TestUnixAbstract(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux has abstract names")
	}
	name := "@ganglion-" + filepath.Base(t.TempDir()) + t.Name() + "-" + filepath.Base(filepath.Dir(t.TempDir()))
	ln, err := OpenUnix(t.Context(), listeners.Config{Path: name})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a := knock(t, ln).RemoteAddr().String(); a != name {
		t.Fatalf("remote address %q", a)
	}
	if _, err := OpenUnix(t.Context(), listeners.Config{Path: name}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("second listener: %v", err)
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an abstract name has a file: %v", err)
	}
}

// A client whose socket has a name keeps it.
func TestUnixNamedClient(t *testing.T) {
	dir := t.TempDir()
	ln, err := OpenUnix(t.Context(), listeners.Config{Path: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client := &net.UnixAddr{Name: filepath.Join(dir, "client"), Net: "unix"}
	c, err := net.DialUnix("unix", client, ln.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a := accept(t, ln).RemoteAddr().String(); a != client.Name {
		t.Fatalf("remote address %q", a)
	}
}
