//go:build wasip1

package plugin

import (
	"bytes"
	"unsafe"
)

// What the host holds pointers to stays here, where the collector sees it.
var (
	room         []byte // for frames
	manifestJSON []byte
	message      Message
	result       [resultSize]byte
)

func address(s string) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.StringData(s)))) }

func pack(b []byte) int64 { return int64(address(borrow(b)))<<32 | int64(len(b)) }

//go:wasmexport ganglion_abi_v1
func exportABI() {}

//go:wasmexport ganglion_manifest
func exportManifest() int64 {
	manifestJSON = registered.manifest()
	return pack(manifestJSON)
}

//go:wasmexport ganglion_alloc
func exportAlloc(size uint32) uint32 {
	room = make([]byte, max(size, 1))
	return address(borrow(room))
}

//go:wasmexport ganglion_configure
func exportConfigure(config unsafe.Pointer, size uint32) int64 {
	if registered.OnMessage == nil {
		Log(Err, "no plugin is registered, or it has no OnMessage")
		return int64(ErrInvalid)
	}
	configuration = bytes.Clone(unsafe.Slice((*byte)(config), size))
	if registered.Configure != nil {
		if err := registered.Configure(); err != nil {
			Log(Err, err.Error())
			return int64(ErrInvalid)
		}
	}
	return int64(registered.Want)
}

//go:wasmexport ganglion_on_message
func exportOnMessage(frame unsafe.Pointer, size uint32) int64 {
	if !message.decode(unsafe.Slice((*byte)(frame), size)) {
		return int64(ErrInvalid)
	}
	v := registered.OnMessage(&message)
	switch {
	case message.encode(v, &result, address):
		return pack(result[:])
	case v > reject:
		return int64(ErrInvalid)
	}
	return int64(v)
}

//go:wasmexport ganglion_on_tick
func exportOnTick(now int64) {
	if registered.OnTick != nil {
		registered.OnTick(now)
	}
}

//go:wasmexport ganglion_close
func exportClose() {
	if registered.Close != nil {
		registered.Close()
	}
}
