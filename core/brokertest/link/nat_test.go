package link

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

var stranger = netip.MustParseAddr("192.0.2.9")

// ip makes a packet with right checksums.
func ip(protocol byte, src, dst netip.Addr, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	b[0], b[8], b[9] = 0x45, 64, protocol
	s, d := src.As4(), dst.As4()
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[ipSum:], ^fold(onesSum(b[:20])))
	p := b[20:]
	switch {
	case protocol == tcp && len(p) >= 20:
		clear(p[tcpSum : tcpSum+2])
		binary.BigEndian.PutUint16(p[tcpSum:], ^transportSum(b))
	case protocol == udp && len(p) >= 8:
		clear(p[udpSum : udpSum+2])
		sum := ^transportSum(b)
		if sum == 0 {
			sum = 0xffff // 0 is without a checksum
		}
		binary.BigEndian.PutUint16(p[udpSum:], sum)
	case protocol == icmp && len(p) >= 8:
		sumICMP(b)
	}
	return b
}

// transportSum adds up what TCP's or UDP's checksum covers, which is 0xffff if the checksum in
// it is right.
func transportSum(b []byte) uint16 {
	p := b[headerLen(b):]
	return fold(onesSum(p) + onesSum(b[12:20]) + uint32(b[9]) + uint32(len(p)))
}

func ports(src, dst uint16, n int) []byte {
	p := bytes.Repeat([]byte{0xa5}, n)
	binary.BigEndian.PutUint16(p, src)
	binary.BigEndian.PutUint16(p[2:], dst)
	return p
}

func checkSums(t *testing.T, b []byte) {
	t.Helper()
	if got := fold(onesSum(b[:headerLen(b)])); got != 0xffff {
		t.Errorf("the header's checksum is wrong: sum %#x", got)
	}
	switch p := payload(b); {
	case b[9] == icmp && p != nil:
		if got := fold(onesSum(p)); got != 0xffff {
			t.Errorf("ICMP's checksum is wrong: sum %#x", got)
		}
	case p != nil:
		if got := transportSum(b); got != 0xffff {
			t.Errorf("protocol %d: the checksum is wrong: sum %#x", b[9], got)
		}
	}
}

func TestNAT(t *testing.T) {
	for _, protocol := range []byte{tcp, udp} {
		e := newEdge(nearAddr, farAddr, outsideAddr, true, 1)
		outside := func(b []byte) uint16 {
			t.Helper()
			if why := e.up(b); why != passed {
				t.Fatalf("dropped for reason %d", why)
			}
			checkSums(t, b)
			if got := addrOf(b, source); got != e.seen() {
				t.Errorf("source %s, want %s", got, e.seen())
			}
			_, port, _ := portOf(b, source)
			return port
		}
		first := outside(ip(protocol, nearAddr, farAddr, ports(5000, 4222, 33)))
		if again := outside(ip(protocol, nearAddr, farAddr, ports(5000, 8080, 20))); again != first {
			t.Errorf("port 5000 is %d outside, and then %d", first, again)
		}
		if other := outside(ip(protocol, nearAddr, farAddr, ports(5001, 4222, 20))); other == first {
			t.Errorf("ports 5000 and 5001 are both %d outside", first)
		}

		answer := ip(protocol, farAddr, outsideAddr, ports(4222, first, 40))
		if why := e.down(answer); why != passed {
			t.Fatalf("answer dropped for reason %d", why)
		}
		checkSums(t, answer)
		if _, port, _ := portOf(answer, destination); port != 5000 || addrOf(answer, destination) != nearAddr {
			t.Errorf("answer went to %s:%d", addrOf(answer, destination), port)
		}

		for name, rebind := range map[string]func(){
			"ports":   func() { e.rebind(outsideAddr) },
			"address": func() { e.rebind(outsideAddr.Next()) },
		} {
			was := e.seen()
			rebind()
			if why := e.down(ip(protocol, farAddr, was, ports(4222, first, 20))); why != unmapped {
				t.Errorf("rebound %s: a packet to the old mapping gives reason %d, want %d", name, why, unmapped)
			}
			if next := outside(ip(protocol, nearAddr, farAddr, ports(5000, 4222, 20))); next == first {
				t.Errorf("rebound %s: the port outside is still %d", name, first)
			}
		}
	}
}

func TestUnroutable(t *testing.T) {
	p := ports(1, 2, 20)
	for _, translate := range []bool{false, true} {
		e := newEdge(nearAddr, farAddr, outsideAddr, translate, 1)
		for name, why := range map[string]reason{
			"up from a stranger":    e.up(ip(udp, stranger, farAddr, p)),
			"up to a stranger":      e.up(ip(udp, nearAddr, stranger, p)),
			"down from a stranger":  e.down(ip(udp, stranger, e.seen(), p)),
			"up with a bad header":  e.up([]byte{0x41, 0, 0}),
			"up with a long header": e.up(append([]byte{0x4f}, make([]byte, 30)...)),
		} {
			if why != unroutable {
				t.Errorf("NAT %v, %s: reason %d, want %d", translate, name, why, unroutable)
			}
		}
		if why := e.down(ip(udp, farAddr, stranger, p)); why == passed {
			t.Errorf("NAT %v: a packet to a stranger passes", translate)
		}
	}
	e := newEdge(nearAddr, farAddr, outsideAddr, false, 1)
	e.renumber(nearAddr.Next())
	if why := e.up(ip(udp, nearAddr, farAddr, p)); why != unroutable {
		t.Errorf("a packet from the old address gives reason %d", why)
	}
	if why := e.down(ip(udp, farAddr, nearAddr, p)); why != unroutable {
		t.Errorf("a packet to the old address gives reason %d", why)
	}
}

// Far says that nobody listens: near must recognise its own packet in it.
func TestNATErrors(t *testing.T) {
	e := newEdge(nearAddr, farAddr, outsideAddr, true, 1)
	sent := ip(udp, nearAddr, farAddr, ports(5000, 9, 30))
	original := bytes.Clone(sent)
	if why := e.up(sent); why != passed {
		t.Fatalf("dropped for reason %d", why)
	}
	complaint := ip(icmp, farAddr, outsideAddr, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, sent...))
	if why := e.down(complaint); why != passed {
		t.Fatalf("complaint dropped for reason %d", why)
	}
	checkSums(t, complaint)
	if inner := icmpInner(complaint); !bytes.Equal(inner, original) {
		t.Errorf("the complaint is about\n%x, near sent\n%x", inner, original)
	}

	// And the other way.
	_, port, _ := portOf(sent, source)
	received := ip(udp, farAddr, outsideAddr, ports(9, port, 30))
	original = bytes.Clone(received)
	if why := e.down(received); why != passed {
		t.Fatalf("dropped for reason %d", why)
	}
	complaint = ip(icmp, nearAddr, farAddr, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, received...))
	if why := e.up(complaint); why != passed {
		t.Fatalf("complaint dropped for reason %d", why)
	}
	checkSums(t, complaint)
	if inner := icmpInner(complaint); !bytes.Equal(inner, original) {
		t.Errorf("the complaint is about\n%x, far sent\n%x", inner, original)
	}
}

// A UDP packet without a checksum stays without, and a checksum does not become
// none.
func TestNATZeroChecksum(t *testing.T) {
	e := newEdge(nearAddr, farAddr, outsideAddr, true, 1)
	without := ip(udp, nearAddr, farAddr, ports(5000, 9, 30))
	without[26], without[27] = 0, 0
	if why := e.up(without); why != passed || without[26] != 0 || without[27] != 0 {
		t.Errorf("reason %d, checksum %x", why, without[26:28])
	}
	for n := range 1 << 16 { // some payload makes every sum
		body := ports(5000, 9, 30)
		binary.BigEndian.PutUint16(body[28:], uint16(n))
		b := ip(udp, nearAddr, farAddr, body)
		if e.up(b); b[26] == 0 && b[27] == 0 {
			t.Fatalf("payload %#x: the checksum became 0, which is none", n)
		}
	}
}

// A NAT whose ports are all taken drops.
func TestNATFull(t *testing.T) {
	e := newEdge(nearAddr, farAddr, outsideAddr, true, 1)
	for n := range lastPort - firstPort + 1 {
		if _, ok := e.outsidePort(endpoint{udp, uint16(n)}); !ok {
			t.Fatalf("no port for number %d", n)
		}
	}
	if why := e.up(ip(udp, nearAddr, farAddr, ports(65000, 9, 20))); why != unmapped {
		t.Errorf("reason %d, want %d", why, unmapped)
	}
}

// FuzzNAT translates anything without a panic, and a packet with right checksums
// has right ones afterwards.
func FuzzNAT(f *testing.F) {
	f.Add(byte(tcp), uint16(0), ports(5000, 4222, 40))
	f.Add(byte(udp), uint16(0), ports(5000, 4222, 9))
	f.Add(byte(udp), uint16(0x2000), ports(5000, 4222, 8))
	f.Add(byte(udp), uint16(7), []byte("a later fragment"))
	f.Add(byte(icmp), uint16(0), append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, ip(udp, farAddr, outsideAddr, ports(1, 2, 8))...))
	f.Add(byte(icmp), uint16(0), append([]byte{11, 0, 0, 0, 0, 0, 0, 0}, 0x4f, 1, 2))
	f.Add(byte(132), uint16(0), []byte("something else"))
	f.Fuzz(func(t *testing.T, protocol byte, fragment uint16, body []byte) {
		if len(body) > 2000 {
			return
		}
		e := newEdge(nearAddr, farAddr, outsideAddr, true, 1)
		for _, tc := range []struct {
			src, dst  netip.Addr
			translate func([]byte) reason
		}{{nearAddr, farAddr, e.up}, {farAddr, outsideAddr, e.down}} {
			b := ip(protocol, tc.src, tc.dst, body)
			binary.BigEndian.PutUint16(b[6:], fragment)
			adjust(b[ipSum:], []byte{0, 0}, b[6:8])
			size := len(b)
			if tc.translate(b) != passed {
				continue
			}
			if len(b) != size || fold(onesSum(b[:20])) != 0xffff {
				t.Fatalf("header %x", b[:20])
			}
			whole := fragment&0x3fff == 0
			if whole && (protocol == tcp && len(body) >= 20 || protocol == udp && len(body) >= 8 || protocol == icmp && len(body) >= 8) {
				checkSums(t, b)
			}
		}
	})
}
