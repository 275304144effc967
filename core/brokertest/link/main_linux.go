package link

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What Main tells the process it starts, and New, through the environment.
const (
	inside          = "GANGLION_LINK_INSIDE"  // set: this process has namespaces of its own
	noUserNamespace = "GANGLION_LINK_WITHOUT" // why there are none
)

// Main runs the tests of a package and returns the code to exit with. For a user
// who may not make network namespaces it starts the test binary once more, as
// root of a user namespace with a network of its own: tests then see nothing of
// the machine's network but a loopback. Where that is forbidden too, tests run
// as they are, and [New] skips those that need a link.
func Main(m *testing.M) int {
	switch {
	case os.Getenv(inside) != "":
		os.Unsetenv(inside) // not for the processes that tests start
		if err := setUp("lo"); err != nil {
			fmt.Fprintln(os.Stderr, "link:", err)
			return 1
		}
	case !mayUnshare():
		code, err := again()
		if err == nil {
			return code
		}
		os.Setenv(noUserNamespace, err.Error())
	}
	return m.Run()
}

// mayUnshare tries.
func mayUnshare() bool {
	ns, err := makeNamespace()
	if err != nil {
		return false
	}
	ns.Close()
	return true
}

// again runs this binary in namespaces of its own.
func again() (code int, err error) {
	// The child dies with its parent, which means with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the tests in a user namespace: %w", err)
	}
	err = cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		if code := exit.ExitCode(); code > 0 {
			return code, nil
		}
		return 1, nil // killed by a signal
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "link: wait for the tests in a user namespace:", err)
		return 1, nil
	}
	return 0, nil
}

// noNamespace adds to an error why Main could not help.
func noNamespace(err error) error {
	if why := os.Getenv(noUserNamespace); why != "" {
		return fmt.Errorf("%w; %s", err, why)
	}
	return err
}
