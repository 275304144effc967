package fuel

import (
	"errors"
	"fmt"
	"math"
)

// The names of the exports that Rewrite adds. A module whose own exports begin
// with "ganglion." is refused.
const (
	Global = "ganglion.fuel"  // the mutable i64 global with what is left; below zero after a trap for lack of it
	Start  = "ganglion.start" // the start function, if there was one; the host calls it once, first
	Raw    = "ganglion.raw."  // and the name of an exported function: the function without a refill, for nested calls

	reserved = "ganglion."
)

// Bounds on what Options may say, so that no sum of charges overflows, and on
// what a module may declare.
const (
	MaxBudget = 1 << 60 // of Limits and Default
	MaxPrice  = 1 << 24 // of Host and Grow
	MaxLocals = 50_000  // parameters and locals of one function
)

// What Rewrite's errors wrap.
var (
	// ErrMalformed: not a module, or one that no compiler accepts.
	ErrMalformed = errors.New("malformed module")
	// ErrUnsupported: perhaps a valid module, but it uses what this package does not follow.
	ErrUnsupported = errors.New("unsupported")
	// ErrTooBig: the module asks for more than Options or this package allow.
	ErrTooBig = errors.New("too big")
	// ErrReserved: an export of the module begins with "ganglion.".
	ErrReserved = errors.New("reserved name")
	// ErrOptions: Options are out of their bounds.
	ErrOptions = errors.New("bad option")
)

// Options say what costs what. Units are those of the package's documentation,
// about one simple instruction each.
type Options struct {
	// Limits are budgets by the name of the export ("_initialize", Start): 1 to MaxBudget.
	Limits map[string]int64
	// Default is the budget of every other exported function, and what Global holds
	// before the first call: 1 to MaxBudget.
	Default int64
	// Host is the price of each call of an imported function, and of memory.grow and
	// table.grow: 0 to MaxPrice.
	Host int64
	// Grow is the price of a page (64 KiB) of memory.grow; an element of table.grow
	// costs an 8192th of it and 4: 0 to MaxPrice.
	Grow int64
	// MaxMemoryPages lowers the maximum of the memory; a memory that starts bigger is
	// refused. 0: as in the module.
	MaxMemoryPages uint32
	// MaxTable lowers the maximum of each table, in elements; a table that starts
	// bigger is refused. 0: as in the module.
	MaxTable uint32
}

func (o *Options) check() error {
	budget := func(name string, n int64) error {
		if n < 1 || n > MaxBudget {
			return fmt.Errorf("%w: %s is %d, want 1 to %d", ErrOptions, name, n, int64(MaxBudget))
		}
		return nil
	}
	price := func(name string, n int64) error {
		if n < 0 || n > MaxPrice {
			return fmt.Errorf("%w: %s is %d, want 0 to %d", ErrOptions, name, n, MaxPrice)
		}
		return nil
	}
	err := errors.Join(budget("Default", o.Default), price("Host", o.Host), price("Grow", o.Grow))
	for name, n := range o.Limits {
		err = errors.Join(err, budget("Limits["+name+"]", n))
	}
	return err
}

func (o *Options) limit(export string) int64 {
	if n, ok := o.Limits[export]; ok {
		return n
	}
	return o.Default
}

// Rewrite returns module with metering; module itself is not changed, and the
// result does not share its bytes. It does not validate: compile the original as
// well. What it cannot follow is an error that wraps one of this package's.
//
// The result is at most 16 times as long as module, and 4 KiB.
func Rewrite(module []byte, o Options) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("fuel: %w", err)
	}
	if uint64(len(module)) > math.MaxInt32 {
		return nil, fmt.Errorf("fuel: %w: a module of %d bytes", ErrTooBig, len(module))
	}
	m := &rewriter{o: o, room: 15*len(module) + 4096}
	if err := m.split(module); err != nil {
		return nil, fmt.Errorf("fuel: %w", err)
	}
	for _, s := range []struct {
		id   byte
		name string
		do   func(*reader) []byte
	}{
		{secType, "type section", m.types},
		{secImport, "import section", m.imports},
		{secFunction, "function section", m.functions},
		{secTable, "table section", m.tables},
		{secMemory, "memory section", m.memories},
		{secGlobal, "global section", m.globals},
		{secExport, "export section", m.exports},
		{secStart, "start section", m.start},
		{secElement, "element section", m.elements},
		{secDataCount, "data count section", m.dataCount},
		{secCode, "code section", m.code},
		{secData, "data section", m.data},
	} {
		if m.section[s.id] == nil {
			continue
		}
		r := &reader{b: m.section[s.id]}
		out := s.do(r)
		if err := r.end(s.name); err != nil {
			return nil, fmt.Errorf("fuel: %w", err)
		}
		m.section[s.id] = out
	}
	out, err := m.assemble()
	if err != nil {
		return nil, fmt.Errorf("fuel: %w", err)
	}
	return out, nil
}
