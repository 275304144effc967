package fuel_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"ganglion/plugins/fuel"

	"github.com/tetratelabs/wazero"
)

// FuzzRewrite rewrites any bytes at all.
func FuzzRewrite(f *testing.F) {
	for _, g := range runaways() {
		if b := g.bytes(); len(b) < 4096 {
			f.Add(b)
		}
	}
	r, _ := runtime(f, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	f.Fuzz(func(t *testing.T, module []byte) { tryModule(t, r, module) })
}

// FuzzBody rewrites any bytes as the body of a function, in a module with something
// of everything, so that many of them are valid.
func FuzzBody(f *testing.F) {
	for _, g := range runaways() {
		if b := g.funcs[0].code; len(b) < 4096 {
			f.Add(b)
		}
	}
	r, _ := runtime(f, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	f.Fuzz(func(t *testing.T, body []byte) {
		g := guest{
			types: []signature{
				{},
				{params: []byte{i32, i64}, results: []byte{i64}},
				{params: []byte{i32}, results: []byte{i32, i32}},
			},
			funcs: []function{
				{groups: 3, locals: []byte{2, i32, 2, i64, 1, 0x70}, code: body},
				{typ: 1, code: code(0x20, 1)},
				{typ: 2, code: code(0x20, 0, 0x20, 0)},
			},
			memory:  []byte{0, 1},
			table:   []byte{0, 8},
			globals: [][]byte{code(i32, 1, i32c(1), 0x0b), code(0x70, 1, 0xd2, 0, 0x0b)},
			exports: [][]byte{export("a", 0, 1), export("b", 0, 2), export("c", 0, 3)},
			elems:   [][]byte{code(0, i32c(0), 0x0b, 4, 0, 1, 2, 3), code(1, 0, 2, 0, 1)},
			data:    [][]byte{append([]byte{1}, str("data")...)},
			start:   2,
		}
		g.importFunc("env", "f", 0)
		tryModule(t, r, g.bytes())
	})
}

// tryModule checks what holds for all modules: the result is accepted where the
// original is, and only there; it is not much longer; and each call comes back.
func tryModule(t *testing.T, r wazero.Runtime, module []byte) {
	ctx := context.Background()
	o := fuel.Options{Default: 20_000, Host: 100, Grow: 5000, MaxMemoryPages: 4, MaxTable: 100}
	original := bytes.Clone(module)
	out, err := fuel.Rewrite(module, o)
	if !bytes.Equal(original, module) {
		t.Fatal("the module was changed")
	}
	if err != nil {
		// The compiler is not asked about what is refused: some of it makes the
		// compiler allocate gigabytes.
		if !errors.Is(err, fuel.ErrMalformed) && !errors.Is(err, fuel.ErrUnsupported) &&
			!errors.Is(err, fuel.ErrTooBig) && !errors.Is(err, fuel.ErrReserved) {
			t.Fatalf("refused for no known reason: %v", err)
		}
		return
	}
	if len(out) > 16*len(module)+4096 {
		t.Fatalf("%d bytes became %d", len(module), len(out))
	}
	c, perr := r.CompileModule(ctx, module)
	if perr == nil {
		c.Close(ctx)
	}
	c, merr := r.CompileModule(ctx, out)
	if perr != nil && strings.Contains(perr.Error(), "custom section") {
		return // wazero refuses an empty one at the very end, which then isn't at the end
	}
	if (perr == nil) != (merr == nil) {
		t.Fatalf("the original: %v; the result: %v", perr, merr)
	}
	if merr != nil {
		return
	}
	defer c.Close(ctx)
	m, err := r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return // imports that are not there, segments that do not fit
	}
	defer m.Close(ctx)
	for name, d := range c.ExportedFunctions() {
		stack := make([]uint64, 2*max(len(d.ParamTypes()), len(d.ResultTypes())))
		callErr := m.ExportedFunction(name).CallWithStack(ctx, stack)
		if n := remaining(m); n > o.Default || n < 0 && callErr == nil && !strings.HasPrefix(name, fuel.Raw) {
			t.Fatalf("%s: %d units are left of %d, %v", name, n, o.Default, callErr)
		}
	}
}
