package fuel

import (
	"math"
	"strings"
)

// Section ids of the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	sections
)

// order is the order in which sections must stand; a custom section may stand anywhere.
var order = [...]byte{
	secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart,
	secElement, secDataCount, secCode, secData,
}

const header = "\x00asm\x01\x00\x00\x00"

// rewriter holds what one call of Rewrite knows about the module. All counts are
// the original's.
type rewriter struct {
	o       Options
	section [sections][]byte // contents; nil when there is none
	custom  []custom         // in the order of the module

	params    []uint32 // parameters of each type
	results   []uint32 // results of each type
	funcs     []uint32 // the type of each function, imports first
	imported  int      // how many of those are imported
	globalsN  int
	tablesN   int
	memoriesN int
	elemsN    int
	datasN    int // as the data count section says
	startFunc int // -1: none

	extra    []extra // functions of ours, appended to the module's
	extraOf  map[extraKey]uint32
	room     int // how many bytes may still be added
	exported []export
	body     bodyScratch
}

// custom is a custom section, with its header, and the section it stands behind.
type custom struct {
	after byte
	raw   []byte
}

func rank(id byte) int {
	for i, o := range order {
		if o == id {
			return i
		}
	}
	return -1
}

// split finds the sections of the module.
func (m *rewriter) split(module []byte) error {
	m.startFunc = -1
	r := &reader{b: module}
	if len(module) < len(header) || string(r.bytes(uint32(len(header)))) != header {
		r.off = 0
		r.fail(ErrMalformed, "not a core module of version 1")
	}
	last := byte(secCustom)
	for r.more() {
		at := r.off
		id := r.byte()
		size := r.u32()
		b := r.bytes(size)
		if r.err != nil {
			break
		}
		if id == secCustom {
			c := &reader{b: b}
			name := c.name()
			if c.err != nil {
				r.fail(ErrMalformed, "name of a custom section: %v", c.err)
				break
			}
			if !strings.HasPrefix(name, ".debug_") && !strings.HasPrefix(name, "metadata.code.") {
				m.custom = append(m.custom, custom{last, module[at:r.off]})
			}
			continue
		}
		switch {
		case rank(id) < 0:
			r.fail(ErrUnsupported, "section %d", id)
		case last != secCustom && rank(id) <= rank(last):
			r.fail(ErrMalformed, "section %d behind section %d", id, last)
		default:
			m.section[id], last = b, id
		}
	}
	return r.end("module")
}

func (m *rewriter) types(r *reader) []byte {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		if form := r.byte(); form != 0x60 {
			r.fail(ErrUnsupported, "type of form %#x", form)
		}
		params := r.count()
		for i := 0; i < params && r.err == nil; i++ {
			r.valueType()
		}
		results := r.count()
		for i := 0; i < results && r.err == nil; i++ {
			r.valueType()
		}
		if params > MaxLocals {
			r.fail(ErrTooBig, "%d parameters, more than %d", params, MaxLocals)
		}
		m.params = append(m.params, uint32(params))
		m.results = append(m.results, uint32(results))
	}
	return r.b
}

func (m *rewriter) imports(r *reader) []byte {
	s := &splice{src: r.b}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		r.bytes(r.u32())
		r.bytes(r.u32())
		switch kind := r.byte(); kind {
		case 0:
			m.funcs = append(m.funcs, r.index(len(m.params), "type"))
			m.imported++
		case 1:
			m.table(r, s)
		case 2:
			m.memory(r, s)
		case 3:
			r.valueType()
			r.byte()
			m.globalsN++
		default:
			r.fail(ErrUnsupported, "import of kind %d", kind)
		}
	}
	return s.bytes()
}

func (m *rewriter) functions(r *reader) []byte {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		m.funcs = append(m.funcs, r.index(len(m.params), "type"))
	}
	return r.b
}

func (m *rewriter) tables(r *reader) []byte {
	s := &splice{src: r.b}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		m.table(r, s)
	}
	return s.bytes()
}

func (m *rewriter) table(r *reader, s *splice) {
	r.refType()
	m.limits(r, s, m.o.MaxTable, math.MaxUint32, "a table", "elements")
	m.tablesN++
}

func (m *rewriter) memories(r *reader) []byte {
	s := &splice{src: r.b}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		m.memory(r, s)
	}
	return s.bytes()
}

func (m *rewriter) memory(r *reader, s *splice) {
	m.limits(r, s, m.o.MaxMemoryPages, 65536, "a memory", "pages")
	if m.memoriesN++; m.memoriesN > 1 {
		r.fail(ErrUnsupported, "more than one memory")
	}
}

// limits reads a minimum and perhaps a maximum, of which none may be above the
// format's own bound, and lowers the latter to most.
func (m *rewriter) limits(r *reader, s *splice, most, bound uint32, what, unit string) {
	at := r.off
	flags := r.byte()
	if flags > 1 {
		r.fail(ErrUnsupported, "limits with flags %#x (shared or 64-bit)", flags)
	}
	least := r.u32()
	top := bound
	if flags == 1 {
		top = r.u32()
	}
	if least > top || top > bound {
		r.fail(ErrMalformed, "%s of %d to %d %s", what, least, top, unit)
	}
	if most == 0 || r.err != nil {
		return
	}
	if least > most {
		r.fail(ErrTooBig, "%s of %d %s at the start, more than %d", what, least, unit, most)
		return
	}
	if flags == 0 || top > most {
		s.out = appendU32(appendU32(append(s.replace(at, r.off), 1), least), most)
	}
}

func (m *rewriter) globals(r *reader) []byte {
	s := &splice{src: r.b}
	n := r.count()
	m.globalsN += n // which of them a constant may name is for the compiler to say
	for ; n > 0 && r.err == nil; n-- {
		r.valueType()
		r.byte()
		m.constant(r, s)
	}
	return s.bytes()
}

func (m *rewriter) exports(r *reader) []byte {
	for n := r.count(); n > 0 && r.err == nil; n-- {
		e := export{name: r.name(), kind: r.byte()}
		switch e.kind {
		case 0:
			e.index = r.index(len(m.funcs), "function")
		case 1:
			e.index = r.index(m.tablesN, "table")
		case 2:
			e.index = r.index(m.memoriesN, "memory")
		case 3:
			e.index = r.index(m.globalsN, "global")
		default:
			r.fail(ErrUnsupported, "export of kind %d", e.kind)
		}
		if strings.HasPrefix(e.name, reserved) {
			r.fail(ErrReserved, "an export is called %.80q", e.name)
		}
		if r.err == nil {
			m.exported = append(m.exported, e)
		}
	}
	return r.b
}

func (m *rewriter) start(r *reader) []byte {
	m.startFunc = int(r.index(len(m.funcs), "function"))
	if r.err == nil {
		if t := m.funcs[m.startFunc]; m.params[t] != 0 || m.results[t] != 0 {
			r.fail(ErrMalformed, "a start function with %d parameters and %d results", m.params[t], m.results[t])
		}
	}
	return nil
}

func (m *rewriter) elements(r *reader) []byte {
	s := &splice{src: r.b}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		flags := r.u32()
		if flags > 7 {
			r.fail(ErrUnsupported, "element segment with flags %#x", flags)
		}
		passive, explicit, exprs := flags&1 != 0, flags&2 != 0, flags&4 != 0
		if !passive {
			if explicit {
				r.index(m.tablesN, "table")
			} else if m.tablesN == 0 {
				r.fail(ErrMalformed, "an element segment without a table")
			}
			m.constant(r, s)
		}
		if passive || explicit {
			if exprs {
				r.refType()
			} else if kind := r.byte(); kind != 0 {
				r.fail(ErrUnsupported, "elements of kind %d", kind)
			}
		}
		for i := r.count(); i > 0 && r.err == nil; i-- {
			if exprs {
				m.constant(r, s)
			} else {
				m.reference(r, s)
			}
		}
		m.elemsN++
	}
	return s.bytes()
}

// reference reads the index of a function that is not called, and puts the one
// in its place that stands for it.
func (m *rewriter) reference(r *reader, s *splice) {
	at := r.off
	f := r.index(len(m.funcs), "function")
	if r.err != nil {
		return
	}
	if g := m.payer(r, f); g != f {
		s.out = appendU32(s.replace(at, r.off), g)
	}
}

// constant reads a constant expression.
func (m *rewriter) constant(r *reader, s *splice) {
	for r.err == nil {
		switch op := r.byte(); op {
		case opEnd:
			return
		case 0x41:
			r.signed(32)
		case opI64Const:
			r.signed(64)
		case 0x43:
			r.bytes(4)
		case 0x44:
			r.bytes(8)
		case 0xfd:
			if code := r.byte(); code != 12 {
				r.fail(ErrUnsupported, "instruction 0xfd %#x in a constant", code)
			}
			r.bytes(16)
		case opGlobalGet:
			r.index(m.globalsN, "global")
		case 0xd0:
			r.refType()
		case 0xd2:
			m.reference(r, s)
		case 0x6a, 0x6b, 0x6c, opI64Add, opI64Sub, opI64Mul:
		default:
			r.fail(ErrUnsupported, "instruction %#x in a constant", op)
		}
	}
}

func (m *rewriter) dataCount(r *reader) []byte {
	m.datasN = int(r.u32())
	return r.b
}

func (m *rewriter) data(r *reader) []byte {
	s := &splice{src: r.b}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		flags := r.u32()
		if flags > 2 {
			r.fail(ErrUnsupported, "data segment with flags %#x", flags)
		}
		if flags == 2 {
			r.index(m.memoriesN, "memory")
		}
		if flags != 1 {
			m.constant(r, s)
		}
		r.bytes(r.u32())
	}
	return s.bytes()
}
