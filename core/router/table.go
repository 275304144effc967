package router

import (
	"unsafe"

	"ganglion/core/account"
)

// table finds the stage of a receiver: open addressing over the sink's address,
// because a Go map would cost more than the delivery itself.
type table struct {
	keys   []unsafe.Pointer // addresses of the sinks' objects
	stages []*account.Stage
	used   int
}

const minTable = 64

type iface struct{ typ, data unsafe.Pointer }

// object returns the address of the sink's object. Sinks are pointers, so it
// identifies them, and comparing it costs less than comparing interfaces.
func object(s account.Sink) unsafe.Pointer { return (*iface)(unsafe.Pointer(&s)).data }

// hash mixes the address. Objects don't move in Go's heap.
func hash(p unsafe.Pointer) uint {
	return uint(uint64(uintptr(p)) * 0x9E3779B97F4A7C15 >> 32)
}

// find returns the stage of to, or nil and the slot to put it into.
func (t *table) find(to unsafe.Pointer) (*account.Stage, uint) {
	if t.keys == nil {
		t.grow(minTable)
	}
	mask := uint(len(t.keys) - 1)
	for i := hash(to) & mask; ; i = (i + 1) & mask {
		if t.keys[i] == to {
			return t.stages[i], i
		}
		if t.keys[i] == nil {
			return nil, i
		}
	}
}

func (t *table) put(slot uint, to unsafe.Pointer, st *account.Stage) {
	t.keys[slot], t.stages[slot] = to, st
	if t.used++; t.used*2 > len(t.keys) {
		t.grow(2 * len(t.keys))
	}
}

func (t *table) grow(n int) {
	keys, stages := t.keys, t.stages
	t.keys, t.stages = make([]unsafe.Pointer, n), make([]*account.Stage, n)
	mask := uint(n - 1)
	for k, s := range keys {
		if s == nil {
			continue
		}
		i := hash(s) & mask
		for t.keys[i] != nil {
			i = (i + 1) & mask
		}
		t.keys[i], t.stages[i] = s, stages[k]
	}
}

// reset empties the table; one that a rare large fan-out blew up is given back.
func (t *table) reset(touched int) {
	if t.used == 0 {
		return
	}
	if len(t.keys) > 4096 && touched*16 < len(t.keys) {
		t.keys, t.stages = nil, nil
	} else {
		clear(t.keys)
		clear(t.stages)
	}
	t.used = 0
}
