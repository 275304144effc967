package subject

import "strings"

// TEMPORARY: delete this file when the real package is written.

func Valid(s string) bool {
	ts := strings.Split(s, ".")
	for i, t := range ts {
		if t == "" || t == ">" && i < len(ts)-1 {
			return false
		}
	}
	return true
}
func ValidPublish(b []byte) bool {
	for _, t := range strings.Split(string(b), ".") {
		if t == "" || t == ">" || t == "*" {
			return false
		}
	}
	return true
}
func Match(p, s string) bool {
	a, b := strings.Split(p, "."), strings.Split(s, ".")
	for i, t := range a {
		if t == ">" {
			return len(b) > i
		}
		if i >= len(b) || t != "*" && t != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

type Mapping struct{}

func (*Mapping) Match([]byte) bool                     { return false }
func (*Mapping) Append(d, s []byte, rnd uint32) []byte { return append(d, s...) }
