//go:build !portable

package conn

import (
	"io"
	"syscall"
	"unsafe"
)

// readNow reads once without waiting. The descriptor is non-blocking, so the
// raw form of the call is short and needs no hand-over of the processor.
func readNow(fd int, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch {
		case e == syscall.EINTR:
		case e != 0:
			return -1, e
		case n == 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

// writeBytes writes as much of b as the socket takes now; a full socket is no
// error.
func writeBytes(fd int, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch e {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, e
		}
	}
}

// maxVec is how many pieces one writev takes.
const maxVec = 64

// writeNow writes as much of x as the socket takes now.
func writeNow(fd int, x *Buffer) (int, error) {
	if !x.Borrows() {
		return writeBytes(fd, x.b)
	}
	var vec [maxVec]syscall.Iovec
	total, sent := x.Len(), 0
	for sent < total {
		k, want := 0, 0
		x.pieces(sent, func(p []byte) {
			if k < maxVec && len(p) > 0 {
				vec[k].Base = unsafe.SliceData(p)
				vec[k].SetLen(len(p))
				want += len(p)
				k++
			}
		})
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&vec[0])), uintptr(k))
		switch e {
		case 0:
			sent += int(n)
			if int(n) < want {
				return sent, nil
			}
		case syscall.EINTR:
		case syscall.EAGAIN:
			return sent, nil
		default:
			return sent, e
		}
	}
	return sent, nil
}
