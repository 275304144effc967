package tcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"ganglion/listeners"
)

// UnixKind is the name of the unix socket transport in a listeners.Registry.
const UnixKind = "unix"

// probeTimeout bounds how long a socket file that is in the way is asked whether
// somebody listens on it; the answer comes at once unless its backlog is full.
const probeTimeout = 2 * time.Second

// UnixOptions are the options of a unix socket.
type UnixOptions struct {
	// Mode is the file mode of the socket, e.g. 0o660. Who may write to it may
	// connect. 0 leaves it to the umask, which usually means the owner alone.
	// Abstract names have no mode: everybody in the network namespace may connect.
	Mode fs.FileMode
}

// OpenUnix listens on the unix socket c.Path (listeners.OpenFunc), with the zero
// UnixOptions.
func OpenUnix(ctx context.Context, c listeners.Config) (net.Listener, error) {
	return UnixOpener(UnixOptions{})(ctx, c)
}

// UnixOpener returns a listeners.OpenFunc that listens on the unix socket c.Path.
// A socket file that is left over from a process that ended is replaced; one that
// somebody listens on, or a file of another kind, is an error. Close removes the
// file unless it has been replaced. On Linux a path '@name' is an abstract name,
// which has no file. A connection's RemoteAddr is the listener's path when the
// client's socket has no name, which is usual.
func UnixOpener(o UnixOptions) listeners.OpenFunc {
	return func(ctx context.Context, c listeners.Config) (net.Listener, error) {
		if c.Path == "" {
			return nil, errors.New("a unix socket needs a path; set Path")
		}
		ln, err := openUnix(ctx, c.Path, o)
		if err != nil {
			return nil, fmt.Errorf("cannot listen on unix socket %s: %w", c.Path, err)
		}
		return ln, nil
	}
}

func openUnix(ctx context.Context, path string, o UnixOptions) (net.Listener, error) {
	abstract := strings.HasPrefix(path, "@")
	lc := net.ListenConfig{}
	if !abstract {
		if err := removeStale(ctx, path); err != nil {
			return nil, err
		}
		lc.Control = restrict(o.Mode)
	}
	nl, err := lc.Listen(ctx, "unix", path)
	if errors.Is(err, syscall.EINVAL) && len(path) > 100 {
		return nil, fmt.Errorf("%w; the path has %d bytes, systems allow about 104", err, len(path))
	} else if err != nil {
		return nil, err
	}
	l := &unixListener{UnixListener: nl.(*net.UnixListener), peer: &net.UnixAddr{Name: path, Net: "unix"}}
	var file fs.FileInfo
	if !abstract {
		l.SetUnlinkOnClose(false)
		if file, err = os.Lstat(path); err == nil && o.Mode != 0 {
			err = os.Chmod(path, o.Mode.Perm())
		}
	}
	l.close = sync.OnceValue(func() error {
		if file != nil {
			removeSame(path, file)
		}
		return l.UnixListener.Close()
	})
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// restrict returns a ListenConfig.Control that gives the socket its mode before
// it has a path, so that nobody slips in before Chmod; systems other than Linux
// don't listen to it.
func restrict(mode fs.FileMode) func(network, address string, c syscall.RawConn) error {
	if mode == 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { chmodSocket(fd, mode.Perm()) })
	}
}

// removeStale removes the socket file at path if nobody listens on it.
func removeStale(ctx context.Context, path string) error {
	file, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if file.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket; remove it or use another path")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("another process listens on it: %w", syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED):
		removeSame(path, file)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("cannot tell whether another process listens on it: %w", err)
}

// removeSame removes path if it still is file.
func removeSame(path string, file fs.FileInfo) {
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, file) {
		os.Remove(path)
	}
}

// unixListener is a unix socket whose clients have a name.
type unixListener struct {
	*net.UnixListener
	peer  *net.UnixAddr // the address of clients without one
	close func() error
}

// Accept returns the next connection.
func (l *unixListener) Accept() (net.Conn, error) {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	// Linux gives a socket without a name an empty abstract one.
	if a, ok := c.RemoteAddr().(*net.UnixAddr); ok && a != nil && a.Name != "" && a.Name != "@" {
		return c, nil
	}
	return &unixConn{c, l.peer}, nil
}

// Close closes the listener and removes its file.
func (l *unixListener) Close() error { return l.close() }

// unixConn is a connection of a client whose socket has no name.
type unixConn struct {
	*net.UnixConn
	peer *net.UnixAddr
}

// RemoteAddr returns the address of the listener: it is all there is to say.
func (c *unixConn) RemoteAddr() net.Addr { return c.peer }

// NetConn returns the connection itself.
func (c *unixConn) NetConn() net.Conn { return c.UnixConn }
