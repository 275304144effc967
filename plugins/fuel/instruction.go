package fuel

import "fmt"

// bodyError says in which function something is wrong.
type bodyError struct {
	function int
	offset   int // of the body in the code section
	err      error
}

func (e *bodyError) Error() string {
	return fmt.Sprintf("function %d (byte %d of the section): %v", e.function, e.offset, e.err)
}

func (e *bodyError) Unwrap() error { return e.err }

// instruction reads one instruction with all that follows its opcode, holds each
// index against the counts of the original, and returns the opcode; one with a
// prefix as prefix<<8 | code.
func (m *rewriter) instruction(r *reader, locals int) uint16 {
	b := r.byte()
	op, follows := uint16(b), immediate(b)
	if b == 0xfc || b == 0xfd {
		code := m.subOpcode(r, b)
		op = op<<8 | uint16(code)
		if follows = immediateFD(code); b == 0xfc {
			follows = immediateFC(code)
		}
	}
	switch follows {
	case immNone:
	case immBlock:
		m.blockType(r)
	case immLabel:
		r.index(len(m.body.open), "label")
	case immLabels:
		for n := r.count(); n >= 0 && r.err == nil; n-- { // and the default
			r.index(len(m.body.open), "label")
		}
	case immFunc, immFuncRef:
		r.index(len(m.funcs), "function")
	case immIndirect:
		r.index(len(m.params), "type")
		r.index(m.tablesN, "table")
	case immLocal:
		r.index(locals, "local")
	case immGlobal:
		r.index(m.globalsN, "global")
	case immTable:
		r.index(m.tablesN, "table")
	case immTypes:
		for n := r.count(); n > 0 && r.err == nil; n-- {
			r.valueType()
		}
	case immMemArg:
		m.memArg(r)
	case immMemLane:
		m.memArg(r)
		r.byte()
	case immMemory:
		r.index(m.memoriesN, "memory")
	case immI32:
		r.signed(32)
	case immI64:
		r.signed(64)
	case immF32:
		r.bytes(4)
	case immF64:
		r.bytes(8)
	case immRefType:
		r.refType()
	case immLane:
		r.byte()
	case immBytes:
		r.bytes(16)
	case immData:
		r.index(m.datasN, "data segment")
	case immElem:
		r.index(m.elemsN, "element segment")
	case immMemInit:
		r.index(m.datasN, "data segment")
		r.index(m.memoriesN, "memory")
	case immMemCopy:
		r.index(m.memoriesN, "memory")
		r.index(m.memoriesN, "memory")
	case immTabInit:
		r.index(m.elemsN, "element segment")
		r.index(m.tablesN, "table")
	case immTabCopy:
		r.index(m.tablesN, "table")
		r.index(m.tablesN, "table")
	default:
		r.fail(ErrUnsupported, "instruction %#x", op)
	}
	return op
}

// subOpcode reads what follows a prefix. Each code that is known is below 256 and
// is written in as few bytes as it needs; other forms of it are refused, because
// readers differ in what they make of them.
func (m *rewriter) subOpcode(r *reader, prefix byte) byte {
	at := r.off
	code := r.u32()
	short := 1
	if code >= 0x80 {
		short = 2
	}
	if code > 0xff || r.err == nil && r.off-at != short {
		r.fail(ErrUnsupported, "instruction %#x %#x, written in %d bytes", prefix, code, r.off-at)
	}
	return byte(code)
}

func (m *rewriter) blockType(r *reader) {
	if !r.more() {
		r.byte()
		return
	}
	switch r.b[r.off] {
	case 0x40:
		r.off++
		return
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
		r.off++
		return
	}
	if t := r.signed(33); r.err == nil && (t < 0 || t >= int64(len(m.params))) {
		r.fail(ErrUnsupported, "block type %d of %d types", t, len(m.params))
	}
}

func (m *rewriter) memArg(r *reader) {
	// Bit 6 of the alignment would announce the index of a memory.
	if align := r.u32(); align >= 32 {
		r.fail(ErrUnsupported, "alignment 2^%d", align)
	}
	r.u32()
	if m.memoriesN == 0 {
		r.fail(ErrMalformed, "memory is used, there is none")
	}
}
