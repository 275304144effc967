package brokertest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Script is one conversation with a broker.
type Script struct {
	Name   string
	IDs    []string // what it covers
	Config string   // what the server needs, in nats-server's grammar; before expansion

	steps []step
	dials map[int]string
	vars  map[string]func() string
}

// step is one line of a script.
type step struct {
	line  int // in its file
	conn  int
	kind  kind
	text  string        // as written, for transcripts and failures
	times int           // for kindSend
	span  time.Duration // for kindSend
	segs  []seg
	keys  []infoKey // for kindInfo
}

type kind uint8

const (
	kindSend kind = iota
	kindExpect
	kindUnordered
	kindInfo
	kindClosed
	kindCut
	kindNothing
)

// source is the step as its script wrote it.
func (s *step) source() string { return fmt.Sprintf("line %d, %s", s.line, s.text) }

// Define gives <name> a value, in the configuration and in what is sent and
// expected. It is asked for once in each Play, when first needed.
func (s *Script) Define(name string, value func() string) {
	if s.vars == nil {
		s.vars = make(map[string]func() string)
	}
	s.vars[name] = value
}

// Parse reads data, which holds one script. name is what failures call it.
func Parse(name string, data []byte) (*Script, error) {
	scripts, err := ParseFile(name, data)
	if err != nil {
		return nil, err
	}
	if len(scripts) != 1 {
		return nil, fmt.Errorf("%s holds %d scripts; use ParseFile", name, len(scripts))
	}
	return scripts[0], nil
}

// ParseFile reads data, which holds any number of scripts. name is what failures
// call it.
func ParseFile(name string, data []byte) ([]*Script, error) {
	var scripts []*Script
	var s *Script
	names := map[string]bool{}
	for i, raw := range bytes.Split(data, []byte("\n")) {
		line := strings.TrimRight(string(raw), "\r")
		fail := func(err error) ([]*Script, error) {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		if title, ok := strings.CutPrefix(line, "=== "); ok {
			if names[title] {
				return fail(fmt.Errorf("there are two scripts named %q; rename one", title))
			}
			names[title] = true
			s = &Script{Name: title}
			scripts = append(scripts, s)
			continue
		}
		comment, isComment := strings.CutPrefix(line, "#")
		switch {
		case line == "":
		case s == nil && isComment:
		case s == nil:
			return fail(fmt.Errorf("%q stands before the first script; begin one with \"=== name\"", line))
		case isComment:
			if err := s.directive(strings.TrimSpace(comment)); err != nil {
				return fail(err)
			}
		default:
			st, err := parseStep(line)
			if err != nil {
				return fail(err)
			}
			st.line = i + 1
			s.steps = append(s.steps, st)
		}
	}
	return scripts, nil
}

// directive reads what follows "#"; anything else there is a comment.
func (s *Script) directive(text string) error {
	key, value, _ := strings.Cut(text, ":")
	value = strings.TrimSpace(value)
	switch key {
	case "id":
		s.IDs = append(s.IDs, value)
	case "config":
		s.Config += value + "\n"
	case "dial":
		num, addr, ok := strings.Cut(value, " ")
		conn, err := strconv.Atoi(num)
		if err != nil || !ok {
			return fmt.Errorf("dial: %q is not a connection and an address; write # dial: 2 host:port", value)
		}
		if s.dials == nil {
			s.dials = make(map[int]string)
		}
		s.dials[conn] = addr
	}
	return nil
}

// parseStep reads a line that begins with C or S.
func parseStep(line string) (step, error) {
	bad := func() (step, error) {
		return step{}, fmt.Errorf("%q is no step; begin it with C: or S: (or C2: C-: C*9: C@2s: S~:)", line)
	}
	head, text, ok := strings.Cut(line, ":")
	if !ok || head == "" {
		return bad()
	}
	text = strings.TrimPrefix(text, " ")
	st := step{text: line, times: 1, conn: 1}
	client := head[0] == 'C'
	if !client && head[0] != 'S' {
		return bad()
	}
	head = head[1:]
	rest := strings.TrimLeft(head, "0123456789")
	var err error
	if num := head[:len(head)-len(rest)]; num != "" {
		if st.conn, err = strconv.Atoi(num); err != nil {
			return bad()
		}
	}
	head = rest
	end := "\r\n"
	switch {
	case head == "":
	case client && head == "-":
		end = ""
	case client && head[0] == '*':
		if st.times, err = strconv.Atoi(head[1:]); err != nil {
			return bad()
		}
	case client && head[0] == '@':
		if st.span, err = time.ParseDuration(head[1:]); err != nil {
			return bad()
		}
	case !client && head == "~":
		st.kind = kindUnordered
	default:
		return bad()
	}
	if client {
		st.segs, err = parseText(text + end)
		return st, err
	}
	if st.kind == kindUnordered {
		st.segs, err = parseText(text + end)
		return st, err
	}
	return parseExpect(st, text)
}

// parseExpect reads the text of an S line.
func parseExpect(st step, text string) (step, error) {
	var err error
	switch {
	case text == "<closed>":
		st.kind = kindClosed
	case text == "<cut>":
		st.kind = kindCut
	case text == "<nothing>":
		st.kind = kindNothing
	case text == "<INFO>" || strings.HasPrefix(text, "<INFO ") && strings.HasSuffix(text, ">"):
		st.kind = kindInfo
		st.keys, err = parseInfoKeys(strings.Trim(text, "<>")[len("INFO"):])
	default:
		st.kind = kindExpect
		st.segs, err = parseText(text + "\r\n")
	}
	return st, err
}
