package fuel_test

import "slices"

// A module is assembled from bytes by these few functions.

type signature struct{ params, results []byte }

type function struct {
	typ    int
	locals []byte // groups: count, type
	groups int
	code   []byte // without the last end
}

type guest struct {
	types    []signature
	imports  []byte // each import as it is encoded
	imported int
	funcs    []function
	table    []byte // limits
	memory   []byte // limits
	globals  [][]byte
	exports  [][]byte
	start    int // 0: none, else the function and 1
	elems    [][]byte
	data     [][]byte
	custom   []byte // sections that go first
	tail     []byte // sections that go last
}

const (
	i32 = 0x7f
	i64 = 0x7e
)

func leb(v int) []byte {
	var b []byte
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// sleb is a signed number.
func sleb(v int64) []byte {
	var b []byte
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func str(s string) []byte { return append(leb(len(s)), s...) }

func vec(items ...[]byte) []byte { return append(leb(len(items)), slices.Concat(items...)...) }

func section(id byte, b []byte) []byte {
	return slices.Concat([]byte{id}, leb(len(b)), b)
}

func customSection(name, content string) []byte {
	return section(0, append(str(name), content...))
}

func export(name string, kind byte, index int) []byte {
	return slices.Concat(str(name), []byte{kind}, leb(index))
}

// code joins opcodes and operands: an int is a byte, a []byte stands as it is.
func code(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

// i32c is i32.const v.
func i32c(v int64) []byte { return append([]byte{0x41}, sleb(v)...) }

func (g guest) bytes() []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = append(b, g.custom...)
	var types, decl, bodies [][]byte
	for _, t := range g.types {
		types = append(types, slices.Concat([]byte{0x60}, leb(len(t.params)), t.params, leb(len(t.results)), t.results))
	}
	for _, f := range g.funcs {
		decl = append(decl, leb(f.typ))
		body := slices.Concat(leb(f.groups), f.locals, f.code, []byte{0x0b})
		bodies = append(bodies, slices.Concat(leb(len(body)), body))
	}
	add := func(id byte, items [][]byte) {
		if len(items) > 0 {
			b = append(b, section(id, vec(items...))...)
		}
	}
	add(1, types)
	if g.imported > 0 {
		b = append(b, section(2, append(leb(g.imported), g.imports...))...)
	}
	add(3, decl)
	if g.table != nil {
		add(4, [][]byte{append([]byte{0x70}, g.table...)})
	}
	if g.memory != nil {
		add(5, [][]byte{g.memory})
	}
	add(6, g.globals)
	add(7, g.exports)
	if g.start > 0 {
		b = append(b, section(8, leb(g.start-1))...)
	}
	add(9, g.elems)
	if len(g.data) > 0 {
		b = append(b, section(12, leb(len(g.data)))...)
	}
	add(10, bodies)
	add(11, g.data)
	return append(b, g.tail...)
}

// importFunc adds the import of a function, which gets the next index.
func (g *guest) importFunc(module, name string, typ int) {
	g.imports = append(g.imports, slices.Concat(str(module), str(name), []byte{0}, leb(typ))...)
	g.imported++
}

// run is a guest with one function "run", of type () -> ().
func run(body ...any) guest {
	return guest{
		types:   []signature{{}},
		funcs:   []function{{code: code(body...)}},
		memory:  []byte{0, 1},
		exports: [][]byte{export("run", 0, 0)},
	}
}
