package cli

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds on what a terminal is shown.
const (
	maxDiff   = 1000    // lines of which common ones are looked for
	maxShown  = 400     // letters of a line
	maxBinary = 4 << 10 // bytes of a payload that is no text
)

// payloadLines are the lines to show of a payload: indented when it and the other
// one are JSON, as hexadecimal digits when one of them is no text.
func payloadLines(s, other string) []string {
	switch {
	case s == "":
		return nil
	case !isText(s) || !isText(other):
		text := strings.TrimSuffix(hex.Dump([]byte(s[:min(len(s), maxBinary)])), "\n")
		if len(s) > maxBinary {
			text += fmt.Sprintf("\nand %d bytes", len(s)-maxBinary)
		}
		return strings.Split(text, "\n")
	case isObject(s) && (other == "" || isObject(other)):
		var b bytes.Buffer
		if json.Indent(&b, []byte(s), "", "  ") == nil {
			return strings.Split(b.String(), "\n")
		}
	}
	return strings.Split(s, "\n")
}

func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' })
}

func isObject(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && (s[0] == '{' || s[0] == '[') && json.Valid([]byte(s))
}

// printDiff prints which lines went and came. Of those that stayed it prints the
// ones next to a change.
func printDiff(w io.Writer, from, to []string) {
	line := func(sign, s string) {
		if len(s) > maxShown {
			s = fmt.Sprintf("%s... (%d bytes)", s[:maxShown], len(s))
		}
		fmt.Fprintf(w, "  %s %s\n", sign, oneLine(strings.ReplaceAll(s, "\t", "    ")))
	}
	var same []string
	changed := false // a change was printed
	stayed := func(last bool) {
		if n := len(same); n > 2 || n > 1 && (!changed || last) {
			head, tail := 0, 0
			if changed {
				head = 1
			}
			if !last {
				tail = 1
			}
			for _, s := range same[:head] {
				line(" ", s)
			}
			line(" ", "...")
			same = same[n-tail:]
		}
		for _, s := range same {
			line(" ", s)
		}
		same = nil
	}
	i, j := 0, 0
	for _, k := range append(common(from, to), [2]int{len(from), len(to)}) {
		if i < k[0] || j < k[1] {
			stayed(false)
			changed = true
		}
		for ; i < k[0]; i++ {
			line("-", from[i])
		}
		for ; j < k[1]; j++ {
			line("+", to[j])
		}
		if k[0] < len(from) && k[1] < len(to) {
			same = append(same, from[i])
			i, j = i+1, j+1
		}
	}
	stayed(true)
}

// common returns the indices of the lines that a and b have in common, as many as
// there are in one order; of very long ones none.
func common(a, b []string) [][2]int {
	if len(a) > maxDiff || len(b) > maxDiff {
		return nil
	}
	// n[i][j] is how many a[i:] and b[j:] have.
	n := make([][]int, len(a)+1)
	for i := range n {
		n[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				n[i][j] = n[i+1][j+1] + 1
			} else {
				n[i][j] = max(n[i+1][j], n[i][j+1])
			}
		}
	}
	var list [][2]int
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			list = append(list, [2]int{i, j})
			i, j = i+1, j+1
		case n[i+1][j] >= n[i][j+1]:
			i++
		default:
			j++
		}
	}
	return list
}
