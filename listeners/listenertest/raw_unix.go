//go:build unix

package listenertest

import "syscall"

// rawAccess says that readRaw and writeRaw work.
const rawAccess = true

// readRaw reads from the descriptor itself, as core/conn does.
func readRaw(raw syscall.RawConn, b []byte) (n int, err error) {
	e := raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), b)
		return err != syscall.EAGAIN
	})
	if e != nil {
		return 0, e
	}
	return n, err
}

// writeRaw writes all of b to the descriptor itself.
func writeRaw(raw syscall.RawConn, b []byte) (err error) {
	e := raw.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			var n int
			if n, err = syscall.Write(int(fd), b); err != nil {
				return err != syscall.EAGAIN
			}
			b = b[n:]
		}
		return true
	})
	if e != nil {
		return e
	}
	return err
}
