//go:build !linux

package link

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
)

// Main runs the tests of a package; see its description for Linux.
func Main(m *testing.M) int { return m.Run() }

var errNotLinux = errors.New("network namespaces are Linux's, this is " + runtime.GOOS)

// namespace stands in for Linux's; there is none.
type namespace struct{ tun *os.File }

func newNamespace(netip.Addr, int) (*namespace, error) { return nil, errNotLinux }

func (*namespace) do(func() error) error    { return errNotLinux }
func (*namespace) setAddr(netip.Addr) error { return errNotLinux }
func (*namespace) setMTU(int) error         { return errNotLinux }
func (*namespace) close()                   {}
