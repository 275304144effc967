//go:build !linux || portable

package conn

// Without epoll every connection is read by a goroutine of its own and written
// by a writer goroutine; this twin of the poller has nothing to do. The build tag
// portable selects it on Linux too, for tests.

type slot struct{}

type poller struct{}

func newPoller(*Loop) (*poller, error) { return &poller{}, nil }

func (*poller) close()           {}
func (*poller) adopt(*Conn)      {}
func (*poller) watch(*Conn) bool { return false }
func (*poller) unwatch(*Conn)    {}
func (*poller) rearm(*Conn)      {}
func (*poller) letGo(*Conn)      {}

func writeNow(int, *Buffer) (int, error)  { return 0, nil }
func writeBytes(int, []byte) (int, error) { return 0, nil }
