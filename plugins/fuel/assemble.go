package fuel

// extra is a function of ours. One with a budget refills and calls the target,
// one without pays for a call of an imported function.
type extra struct {
	target uint32
	budget int64 // 0: charge Options.Host
	typ    uint32
}

// extraKey finds a function that exists already: one for each target and budget.
type extraKey struct {
	target uint32
	budget int64
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// payer returns the function that stands for f where it is not called by its
// index: f itself, or for an imported function one that pays for the call.
func (m *rewriter) payer(r *reader, f uint32) uint32 {
	if int(f) >= m.imported || m.o.Host == 0 {
		return f
	}
	return m.add(r, f, f, 0)
}

// add returns the index of the function of ours that calls target, which has the
// type of the function like.
func (m *rewriter) add(r *reader, like, target uint32, budget int64) uint32 {
	key := extraKey{target, budget}
	if i, ok := m.extraOf[key]; ok {
		return i
	}
	if m.extraOf == nil {
		m.extraOf = map[extraKey]uint32{}
	}
	typ := m.funcs[like]
	// Counted generously: locals take up to 4 bytes, all the rest less than 64.
	if m.room -= 64 + 4*int(m.params[typ]); m.room < 0 {
		r.fail(ErrTooBig, "the rewritten module is more than 16 times as long")
		return 0
	}
	i := uint32(len(m.funcs) + len(m.extra))
	m.extra = append(m.extra, extra{target: target, budget: budget, typ: typ})
	m.extraOf[key] = i
	return i
}

// extraBody appends the code of e, its length first.
func (m *rewriter) extraBody(b []byte, e extra) []byte {
	code := m.body.out[:0]
	code = append(code, 0) // no locals
	if e.budget > 0 {
		code = appendS64(append(code, opI64Const), e.budget)
		code = appendU32(append(code, opGlobalSet), uint32(m.globalsN))
	} else {
		code = m.charge(code, m.o.Host)
	}
	for i := range m.params[e.typ] {
		code = appendU32(append(code, opLocalGet), i)
	}
	code = appendU32(append(code, opCall), e.target)
	code = append(code, opEnd)
	m.body.out = code
	return append(appendU32(b, uint32(len(code))), code...)
}

// wrapExports returns the export section: functions refill, each of them has a
// second export that does not, and the global and the start function are added.
func (m *rewriter) wrapExports(r *reader) []byte {
	var list []export
	for i, e := range m.exported {
		if e.kind == 0 {
			inner := m.payer(r, e.index)
			m.exported[i].index = m.add(r, e.index, inner, m.o.limit(e.name))
			if m.room -= len(Raw) + len(e.name) + 16; m.room < 0 {
				r.fail(ErrTooBig, "the rewritten module is more than 16 times as long")
			}
			list = append(list, export{Raw + e.name, 0, inner})
		}
		if r.err != nil {
			return nil
		}
	}
	if m.startFunc >= 0 {
		f := uint32(m.startFunc)
		list = append(list, export{Start, 0, m.add(r, f, m.payer(r, f), m.o.limit(Start))})
	}
	list = append(list, export{Global, 3, uint32(m.globalsN)})

	b := appendU32(nil, uint32(len(m.exported)+len(list)))
	for _, part := range [][]export{m.exported, list} {
		for _, e := range part {
			b = appendName(b, "", e.name)
			b = appendU32(append(b, e.kind), e.index)
		}
	}
	return b
}

// assemble puts the module together again, with what is ours appended.
func (m *rewriter) assemble() ([]byte, error) {
	if m.section[secCode] == nil && len(m.funcs) > m.imported {
		r := &reader{}
		r.fail(ErrMalformed, "functions without bodies")
		return nil, r.err
	}
	r := &reader{}
	m.section[secExport] = m.wrapExports(r)
	if r.err != nil {
		return nil, r.err
	}

	global := appendS64([]byte{0x7e, 1, opI64Const}, m.o.Default)
	m.section[secGlobal] = grow(m.section[secGlobal], 1, append(global, opEnd))
	if len(m.extra) > 0 {
		var types []byte
		for _, e := range m.extra {
			types = appendU32(types, e.typ)
		}
		m.section[secFunction] = grow(m.section[secFunction], len(m.extra), types)
	}
	// The code section was rewritten without its count.
	own := len(m.funcs) - m.imported
	if code := m.section[secCode]; code != nil || len(m.extra) > 0 {
		for _, e := range m.extra {
			code = m.extraBody(code, e)
		}
		m.section[secCode] = append(appendU32(nil, uint32(own+len(m.extra))), code...)
	}

	size := len(header)
	for _, s := range m.section {
		size += len(s) + 6
	}
	for _, c := range m.custom {
		size += len(c.raw)
	}
	out := append(make([]byte, 0, size), header...)
	customs := m.custom
	behind := func(id byte) {
		for len(customs) > 0 && customs[0].after == id {
			out = append(out, customs[0].raw...)
			customs = customs[1:]
		}
	}
	behind(secCustom)
	for _, id := range order {
		if s := m.section[id]; s != nil {
			out = appendU32(append(out, id), uint32(len(s)))
			out = append(out, s...)
		}
		behind(id)
	}
	return out, nil
}

// grow returns a vector with n more elements, whose bytes are added.
func grow(vector []byte, n int, added []byte) []byte {
	r := &reader{b: vector}
	if vector != nil {
		n += int(r.u32())
	}
	b := make([]byte, 0, len(vector)+len(added)+5)
	b = appendU32(b, uint32(n))
	b = append(b, vector[r.off:]...)
	return append(b, added...)
}
