package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep a payload's arrays and objects may lie in each other.
const maxDepth = 200

// checker reads JSON and checks it on the way. It makes no values of it: a plugin has
// limits on work and memory, and payloads may be large.
type checker struct {
	b    []byte
	i    int
	path []byte // where it is, as "/list/3"
	why  string // what is wrong, the first time
}

// document checks all of b and says why it doesn't fit, or "".
func (c *checker) document(s *schema) string {
	if c.value(s, 0) {
		if c.space(); c.i < len(c.b) {
			c.broken()
		}
	}
	return c.why
}

// broken says that it is no JSON, or ends too early.
func (c *checker) broken() bool {
	c.why = "the payload is no JSON: it ends too early"
	if c.i < len(c.b) {
		c.why = fmt.Sprintf("the payload is no JSON: unexpected %q at byte %d", c.b[c.i], c.i)
	}
	return false
}

// misfit says what is wrong with the value at path.
func (c *checker) misfit(format string, args ...any) bool {
	at := string(c.path)
	if at == "" {
		at = "the payload"
	}
	c.why = at + ": " + fmt.Sprintf(format, args...)
	return false
}

// anything is the schema where none is.
var anything = &schema{}

// value checks the value that is next, and reads it. It returns false when something
// is wrong.
func (c *checker) value(s *schema, depth int) bool {
	if s == nil {
		s = anything
	}
	first := c.space()
	if depth > maxDepth {
		return c.misfit("is deeper than %d", maxDepth)
	}
	if s.never {
		return c.misfit("must not be there")
	}
	start := c.i
	switch first {
	case '{':
		if !c.typed(s, "object") || !c.object(s, depth) {
			return false
		}
	case '[':
		if !c.typed(s, "array") || !c.array(s, depth) {
			return false
		}
	case '"':
		if !c.typed(s, "string") || !c.text(s) {
			return false
		}
	case 't':
		if !c.literal("true") || !c.typed(s, "boolean") {
			return false
		}
	case 'f':
		if !c.literal("false") || !c.typed(s, "boolean") {
			return false
		}
	case 'n':
		if !c.literal("null") || !c.typed(s, "null") {
			return false
		}
	default:
		if !c.number(s) {
			return false
		}
	}
	return s.Enum == nil && s.Const == nil || c.oneOf(s, c.b[start:c.i])
}

func (c *checker) typed(s *schema, t string) bool {
	return s.allows(t) || c.misfit("is of type %s, not %s", t, s.Type[0])
}

// oneOf checks a value against enum and const.
func (c *checker) oneOf(s *schema, text []byte) bool {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return c.misfit("%v", err)
	}
	if s.Enum != nil && !slices.ContainsFunc(s.Enum, func(e any) bool { return reflect.DeepEqual(e, v) }) {
		return c.misfit("is none of the values that it may be")
	}
	if s.Const != nil && !reflect.DeepEqual(*s.Const, v) {
		return c.misfit("is not the one value that it may be")
	}
	return true
}

func (c *checker) array(s *schema, depth int) bool {
	length := len(c.path)
	n := 0
	c.i++
	if c.space() == ']' {
		c.i++
	} else {
		for more := true; more; n++ {
			c.path = strconv.AppendInt(append(c.path[:length], '/'), int64(n), 10)
			if !c.value(s.Items, depth+1) || !c.next(']', &more) {
				return false
			}
		}
	}
	c.path = c.path[:length]
	switch {
	case s.MinItems != nil && n < *s.MinItems:
		return c.misfit("has fewer than %d items", *s.MinItems)
	case s.MaxItems != nil && n > *s.MaxItems:
		return c.misfit("has more than %d items", *s.MaxItems)
	}
	return true
}

func (c *checker) object(s *schema, depth int) bool {
	length := len(c.path)
	missing := uint64(1)<<len(s.Required) - 1
	c.i++
	more := true
	if c.space() == '}' {
		c.i++
		more = false
	}
	for more {
		key, ok := c.quoted()
		if !ok {
			return false
		}
		if c.space() != ':' {
			return c.broken()
		}
		c.i++
		for i, r := range s.Required {
			if r == string(key) {
				missing &^= 1 << i
			}
		}
		of, known := s.Properties[string(key)]
		if !known {
			of = s.AdditionalProperties
		}
		c.path = append(append(c.path[:length], '/'), key...)
		if !c.value(of, depth+1) || !c.next('}', &more) {
			return false
		}
	}
	c.path = c.path[:length]
	for i, r := range s.Required {
		if missing>>i&1 == 1 {
			return c.misfit("has no %q", r)
		}
	}
	return true
}

// next reads what is behind an item: a comma, or the end.
func (c *checker) next(end byte, more *bool) bool {
	switch c.space() {
	case ',':
	case end:
		*more = false
	default:
		return c.broken()
	}
	c.i++
	return true
}

func (c *checker) text(s *schema) bool {
	v, ok := c.quoted()
	if !ok || s.MinLength == nil && s.MaxLength == nil && s.Pattern == nil {
		return ok
	}
	n := utf8.RuneCount(v)
	switch {
	case s.MinLength != nil && n < *s.MinLength:
		return c.misfit("is shorter than %d", *s.MinLength)
	case s.MaxLength != nil && n > *s.MaxLength:
		return c.misfit("is longer than %d", *s.MaxLength)
	case s.Pattern != nil && !s.Pattern.Match(v):
		return c.misfit("does not match %s", s.Pattern)
	}
	return true
}

// quoted reads a string. Only one with escapes, or that isn't UTF-8, is copied.
func (c *checker) quoted() ([]byte, bool) {
	if c.space() != '"' {
		return nil, c.broken()
	}
	start := c.i
	b, i := c.b, c.i+1
	plain := true
	for i < len(b) && b[i] != '"' {
		if b[i] < ' ' {
			c.i = i
			return nil, c.broken()
		}
		if b[i] == '\\' {
			plain = false
			i++
		}
		i++
	}
	if c.i = min(i+1, len(b)); i >= len(b) {
		return nil, c.broken()
	}
	if s := b[start+1 : i]; plain && utf8.Valid(s) {
		return s, true
	}
	var s string
	if json.Unmarshal(b[start:c.i], &s) != nil {
		c.i = start
		return nil, c.broken()
	}
	return []byte(s), true
}

func (c *checker) number(s *schema) bool {
	start := c.i
	c.skip("-")
	whole := true
	if !c.skip("0") && !c.digits() {
		return c.broken()
	}
	if c.skip(".") {
		if whole = false; !c.digits() {
			return c.broken()
		}
	}
	if c.skip("eE") {
		c.skip("+-")
		if whole = false; !c.digits() {
			return c.broken()
		}
	}
	v, err := strconv.ParseFloat(string(c.b[start:c.i]), 64)
	if err != nil {
		return c.misfit("is too large a number")
	}
	t := "number"
	if whole || v == math.Trunc(v) {
		t = "integer"
	}
	if !c.typed(s, t) {
		return false
	}
	switch {
	case s.Minimum != nil && v < *s.Minimum:
		return c.misfit("%v is less than %v", v, *s.Minimum)
	case s.Maximum != nil && v > *s.Maximum:
		return c.misfit("%v is more than %v", v, *s.Maximum)
	case s.ExclusiveMinimum != nil && v <= *s.ExclusiveMinimum:
		return c.misfit("%v is not more than %v", v, *s.ExclusiveMinimum)
	case s.ExclusiveMaximum != nil && v >= *s.ExclusiveMaximum:
		return c.misfit("%v is not less than %v", v, *s.ExclusiveMaximum)
	}
	return true
}

// space passes over space and returns what is behind it, 0 at the end.
func (c *checker) space() byte {
	for c.i < len(c.b) {
		x := c.b[c.i]
		if x != ' ' && x != '\n' && x != '\t' && x != '\r' {
			return x
		}
		c.i++
	}
	return 0
}

func (c *checker) literal(s string) bool {
	if !bytes.HasPrefix(c.b[c.i:], []byte(s)) {
		return c.broken()
	}
	c.i += len(s)
	return true
}

// skip passes over one byte if it is one of those.
func (c *checker) skip(of string) bool {
	for i := range len(of) {
		if c.i < len(c.b) && c.b[c.i] == of[i] {
			c.i++
			return true
		}
	}
	return false
}

func (c *checker) digits() bool {
	start := c.i
	for c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9' {
		c.i++
	}
	return c.i > start
}
