//go:build unix

package tcp

import (
	"net"
	"syscall"
)

// canPeek says that peek works.
const canPeek = true

// peek returns up to n bytes that have arrived on c, without waiting and without
// taking them.
func peek(c *net.TCPConn, n int) []byte {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	b := make([]byte, n)
	got := 0
	raw.Control(func(fd uintptr) {
		// The descriptor does not block.
		got, _, err = syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
	})
	if err != nil || got < 0 {
		return nil
	}
	return b[:got]
}
