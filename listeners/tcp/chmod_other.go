//go:build !unix

package tcp

import "io/fs"

// chmodSocket does nothing: sockets have no mode here before they have a path.
func chmodSocket(uintptr, fs.FileMode) {}
