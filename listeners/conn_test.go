package listeners

import (
	"net"
	"testing"
	"unsafe"
)

// There is one wrapper for each idle connection. 32 bytes is a size class; a
// field more costs 16 bytes.
func TestConnSize(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("counted for 64 bits")
	}
	for name, size := range map[string]uintptr{
		"conn": unsafe.Sizeof(conn{}), "socketConn": unsafe.Sizeof(socketConn{}), "halfConn": unsafe.Sizeof(halfConn{}), "rawConn": unsafe.Sizeof(rawConn{}),
	} {
		if size != 32 {
			t.Errorf("%s has %d bytes", name, size)
		}
	}
}

// An address that has gone leaves nothing behind.
func TestPeersForgotten(t *testing.T) {
	g := NewGate(nil, Config{Limits: Limits{MaxPerAddr: 2}})
	var conns []net.Conn
	for range 2 {
		near, far := net.Pipe()
		defer near.Close()
		c, ok := g.enter(&addressed{far})
		if !ok {
			t.Fatal("refused")
		}
		conns = append(conns, c)
	}
	if _, ok := g.enter(&addressed{}); ok || len(g.peers) != 1 {
		t.Fatalf("entered %v, %d addresses", ok, len(g.peers))
	}
	conns[0].Close()
	if len(g.peers) != 1 {
		t.Fatal("forgotten too early")
	}
	conns[1].Close()
	if len(g.peers) != 0 || g.open != 0 {
		t.Fatalf("%d addresses, %d open", len(g.peers), g.open)
	}
}

type addressed struct{ net.Conn }

func (*addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }
