package sdk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ganglion/plugins/abi"
	"ganglion/plugins/sdk"
	"ganglion/plugins/sdk/sdktest"
)

// TestNew builds what New writes, outside of the checkout. Go must be there; the
// other languages are left out where their compilers are not.
// builds are how the projects that New makes are built.
var builds = map[string]func(t testing.TB) *exec.Cmd{
	"go": func(t testing.TB) *exec.Cmd {
		c := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", "demo-1.wasm", ".")
		c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		return c
	},
	"c": func(t testing.TB) *exec.Cmd {
		need(t, "clang", "wasm-ld", "make")
		return exec.CommandContext(t.Context(), "make")
	},
	"rust":           rust,
	"assemblyscript": assemblyscript,
}

func TestNew(t *testing.T) {
	for lang, build := range builds {
		t.Run(lang, func(t *testing.T) {
			c := build(t)
			dir := filepath.Join(t.TempDir(), "new", "demo")
			if err := sdk.New(lang, "demo-1", dir); err != nil {
				t.Fatal(err)
			}
			c.Dir = dir
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", c.Args, err, out)
			} else if strings.Contains(strings.ToLower(string(out)), "warning") && lang != "assemblyscript" { // npm warns of itself
				t.Errorf("%v warns: %s", c.Args, out)
			}
			g := sdktest.Compile(t, filepath.Join(dir, "demo-1.wasm")).Load(t, `{}`)
			if g.Manifest.Name != "demo-1" {
				t.Errorf("manifest %+v", g.Manifest)
			}
			r, err := g.Send(abi.Frame{Boundary: abi.Publish, Subject: []byte("demo.a"), Payload: []byte("hello")})
			if got := show(r, err); got != "replace payload=HELLO" {
				t.Errorf("%s", got)
			}
		})
	}
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, "no %s here", p)
		}
	}
}

// rust finds a rustc that has the target: of several, the first in the path may not.
func rust(t testing.TB) *exec.Cmd {
	need(t, "make")
	for _, rustc := range []string{os.Getenv("RUSTC"), "rustc", "/usr/bin/rustc"} {
		if rustc == "" {
			continue
		}
		dir, err := exec.CommandContext(t.Context(), rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
		if err != nil {
			continue
		}
		if _, err := os.Stat(strings.TrimSpace(string(dir))); err == nil {
			return exec.CommandContext(t.Context(), "make", "RUSTC="+rustc)
		}
	}
	missing(t, "no rustc with the target wasm32-unknown-unknown here")
	return nil
}

// assemblyscript takes the compiler that make plugins has installed.
func assemblyscript(t testing.TB) *exec.Cmd {
	need(t, "npm")
	bin, err := filepath.Abs("testdata/node_modules/.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "asc")); err != nil {
		missing(t, "no asc here: make plugins installs it")
	}
	c := exec.CommandContext(t.Context(), "npm", "run", "build")
	c.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return c
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ lang, name, want string }{
		{"cobol", "x", `language "cobol"; use one of assemblyscript, c, go, rust`},
		{"c", "", `name ""`},
		{"c", "../x", `name "../x"`},
		{"c", "1x", `name "1x"`},
		{"c", "x y", `name "x y"`},
		{"c", strings.Repeat("x", 65), "name"},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		if err := sdk.New(tt.lang, tt.name, dir); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: %v", tt.lang, tt.name, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s %s: the directory was made", tt.lang, tt.name)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sdk.New("c", "x", dir); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("over a file: %v", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("something was written: %v", list)
	}
}

// TestWASILibc is what the header promises: it gets along with wasi-libc.
func TestWASILibc(t *testing.T) {
	need(t, "clang", "wasm-ld")
	crt, err := exec.CommandContext(t.Context(), "clang", "--target=wasm32-wasi", "-print-file-name=crt1-reactor.o").Output()
	if err != nil || !filepath.IsAbs(strings.TrimSpace(string(crt))) {
		missing(t, "no wasi-libc here")
	}
	const source = `
#include <stdio.h>
#include <stdlib.h>
#include "ganglion.h"

GG_MANIFEST({"name": "libc", "version": "1", "bindings": [{"boundary": "publish", "subjects": ["a"]}]})

int64_t gg_configure(gg_str config) { (void)config; return GG_WANT_PAYLOAD; }

gg_verdict gg_on_message(gg_message *m) {
	char *p = malloc(100000);
	gg_buf b = {0};
	for (int i = 0; i < 3000; i++) // both take pages in turns
		gg_put(&b, (gg_str){p, (uint32_t)snprintf(p, 100000, "%.*s %d,", (int)m->payload.n, m->payload.p, i)});
	free(p);
	return b.failed ? GG_FAIL : gg_replace_payload(b.s);
}
`
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.c"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-mbulk-memory", "-Wall", "-Wextra", "-Werror", "-Ic",
		"-o", filepath.Join(dir, "libc.wasm"), filepath.Join(dir, "main.c"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := ""
	for i := range 3000 {
		want += fmt.Sprintf("hello %d,", i)
	}
	g := sdktest.Compile(t, filepath.Join(dir, "libc.wasm")).Load(t, `{}`)
	var before uint32
	for i := range 20 {
		r, err := g.Send(abi.Frame{Boundary: abi.Publish, Payload: []byte("hello")})
		if err != nil || string(r.Payload) != want {
			t.Fatalf("%v, %.80q", err, r.Payload)
		}
		if i == 10 {
			before = g.MemorySize()
		}
	}
	if after := g.MemorySize(); after > before {
		t.Errorf("memory grows from %d to %d", before, after)
	}
}

// missing skips a test whose compiler is not there; in CI it must be.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("GANGLION_CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
