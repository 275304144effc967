package link

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	tunDevice = "/dev/net/tun"
	tunName   = "link0"
	// A burst waits in the interface until the relay reads it. The kernel's default
	// is 500 packets; more would be lost without being counted.
	tunQueue = 20000
	thisNet  = "/proc/thread-self/ns/net"
)

// namespace is a network namespace with a loopback and a TUN device that are up.
type namespace struct {
	net *os.File // names the namespace
	tun *os.File // what the device sends is read here, what it gets is written
}

func newNamespace(addr netip.Addr, mtu int) (*namespace, error) {
	ns, err := makeNamespace()
	if err != nil {
		return nil, err
	}
	s := &namespace{net: ns}
	if err := s.configure(addr, mtu); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *namespace) configure(addr netip.Addr, mtu int) error {
	err := s.do(func() error {
		if err := setUp("lo"); err != nil {
			return err
		}
		tun, err := openTUN()
		if err != nil {
			return err
		}
		s.tun = tun
		return setQueueLen(tunName, tunQueue)
	})
	if err != nil {
		return err
	}
	if err := s.setMTU(mtu); err != nil {
		return err
	}
	if err := s.do(func() error { return setUp(tunName) }); err != nil {
		return err
	}
	return s.setAddr(addr)
}

// makeNamespace returns a new network namespace.
func makeNamespace() (made *os.File, err error) {
	enter := func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace (run as root, or use link.Main where user namespaces are allowed): %w", noNamespace(err))
		}
		return nil
	}
	err = visit(enter, func() error {
		made, err = os.Open(thisNet)
		return err
	})
	return made, err
}

// do calls f on the caller's goroutine with its thread in the namespace.
func (s *namespace) do(f func() error) error {
	enter := func() error {
		if err := unix.Setns(int(s.net.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace (is the link closed?): %w", err)
		}
		return nil
	}
	return visit(enter, f)
}

// visit calls f after enter has put the thread into another network namespace,
// and brings it back, also when f panics or ends the goroutine (as t.Fatal does).
func visit(enter, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open(thisNet)
	if err != nil {
		return err
	}
	defer home.Close()
	if err := enter(); err != nil {
		return err
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			// The goroutine would go on in the wrong namespace.
			panic(fmt.Sprintf("link: the thread does not get back into its network namespace: %v", err))
		}
	}()
	return f()
}

// openTUN makes the TUN device of the thread's namespace.
func openTUN() (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s (load the module tun, give the container the device): %w", tunDevice, err)
	}
	ifreq, err := unix.NewIfreq(tunName)
	if err == nil {
		// No header before packets, so the kernel leaves no checksum and no
		// segmentation for the reader to do.
		ifreq.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifreq)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the TUN device %s: %w", tunName, err)
	}
	return os.NewFile(uintptr(fd), tunDevice), nil // polled, since it does not block
}

// setAddr gives the TUN device an address in place of the one it has.
func (s *namespace) setAddr(addr netip.Addr) error {
	return s.do(func() error {
		ifreq, err := unix.NewIfreq(tunName)
		if err != nil {
			return err
		}
		for _, set := range []struct {
			name    string
			request uint
			value   []byte
		}{
			{"address", unix.SIOCSIFADDR, addr.AsSlice()},
			{"netmask", unix.SIOCSIFNETMASK, net.CIDRMask(prefixBits, 32)},
		} {
			if err := ifreq.SetInet4Addr(set.value); err != nil {
				return err
			}
			if err := ioctl(set.request, ifreq, set.name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *namespace) setMTU(mtu int) error {
	return s.do(func() error {
		ifreq, err := unix.NewIfreq(tunName)
		if err != nil {
			return err
		}
		ifreq.SetUint32(uint32(mtu))
		return ioctl(unix.SIOCSIFMTU, ifreq, "MTU")
	})
}

// setUp brings an interface of the thread's namespace up.
func setUp(name string) error {
	ifreq, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := ioctl(unix.SIOCGIFFLAGS, ifreq, "flags"); err != nil {
		return err
	}
	ifreq.SetUint16(ifreq.Uint16() | unix.IFF_UP)
	return ioctl(unix.SIOCSIFFLAGS, ifreq, "flags")
}

// setQueueLen sets how many packets wait in an interface, over rtnetlink: the
// ioctl for it is for the machine's root only.
func setQueueLen(name string, n uint32) error {
	ifreq, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := ioctl(unix.SIOCGIFINDEX, ifreq, "index"); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer unix.Close(fd)
	const size = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg + unix.SizeofRtAttr + 4
	native := binary.NativeEndian
	b := native.AppendUint32(nil, size) // nlmsghdr: length, type, flags, sequence, port
	b = native.AppendUint16(b, unix.RTM_NEWLINK)
	b = native.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = append(b, make([]byte, 8)...)
	b = append(b, unix.AF_UNSPEC, 0, 0, 0) // ifinfomsg: family, type, index, flags, mask of flags
	b = native.AppendUint32(b, ifreq.Uint32())
	b = append(b, make([]byte, 8)...)
	b = native.AppendUint16(b, unix.SizeofRtAttr+4) // rtattr: length, type, value
	b = native.AppendUint16(b, unix.IFLA_TXQLEN)
	b = native.AppendUint32(b, n)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("length of the queue of interface %s: %w", name, err)
	}
	answer := make([]byte, 4096)
	got, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return fmt.Errorf("length of the queue of interface %s: %w", name, err)
	}
	if got < unix.SizeofNlMsghdr+4 || native.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("length of the queue of interface %s: rtnetlink answers %x", name, answer[:got])
	}
	if code := int32(native.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 { // 0 is an acknowledgement
		return fmt.Errorf("length of the queue of interface %s: %w", name, unix.Errno(-code))
	}
	return nil
}

// ioctl asks the thread's namespace for something about an interface.
func ioctl(request uint, ifreq *unix.Ifreq, what string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.IoctlIfreq(fd, request, ifreq); err != nil {
		return fmt.Errorf("%s of interface %s: %w", what, ifreq.Name(), err)
	}
	return nil
}

// close ends the device. The namespace ends with its last socket and process.
func (s *namespace) close() {
	for _, f := range []*os.File{s.tun, s.net} {
		if f != nil {
			f.Close()
		}
	}
}
