package subject

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"unicode/utf8"
)

// part makes one token of a destination, or several.
type part struct {
	op    op
	whole bool   // partition hashes the whole subject
	tok   int    // token of the subject that it is about; for opRest the first
	n     int    // N, position, size or length
	text  string // literal tokens, or a delimiter
	toks  []int  // tokens to hash
}

// append appends what p makes of subj, whose tokens are toks.
func (p *part) append(dst, subj []byte, toks []span) []byte {
	switch p.op {
	case opText:
		return append(dst, p.text...)
	case opRest:
		return append(dst, subj[toks[min(p.tok, len(toks)-1)].start:]...)
	case opPartition:
		return strconv.AppendUint(dst, uint64(p.partition(subj, toks)), 10)
	case opRandom:
		if p.n <= 0 {
			return append(dst, '0')
		}
		return strconv.AppendUint(dst, uint64(rand.Uint32N(uint32(p.n))), 10)
	}
	tok := token(subj, toks, p.tok)
	cut := p.n
	switch p.op {
	case opSplit:
		return appendSplit(dst, tok, p.text)
	case opSliceFromLeft, opSliceFromRight:
		return appendSlices(dst, tok, p.n, p.op == opSliceFromRight)
	case opSplitFromRight, opRight:
		cut = len(tok) - p.n
	}
	if p.op == opToken || cut <= 0 || cut >= len(tok) {
		return append(dst, tok...)
	}
	switch p.op {
	case opLeft:
		return append(dst, tok[:cut]...)
	case opRight:
		return append(dst, tok[cut:]...)
	}
	dst = append(dst, tok[:cut]...)
	dst = append(dst, '.')
	return append(dst, tok[cut:]...)
}

func token(subj []byte, toks []span, i int) []byte {
	if i >= len(toks) {
		return nil
	}
	return subj[toks[i].start:toks[i].end]
}

// partition hashes with FNV-1a 32.
func (p *part) partition(subj []byte, toks []span) uint32 {
	const offset = 2166136261
	h := uint32(offset)
	if p.whole {
		h = fnv1a(h, subj)
	}
	for _, i := range p.toks {
		h = fnv1a(h, token(subj, toks, i))
	}
	if p.n == 0 {
		return 0
	}
	return h % uint32(p.n)
}

func fnv1a(h uint32, b []byte) uint32 {
	const prime = 16777619
	for _, c := range b {
		h = (h ^ uint32(c)) * prime
	}
	return h
}

// appendSplit appends the pieces of tok between delimiters; "" splits at every
// character. Empty pieces vanish; a token without any others stays whole.
func appendSplit(dst, tok []byte, delim string) []byte {
	begin, rest := len(dst), tok
	for len(rest) > 0 {
		end, next := len(rest), len(rest)
		if delim == "" {
			_, end = utf8.DecodeRune(rest)
			next = end
		} else if i := indexString(rest, delim); i >= 0 {
			end, next = i, i+len(delim)
		}
		if end > 0 {
			if len(dst) > begin {
				dst = append(dst, '.')
			}
			dst = append(dst, rest[:end]...)
		}
		rest = rest[next:]
	}
	if len(dst) == begin {
		return append(dst, tok...)
	}
	return dst
}

// indexString is bytes.Index without converting sep.
func indexString(b []byte, sep string) int {
	for i := 0; i+len(sep) <= len(b); i++ {
		j := bytes.IndexByte(b[i:], sep[0])
		if j < 0 || i+j+len(sep) > len(b) {
			return -1
		}
		i += j
		if string(b[i:i+len(sep)]) == sep {
			return i
		}
	}
	return -1
}

// appendSlices appends tok in pieces of size bytes; the odd one is the last, or
// fromRight the first.
func appendSlices(dst, tok []byte, size int, fromRight bool) []byte {
	if size <= 0 || size >= len(tok) {
		return append(dst, tok...)
	}
	end := size
	if odd := len(tok) % size; fromRight && odd > 0 {
		end = odd
	}
	for {
		dst = append(dst, tok[:end]...)
		if tok = tok[end:]; len(tok) == 0 {
			return dst
		}
		dst = append(dst, '.')
		end = min(size, len(tok))
	}
}
