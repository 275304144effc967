package fuel

// editKind says what is put into a body at one place.
type editKind uint8

const (
	editWeight editKind = iota // charge n
	editLength                 // charge the length on the stack, shifted right by n
	editTimes                  // charge the length on the stack times n, and Options.Host when host is true
	editIndex                  // put the index n in the place of the one that stands there
)

// edit is one change to a body: its bytes from..to make way for what kind says.
type edit struct {
	from, to int
	n        int64
	kind     editKind
	host     bool
}

// bodyScratch is what the rewriting of a body needs, kept for the next one.
type bodyScratch struct {
	edits []edit
	open  []level // the open blocks, the body itself first
	out   []byte
}

// level is one open block. Each instruction belongs to a region, which an edit
// charges for at its beginning.
type level struct {
	base int32 // the region that the block began in, or a loop's own
	now  int32 // the region that stands directly in the block at this point
}

// A region that begins behind a block or with an arm of an if is kept when the one
// it lies in would get bigger than keepAbove with it, and it is keepFrom long itself.
// Without it all arms and all that was jumped over would be paid for: nine times as
// much with Go's compiler, which makes each function a loop around a jump table.
const (
	keepAbove = 64
	keepFrom  = 8
)

// branch begins a region in the innermost block, at a place which all that comes
// after it in the block is reached through.
func (b *bodyScratch) branch(at int) {
	b.settle()
	b.open[len(b.open)-1].now = int32(len(b.edits))
	b.edits = append(b.edits, edit{from: at, to: at})
}

// settle ends the region of the innermost block: a short one is paid for with the
// region that it lies in, which is always entered before.
func (b *bodyScratch) settle() {
	l := &b.open[len(b.open)-1]
	if l.now == l.base {
		return
	}
	base, now := &b.edits[l.base], &b.edits[l.now]
	if now.n < keepFrom || base.n+now.n <= keepAbove {
		base.n += now.n
		now.n = 0
	}
	l.now = l.base
}

func (m *rewriter) code(r *reader) []byte {
	n := r.count()
	if n != len(m.funcs)-m.imported {
		r.fail(ErrMalformed, "%d bodies for %d functions", n, len(m.funcs)-m.imported)
	}
	out := make([]byte, 0, len(r.b)+len(r.b)/4)
	for i := 0; i < n && r.err == nil; i++ {
		size := r.u32()
		at := r.off
		b := &reader{b: r.bytes(size)}
		if r.err != nil {
			break
		}
		m.bodyOf(b, m.params[m.funcs[m.imported+i]])
		if err := b.end("body"); err != nil {
			r.off = at
			r.err = &bodyError{m.imported + i, at, err}
			break
		}
		if m.room -= len(m.body.out) - len(b.b); m.room < 0 {
			r.fail(ErrTooBig, "the rewritten module is more than 16 times as long")
		}
		out = append(appendU32(out, uint32(len(m.body.out))), m.body.out...)
	}
	return out
}

// bodyOf rewrites one body into m.body.out: a first pass finds what has to be
// changed, since a loop's weight is known at its end only.
func (m *rewriter) bodyOf(r *reader, params uint32) {
	groups := r.count()
	declared := r.off
	locals := uint64(params)
	for i := 0; i < groups && r.err == nil; i++ {
		locals += uint64(r.u32())
		r.valueType()
	}
	if locals >= MaxLocals {
		r.fail(ErrTooBig, "%d parameters and locals, %d are allowed", locals, MaxLocals-1)
	}
	if r.err != nil {
		return
	}
	first := r.off
	temporary := m.scan(r, int(locals))
	if r.err != nil {
		return
	}

	out := m.body.out[:0]
	if temporary {
		out = append(appendU32(out, uint32(groups+1)), r.b[declared:first]...)
		out = append(out, 1, 0x7f)
	} else {
		out = append(out, r.b[:first]...)
	}
	done := first
	for i := range m.body.edits {
		e := &m.body.edits[i]
		out = append(out, r.b[done:e.from]...)
		done = e.to
		switch e.kind {
		case editWeight:
			if e.n > 0 {
				out = m.charge(out, e.n)
			}
		case editIndex:
			out = appendU32(out, uint32(e.n))
		default:
			out = m.chargeLength(out, e, uint32(locals))
		}
	}
	m.body.out = append(out, r.b[done:]...)
}

// scan reads the instructions of a body, fills m.body.edits, and reports whether
// a local of ours is needed.
func (m *rewriter) scan(r *reader, locals int) (temporary bool) {
	b := &m.body
	b.edits = append(b.edits[:0], edit{from: r.off, to: r.off, n: int64(locals) + 1})
	b.open = append(b.open[:0], level{})
	for len(b.open) > 0 {
		at := r.off
		op := m.instruction(r, locals)
		if r.err != nil {
			return false
		}
		now := b.open[len(b.open)-1].now
		b.edits[now].n += weight(op)
		switch op {
		case opBlock:
			b.open = append(b.open, level{now, now})
		case opIf:
			b.open = append(b.open, level{now, now})
			b.branch(r.off)
		case opElse:
			b.branch(r.off)
		case opLoop:
			own := int32(len(b.edits))
			b.open = append(b.open, level{own, own})
			b.edits = append(b.edits, edit{from: r.off, to: r.off, n: 1})
		case opEnd:
			b.settle()
			if b.open = b.open[:len(b.open)-1]; len(b.open) > 0 {
				b.branch(r.off)
			}
		case opCall, opReturnCall:
			f := (&reader{b: r.b, off: at + 1}).u32()
			if int(f) < m.imported && m.o.Host > 0 {
				b.edits = append(b.edits, edit{from: at, to: at, n: m.o.Host})
			}
		case opRefFunc:
			f := (&reader{b: r.b, off: at + 1}).u32()
			if g := m.payer(r, f); g != f {
				b.edits = append(b.edits, edit{from: at + 1, to: r.off, n: int64(g), kind: editIndex})
			}
		case opMemoryFill:
			b.edits = append(b.edits, edit{from: at, to: at, n: 2, kind: editLength})
			temporary = true
		case opMemoryCopy, opMemoryInit:
			b.edits = append(b.edits, edit{from: at, to: at, n: 1, kind: editLength})
			temporary = true
		case opTableFill, opTableCopy, opTableInit:
			b.edits = append(b.edits, edit{from: at, to: at, n: 4, kind: editTimes})
			temporary = true
		case opMemoryGrow:
			b.edits = append(b.edits, edit{from: at, to: at, n: m.o.Grow, kind: editTimes, host: true})
			temporary = true
		case opTableGrow:
			b.edits = append(b.edits, edit{from: at, to: at, n: m.o.Grow/8192 + 4, kind: editTimes, host: true})
			temporary = true
		}
	}
	return temporary
}

// charge appends code that takes n from what is left and traps below zero. It
// needs nothing of the stack and leaves it as it is.
func (m *rewriter) charge(b []byte, n int64) []byte {
	b = appendU32(append(b, opGlobalGet), uint32(m.globalsN))
	b = appendS64(append(b, opI64Const), n)
	b = append(b, opI64Sub)
	return m.settle(b)
}

// settle appends code that stores what is left, which lies on the stack, and
// traps when that is below zero.
func (m *rewriter) settle(b []byte) []byte {
	b = appendU32(append(b, opGlobalSet), uint32(m.globalsN))
	b = appendU32(append(b, opGlobalGet), uint32(m.globalsN))
	return append(b, opI64Const, 0, opI64LtS, opIf, 0x40, opUnreachable, opEnd)
}

// chargeLength appends code that charges by the i32 on top of the stack, which it
// keeps in the local t meanwhile and puts back.
func (m *rewriter) chargeLength(b []byte, e *edit, t uint32) []byte {
	b = appendU32(append(b, opLocalSet), t)
	b = appendU32(append(b, opGlobalGet), uint32(m.globalsN))
	b = appendU32(append(b, opLocalGet), t)
	b = append(b, opI64ExtendI32U)
	b = appendS64(append(b, opI64Const), e.n)
	if e.kind == editLength {
		b = append(b, opI64ShrU)
	} else {
		b = append(b, opI64Mul)
	}
	if e.host && m.o.Host > 0 {
		b = appendS64(append(b, opI64Const), m.o.Host)
		b = append(b, opI64Add)
	}
	b = m.settle(append(b, opI64Sub))
	return appendU32(append(b, opLocalGet), t)
}
