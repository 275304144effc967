package fuel

import "strings"

// imm says what follows an opcode.
type imm uint8

const (
	immUnknown  imm = iota
	immNone         // nothing
	immBlock        // a block type
	immLabel        // a label
	immLabels       // the labels of br_table
	immFunc         // the function of call and return_call
	immFuncRef      // the function of ref.func
	immIndirect     // the type and the table of an indirect call
	immLocal        // a local
	immGlobal       // a global
	immTable        // a table
	immTypes        // the types of select
	immMemArg       // alignment and offset
	immMemory       // a memory
	immI32          // a constant
	immI64          //
	immF32          //
	immF64          //
	immRefType      // the type of ref.null
	immLane         // a lane of a vector
	immMemLane      // alignment, offset and lane
	immBytes        // 16 bytes
	immData         // a data segment
	immElem         // an element segment
	immMemInit      // a data segment and a memory
	immMemCopy      // two memories
	immTabInit      // an element segment and a table
	immTabCopy      // two tables
)

// Opcodes that the rewriter names; those with a prefix as prefix<<8 | code.
const (
	opUnreachable        = 0x00
	opBlock              = 0x02
	opLoop               = 0x03
	opIf                 = 0x04
	opElse               = 0x05
	opEnd                = 0x0b
	opCall               = 0x10
	opCallIndirect       = 0x11
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opLocalGet           = 0x20
	opLocalSet           = 0x21
	opGlobalGet          = 0x23
	opGlobalSet          = 0x24
	opMemoryGrow         = 0x40
	opI64Const           = 0x42
	opI64LtS             = 0x53
	opI64Add             = 0x7c
	opI64Sub             = 0x7d
	opI64Mul             = 0x7e
	opI64ShrU            = 0x88
	opI64ExtendI32U      = 0xad
	opRefFunc            = 0xd2
	opMemoryInit         = 0xfc08
	opMemoryCopy         = 0xfc0a
	opMemoryFill         = 0xfc0b
	opTableInit          = 0xfc0c
	opTableCopy          = 0xfc0e
	opTableGrow          = 0xfc0f
	opTableFill          = 0xfc11
)

// immediate says what follows a one-byte opcode.
func immediate(op byte) imm {
	switch {
	case op >= 0x45 && op <= 0xc4:
		return immNone
	case op >= 0x28 && op <= 0x3e:
		return immMemArg
	}
	switch op {
	case 0x00, 0x01, opElse, opEnd, 0x0f, 0x1a, 0x1b, 0xd1:
		return immNone
	case opBlock, opLoop, opIf:
		return immBlock
	case 0x0c, 0x0d:
		return immLabel
	case 0x0e:
		return immLabels
	case opCall, opReturnCall:
		return immFunc
	case opCallIndirect, opReturnCallIndirect:
		return immIndirect
	case 0x1c:
		return immTypes
	case 0x20, 0x21, 0x22:
		return immLocal
	case 0x23, 0x24:
		return immGlobal
	case 0x25, 0x26:
		return immTable
	case 0x3f, opMemoryGrow:
		return immMemory
	case 0x41:
		return immI32
	case opI64Const:
		return immI64
	case 0x43:
		return immF32
	case 0x44:
		return immF64
	case 0xd0:
		return immRefType
	case 0xd2:
		return immFuncRef
	}
	return immUnknown
}

// immediateFC says what follows the codes of prefix 0xfc: saturating
// conversions, bulk memory and tables.
func immediateFC(code byte) imm {
	switch {
	case code <= 7:
		return immNone
	case code > 17:
		return immUnknown
	}
	return [...]imm{
		immMemInit, immData, immMemCopy, immMemory,
		immTabInit, immElem, immTabCopy, immTable, immTable, immTable,
	}[code-8]
}

// noSIMD holds the codes from 94 on that nothing was assigned to.
const noSIMD = "\x9a\xa2\xa5\xa6\xaf\xb0\xb2\xb3\xb4\xbb\xc2\xc5\xc6\xcf\xd0\xd2\xd3\xd4\xe2\xee"

// immediateFD says what follows the codes of prefix 0xfd: vectors.
func immediateFD(code byte) imm {
	switch {
	case code <= 11 || code == 92 || code == 93:
		return immMemArg
	case code == 12 || code == 13:
		return immBytes
	case code >= 21 && code <= 34:
		return immLane
	case code >= 84 && code <= 91:
		return immMemLane
	case strings.IndexByte(noSIMD, code) >= 0:
		return immUnknown
	}
	return immNone
}

// weight is what an instruction costs by being executed once, in units of a
// simple one. What depends on a length comes on top.
func weight(op uint16) int64 {
	switch op {
	case opBlock, opElse, opEnd: // no code
		return 0
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82, // integer division
		0x91, 0x95, 0x9f, 0xa3, // square root, division
		0xfde3, 0xfde7, 0xfdef, 0xfdf3:
		return 4
	case opCall, opReturnCall:
		return 4
	case opCallIndirect, opReturnCallIndirect:
		return 6
	case opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy, opTableFill, opMemoryGrow, opTableGrow:
		return 8
	}
	return 1
}
