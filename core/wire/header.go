package wire

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// ErrHeader is returned for a header block that is none (ADR-4).
var ErrHeader = errors.New("wire: malformed header block")

const headerVersion = "NATS/1.0"

// Header is a parsed header block: a status line and fields in their order,
// names with their case (ADR-4).
type Header struct {
	// Code is the inline status, 0 without one; Description the text behind it.
	Code        int
	Description string
	Fields      []Field
}

// Field is one name and value of a header block.
type Field struct{ Name, Value string }

// Get returns the first value of name, compared exactly, or "".
func (h *Header) Get(name string) string {
	for _, f := range h.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// ParseHeader reads a header block. The result owns its strings.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	rest, ok := strings.CutPrefix(string(b), headerVersion)
	if !ok || !strings.HasSuffix(rest, "\r\n") {
		return h, ErrHeader
	}
	status, rest, _ := strings.Cut(rest, "\r\n")
	if status = strings.TrimSpace(status); status != "" {
		code, text, _ := strings.Cut(status, " ")
		n, err := strconv.Atoi(code)
		if err != nil || n < 0 {
			return h, ErrHeader
		}
		h.Code, h.Description = n, strings.TrimSpace(text)
	}
	for rest != "\r\n" {
		line, more, ok := strings.Cut(rest, "\r\n")
		if !ok {
			return h, ErrHeader
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return h, ErrHeader
		}
		h.Fields = append(h.Fields, Field{name, strings.TrimSpace(value)})
		rest = more
	}
	return h, nil
}

// Append appends the header block of h. Names and values must not contain CR or LF;
// a field that does is left out.
func (h *Header) Append(b []byte) []byte {
	b = append(b, headerVersion...)
	if h.Code != 0 {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(h.Code), 10)
		if h.Description != "" && !strings.ContainsAny(h.Description, "\r\n") {
			b = append(b, ' ')
			b = append(b, h.Description...)
		}
	}
	b = append(b, "\r\n"...)
	for _, f := range h.Fields {
		if f.Name == "" || strings.ContainsAny(f.Name, ":\r\n") || strings.ContainsAny(f.Value, "\r\n") {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// HeaderValue returns the first value of name in a header block without parsing
// all of it; nil when absent. The result is borrowed from b.
func HeaderValue(b []byte, name string) []byte {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil
		}
		b = b[i+1:]
		if len(b) > len(name) && string(b[:len(name)]) == name && b[len(name)] == ':' {
			v := b[len(name)+1:]
			if e := bytes.IndexByte(v, '\r'); e >= 0 {
				v = v[:e]
			}
			return bytes.TrimSpace(v)
		}
	}
}

// AppendWithout appends the lines of a header block except the fields called
// name, compared without regard to case: clients differ in how they look for
// them.
func AppendWithout(dst, b []byte, name string) []byte {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line = b[:i+1]
		}
		b = b[len(line):]
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			continue
		}
		dst = append(dst, line...)
	}
	return dst
}

// AppendNoResponders appends the header block that tells a requester that nobody
// listens on subject (503).
func AppendNoResponders(b, subject []byte) []byte {
	b = append(b, headerVersion+" 503\r\nNats-Subject: "...)
	b = append(b, subject...)
	return append(b, "\r\n\r\n"...)
}
