package fuel

import (
	"errors"
	"fmt"
)

// reader reads one section or one body. After the first error it reads zeros and
// stays where it is, so that a caller may look at err once at the end; loops must
// look at it themselves.
type reader struct {
	b   []byte
	off int
	err error
}

// fail remembers the first error, with the offset at which it was found.
func (r *reader) fail(kind error, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s (byte %d)", kind, fmt.Sprintf(format, args...), r.off)
	}
}

var errEnd = errors.New("unexpected end")

func (r *reader) more() bool { return r.err == nil && r.off < len(r.b) }

func (r *reader) byte() byte {
	if !r.more() {
		r.fail(ErrMalformed, "%v", errEnd)
		return 0
	}
	c := r.b[r.off]
	r.off++
	return c
}

// bytes returns the next n bytes; they belong to the module.
func (r *reader) bytes(n uint32) []byte {
	if r.err != nil {
		return nil
	}
	if uint64(n) > uint64(len(r.b)-r.off) {
		r.fail(ErrMalformed, "%d bytes wanted, %d are left", n, len(r.b)-r.off)
		return nil
	}
	s := r.b[r.off : r.off+int(n)]
	r.off += int(n)
	return s
}

// u32 reads an unsigned LEB128 of at most 32 bits; padding within five bytes is
// allowed, as the format does.
func (r *reader) u32() uint32 {
	if r.err == nil && r.off < len(r.b) && r.b[r.off] < 0x80 {
		r.off++
		return uint32(r.b[r.off-1])
	}
	var v uint32
	for shift := 0; ; shift += 7 {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if shift == 28 && c > 0x0f {
			r.fail(ErrMalformed, "number of more than 32 bits")
			return 0
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// signed reads a signed LEB128 of at most bits bits (32, 33 or 64).
func (r *reader) signed(bits int) int64 {
	var v int64
	for shift := 0; ; {
		c := r.byte()
		if r.err != nil {
			return 0
		}
		if left := bits - shift; left < 7 {
			// The last byte: what lies above the sign bit must repeat it.
			top := int8(c<<1) >> left
			if c >= 0x80 || (top != 0 && top != -1) {
				r.fail(ErrMalformed, "number of more than %d bits", bits)
				return 0
			}
		}
		v |= int64(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			if shift < 64 && c&0x40 != 0 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// count reads the length of a vector whose elements take a byte at least; a
// length that cannot fit is an error, so that nobody loops or allocates for it.
func (r *reader) count() int {
	n := r.u32()
	if r.err == nil && uint64(n) > uint64(len(r.b)-r.off) {
		r.fail(ErrMalformed, "%d elements declared in %d bytes", n, len(r.b)-r.off)
		return 0
	}
	return int(n)
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

func (r *reader) valueType() byte {
	t := r.byte()
	switch t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	default:
		r.fail(ErrUnsupported, "value type %#x", t)
	}
	return t
}

func (r *reader) refType() {
	if t := r.byte(); t != 0x70 && t != 0x6f {
		r.fail(ErrUnsupported, "reference type %#x", t)
	}
}

// index reads an index and holds it against the number of things there are in
// the original.
func (r *reader) index(n int, what string) uint32 {
	v := r.u32()
	if uint64(v) >= uint64(n) {
		r.fail(ErrMalformed, "%s %d of %d", what, v, n)
	}
	return v
}

// end reports what is wrong when the reader has not read all there is.
func (r *reader) end(what string) error {
	if r.err == nil && r.off != len(r.b) {
		r.fail(ErrMalformed, "%d bytes too many", len(r.b)-r.off)
	}
	if r.err != nil {
		return fmt.Errorf("%s: %w", what, r.err)
	}
	return nil
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendS64(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

func appendName(b []byte, prefix, name string) []byte {
	b = appendU32(b, uint32(len(prefix)+len(name)))
	b = append(b, prefix...)
	return append(b, name...)
}

// splice copies a section with some of its bytes replaced.
type splice struct {
	src  []byte
	out  []byte
	done int // how much of src stands in out
}

// replace drops src[from:to] and returns the slice to append its successor to;
// the caller stores it back in out.
func (s *splice) replace(from, to int) []byte {
	b := append(s.out, s.src[s.done:from]...)
	s.done = to
	return b
}

// bytes returns the section as it is now; src itself when nothing was replaced.
func (s *splice) bytes() []byte {
	if s.done == 0 && s.out == nil {
		return s.src
	}
	return append(s.out, s.src[s.done:]...)
}
