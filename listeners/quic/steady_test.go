package quic

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	quicgo "github.com/quic-go/quic-go"

	"ganglion/listeners/listenertest"
)

func TestNoWay(t *testing.T) {
	wrap := func(no syscall.Errno) error {
		return fmt.Errorf("send: %w", &net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("sendmsg", no)})
	}
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {net.ErrClosed, false}, {errors.New("x"), false},
		{wrap(syscall.ENETUNREACH), true}, {wrap(syscall.EHOSTUNREACH), true}, {wrap(syscall.EPERM), true},
		// quic-go learns from these.
		{wrap(syscall.EMSGSIZE), false}, {wrap(syscall.EIO), false}, {wrap(syscall.EINVAL), false},
	} {
		if got := noWay(tc.err); got != tc.want {
			t.Errorf("%v: %v; want %v", tc.err, got, tc.want)
		}
	}
}

// TestSteady has a socket that is steady do for quic-go what a bare one does.
func TestSteady(t *testing.T) {
	server, client := listenertest.Identity(t)
	l := serve(t, Options{TLS: server})
	get := accepted(t, l)
	c := dial(t, l, DialOptions{TLS: client})
	far := get()
	client.NextProtos = []string{ALPN}
	bare, err := quicgo.DialAddr(t.Context(), l.Addr().String(), client, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer bare.CloseWithError(0, "")
	want := bare.ConnectionState().GSO
	if near, far := c.qc.ConnectionState().GSO, far.s.qc.ConnectionState().GSO; near != want || far != want {
		t.Errorf("segmentation offload: client %v, server %v; a bare socket %v", near, far, want)
	}
	t.Logf("segmentation offload: %v", want)
}
