// Package fuel rewrites a core WebAssembly module so that it meters its own
// work: a guest that would run for ever traps when its budget is used up, without
// a timer, a watchdog or a check by the host.
//
// # What is added
//
// A mutable i64 global of our own, exported as Global, holds what is left. Each
// function entry, loop head and long stretch behind a branch subtracts the weight of the instructions that
// belong to it, and traps below zero:
//
//	global.get F   i64.const WEIGHT   i64.sub   global.set F
//	global.get F   i64.const 0   i64.lt_s   if   unreachable   end
//
// WEIGHT is known when the module is rewritten. The instructions directly in a
// loop belong to that loop, those outside of all loops to the entry; long arms of
// an if and long stretches behind the end of a block, where jumps arrive, pay for
// themselves, short ones are paid for whether they are reached or not. A
// straight-line body of a mebibyte therefore costs what it is long, and nothing is
// executed that was not paid for before. An instruction weighs 1; divisions, calls
// and instructions that leave the compiled code weigh more, block, else and end
// nothing. An entry and a loop head cost 1 themselves, and a function pays 1 for
// each of its locals as well.
//
// What takes longer the longer it is pays by length, right before it happens:
//
//	memory.fill                        1 for 4 bytes
//	memory.copy, memory.init           1 for 2 bytes
//	table.fill, table.copy, table.init 4 for an element
//	memory.grow                        Options.Host, and Options.Grow for a page
//	table.grow                         Options.Host, and Options.Grow/8192 + 4 for an element
//
// memory.grow and table.grow pay also for growth that is then refused: a guest
// that asks for more than its budget pays for traps instead of seeing -1.
//
// Each call of an imported function costs Options.Host. Where an imported function
// stands in a table, in a global or is exported again, a function of ours stands
// there instead that pays and calls it.
//
// Each exported function is replaced by one that sets F to the export's budget and
// calls the original. The original is exported too, under Raw and its name: that
// is what a host function must use when it calls back into the guest, since any
// other call refills. It also keeps the declaration that ref.func needs.
//
// A start function is not run by instantiation any more; it is exported as Start,
// with a budget like any other, and whoever instantiates the module has to call it
// once before anything else. So its trap can be told from others like any trap.
//
// # What the host does
//
// Refuse what Rewrite refuses, compile the original once (Rewrite does not
// validate: types and stack heights are the compiler's business), then compile what
// Rewrite returned. Rewrite comes first because it bounds what some compilers
// allocate as declared, such as locals and tables. A trap was for lack of fuel
// when Global is below zero. After any trap the instance is thrown away: the guest
// has not unwound.
//
// A budget is work, not time: a unit takes between a fraction of a nanosecond and,
// when each load misses all caches, some ten nanoseconds. Time spent in host
// functions, native stack and the size of the module are bounded elsewhere.
//
// # What is kept, dropped and refused
//
// Indices of types, functions, tables, memories, globals, elements and data stay;
// ours are appended. Custom sections stay where they were, names among them, but
// for DWARF (.debug_*) and branch hints (metadata.code.*), whose offsets would be
// wrong.
//
// Followed are WebAssembly 2.0 (bulk memory, references, SIMD, multiple values,
// sign extension, saturating conversions, mutable globals), tail calls and extended
// constant expressions. Threads, exceptions, typed function references, garbage
// collection, several memories, 64-bit memories and relaxed SIMD are refused, and so
// is all else that is not known: nothing passes unread. Indices are held against
// the counts of the original, so that nothing in it can name what is added, and
// its exports must not begin with "ganglion.", which is ours.
//
// Work and memory are linear in the length of the module, whatever it declares.
package fuel
