//go:build unix

package tcp

import (
	"io/fs"
	"syscall"
)

// chmodSocket sets the mode that a socket's file will have, where the system has
// that; the umask still takes from it.
func chmodSocket(fd uintptr, mode fs.FileMode) { syscall.Fchmod(int(fd), uint32(mode)) }
