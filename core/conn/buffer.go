package conn

// Buffer is bytes staged for one connection: own bytes, with borrowed pieces in
// between for payloads that are too large to be copied before it is known that
// they must wait. The zero value is empty.
type Buffer struct {
	b    []byte
	refs []ref
	held int // bytes in refs

	head   [maxFrameHead]byte // of the frame that x becomes
	packed bool               // x is deflate blocks
	raw    bool               // x goes out without a frame
}

// ref is a borrowed piece that stands in front of b[at:].
type ref struct {
	at int
	p  []byte
}

// Len returns the number of bytes in x.
func (x *Buffer) Len() int { return len(x.b) + x.held }

// Mark returns a position for Cut: how far the own bytes and the pieces reach.
func (x *Buffer) Mark() (own, pieces int) { return len(x.b), len(x.refs) }

// Reserve returns the own bytes with room for n more. The caller appends up to
// n bytes to the slice and hands it to Set.
func (x *Buffer) Reserve(n int) []byte {
	if cap(x.b)-len(x.b) < n {
		x.grow(n)
	}
	return x.b
}

// Set takes the slice of Reserve back, with what was appended to it.
func (x *Buffer) Set(b []byte) { x.b = b }

func (x *Buffer) grow(n int) {
	want := max(len(x.b)+n, min(4*cap(x.b), size1M))
	b := getBuf(want)
	b = append(b, x.b...)
	if x.b != nil {
		putBuf(x.b)
	}
	x.b = b
}

// Append copies p to the end of x.
func (x *Buffer) Append(p []byte) { x.b = append(x.Reserve(len(p)), p...) }

// AppendString copies s to the end of x.
func (x *Buffer) AppendString(s string) { x.b = append(x.Reserve(len(s)), s...) }

// blockEnd is the header of an empty stored block of deflate (RFC 1951, 3.2.4).
var blockEnd = []byte{0}

// maxBlock is how much a stored block holds.
const maxBlock = 1<<16 - 1

// AppendBlock copies each of p to the end of x as stored blocks of deflate.
func (x *Buffer) AppendBlock(p ...[]byte) {
	x.packed = true
	for _, q := range p {
		for len(q) > 0 {
			n := min(len(q), maxBlock)
			b := x.Reserve(n + 5)
			b = append(b, 0, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
			x.b = append(b, q[:n]...)
			q = q[n:]
		}
	}
}

// AppendBlocks copies p, whole blocks of deflate that refer to nothing in front
// of them, to the end of x.
func (x *Buffer) AppendBlocks(p []byte) {
	x.packed = true
	x.Append(p)
}

// Borrow puts p at the end of x without copying it. p must stay untouched until
// x was sent or reset.
func (x *Buffer) Borrow(p []byte) {
	x.refs = append(x.refs, ref{len(x.b), p})
	x.held += len(p)
}

// prependMove is up to how many bytes it is cheaper to move them behind a header
// than to have the kernel gather two pieces.
const prependMove = 4 << 10

// prepend puts p, a header that stays untouched until x was sent, in front of x.
func (x *Buffer) prepend(p []byte) {
	if n := len(x.b); len(x.refs) == 0 && n <= prependMove {
		b := append(x.Reserve(len(p)), p...)
		copy(b[len(p):], b[:n])
		copy(b, p)
		x.b = b
		return
	}
	x.refs = append(x.refs, ref{})
	copy(x.refs[1:], x.refs)
	x.refs[0] = ref{0, p}
	x.held += len(p)
}

// Borrows reports whether x holds borrowed pieces.
func (x *Buffer) Borrows() bool { return len(x.refs) > 0 }

// AppendRange copies the part of y between two marks to the end of x; pieces
// stay borrowed.
func (x *Buffer) AppendRange(y *Buffer, own0, pieces0, own1, pieces1 int) {
	at := own0
	for _, r := range y.refs[pieces0:pieces1] {
		x.Append(y.b[at:r.at])
		x.Borrow(r.p)
		at = r.at
	}
	x.Append(y.b[at:own1])
}

// Bytes appends all of x to dst.
func (x *Buffer) Bytes(dst []byte) []byte {
	at := 0
	for _, r := range x.refs {
		dst = append(dst, x.b[at:r.at]...)
		dst = append(dst, r.p...)
		at = r.at
	}
	return append(dst, x.b[at:]...)
}

// Swap exchanges the contents of x and y.
func (x *Buffer) Swap(y *Buffer) {
	y.packed, y.raw = x.packed, x.raw
	*x, *y = *y, *x
}

// Reset empties x. It keeps the memory for own bytes up to keep bytes.
func (x *Buffer) Reset(keep int) {
	clear(x.refs)
	x.refs, x.held = x.refs[:0], 0
	x.packed, x.raw = false, false
	if cap(x.b) > keep {
		putBuf(x.b)
		x.b = nil
	}
	x.b = x.b[:0]
}

// Cap returns the size of the memory that x holds for own bytes.
func (x *Buffer) Cap() int { return cap(x.b) }

// pieces calls f with each run of x behind the first skip bytes.
func (x *Buffer) pieces(skip int, f func(p []byte)) {
	emit := func(p []byte) {
		if skip >= len(p) {
			skip -= len(p)
			return
		}
		f(p[skip:])
		skip = 0
	}
	at := 0
	for _, r := range x.refs {
		emit(x.b[at:r.at])
		emit(r.p)
		at = r.at
	}
	emit(x.b[at:])
}
