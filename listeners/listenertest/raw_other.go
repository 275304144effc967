//go:build !unix

package listenertest

import (
	"errors"
	"syscall"
)

const rawAccess = false

func readRaw(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
func writeRaw(syscall.RawConn, []byte) error       { return errors.ErrUnsupported }
