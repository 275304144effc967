package subject

import (
	"errors"
	"strconv"
	"strings"
)

// op is what a part of a destination does.
type op uint8

const (
	opText op = iota
	opToken
	opRest
	opPartition
	opSplit
	opSplitFromLeft
	opSplitFromRight
	opSliceFromLeft
	opSliceFromRight
	opLeft
	opRight
	opRandom
)

// functions are the names that may stand between {{ and }}, and what their
// arguments are.
var functions = []struct {
	name string
	op   op
	args string
}{
	{"wildcard", opToken, "(n)"},
	{"partition", opPartition, "(N) or (N,n,...)"},
	{"split", opSplit, "(n,delimiter)"},
	{"splitFromLeft", opSplitFromLeft, "(n,position)"},
	{"splitFromRight", opSplitFromRight, "(n,position)"},
	{"sliceFromLeft", opSliceFromLeft, "(n,size)"},
	{"sliceFromRight", opSliceFromRight, "(n,size)"},
	{"left", opLeft, "(n,length)"},
	{"right", opRight, "(n,length)"},
	{"random", opRandom, "(N)"},
}

// function compiles tok, which is {{name(arguments)}}.
func (c *compiler) function(tok string) (part, error) {
	inner := strings.Trim(tok[2:len(tok)-2], " ")
	name, args, ok := strings.Cut(inner, "(")
	name = strings.TrimRight(name, " ")
	if !ok || !strings.HasSuffix(args, ")") {
		return part{}, c.errorf("%s is not a call; write {{function(arguments)}} with %s", tok, functionNames())
	}
	for _, f := range functions {
		if !strings.EqualFold(f.name, name) {
			continue
		}
		p, err := c.arguments(tok, f.op, strings.Split(args[:len(args)-1], ","))
		if err == errArguments {
			err = c.errorf("%s has the wrong arguments; write {{%s%s}} with whole numbers", tok, f.name, f.args)
		}
		return p, err
	}
	return part{}, c.errorf("%s names no function that there is; use %s", tok, functionNames())
}

func functionNames() string {
	names := make([]string, len(functions))
	for i, f := range functions {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// errArguments is replaced by an error that names the function.
var errArguments = errors.New("wrong arguments")

// arguments fills a part from the arguments of its function.
func (c *compiler) arguments(tok string, o op, args []string) (part, error) {
	first, ok := number(args[0])
	if !ok {
		return part{}, errArguments
	}
	want := 2
	switch o {
	case opToken, opRandom:
		want = 1
	case opPartition:
		want = len(args)
	}
	if len(args) != want {
		return part{}, errArguments
	}
	p := part{op: o, n: first}
	var err error
	switch o {
	case opRandom:
		return p, nil
	case opPartition:
		literal := len(c.wild) == 0 && !c.open() // hashes nothing, as in nats-server
		p.whole = len(args) == 1 && !literal
		for _, a := range args[1:] {
			n, ok := number(a)
			if !ok {
				return part{}, errArguments
			}
			if literal {
				continue
			}
			at, err := c.wildcard(tok, n)
			if err != nil {
				return part{}, err
			}
			p.toks = append(p.toks, at)
		}
		return p, nil
	}
	if p.tok, err = c.wildcard(tok, first); err != nil {
		return part{}, err
	}
	switch o {
	case opSplit:
		p.text = strings.TrimLeft(args[1], " ")
		if strings.ContainsAny(p.text, " \t\r\n") {
			return part{}, c.errorf("%s has a delimiter with a blank, which no subject contains; write it without", tok)
		}
	case opToken:
	default:
		if p.n, ok = number(args[1]); !ok {
			return part{}, errArguments
		}
	}
	return p, nil
}

// number reads an argument.
func number(s string) (int, bool) {
	n, err := strconv.ParseInt(strings.Trim(s, " "), 10, 32)
	return int(n), err == nil
}

// wildcardNumber reads what follows a "$"; anything but a number is literal.
func wildcardNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil
}
