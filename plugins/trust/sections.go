package trust

import (
	"encoding/binary"
	"fmt"
)

// magic begins every core module of version 1.
const magic = "\x00asm\x01\x00\x00\x00"

// maxSignatures is how many signatures are looked at: two are one too many.
const maxSignatures = 16

// section is a custom section with a signature.
type section struct {
	start, end int    // in the file, with the bytes that say what it is
	content    []byte // behind its name
}

// signatures returns the sections of that name. It looks at all sections, but
// into custom ones only.
func signatures(module []byte) (list []section, err error) {
	if len(module) < len(magic) || string(module[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin as one does", ErrModule)
	}
	for at := len(magic); at < len(module); {
		start, id := at, module[at]
		size, body, ok := number(module, at+1)
		if !ok || size > len(module)-body {
			return nil, fmt.Errorf("%w: the section at byte %d is cut off", ErrModule, start)
		}
		at = body + size
		if id != 0 {
			continue
		}
		length, name, ok := number(module[:at], body)
		if !ok || length > at-name {
			return nil, fmt.Errorf("%w: the custom section at byte %d has no name", ErrModule, start)
		}
		if string(module[name:name+length]) == Section {
			if len(list) == maxSignatures {
				return nil, fmt.Errorf("%w: there are more than %d; take them out", ErrSignature, maxSignatures)
			}
			list = append(list, section{start, at, module[name+length : at]})
		}
	}
	return list, nil
}

// number reads an unsigned LEB128 of at most 32 bits and five bytes at b[at:].
func number(b []byte, at int) (v, next int, ok bool) {
	n, k := binary.Uvarint(b[at:min(len(b), at+5)])
	if k <= 0 || n > 1<<31-1 {
		return 0, 0, false
	}
	return int(n), at + k, true
}

func appendNumber(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }
