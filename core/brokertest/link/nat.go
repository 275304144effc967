package link

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
)

// Outside ports come from here, one after the other.
const (
	firstPort = 20000
	lastPort  = 59999
)

// edge stands between near and the long way: it knows who has which address,
// and translates addresses if the link has a NAT. A mapping depends on near's
// port only, and anybody who knows the outside port may use it (RFC 4787:
// endpoint-independent mapping and filtering). Mappings last until a rebind.
type edge struct {
	mu        sync.Mutex
	near, far netip.Addr
	translate bool
	outside   netip.Addr
	ports     map[endpoint]uint16 // near's port to the outside port
	back      map[endpoint]uint16 // and back
	next      uint16
}

type endpoint struct {
	protocol byte
	port     uint16
}

func newEdge(near, far, outside netip.Addr, translate bool, seed uint64) *edge {
	e := &edge{near: near, far: far, translate: translate, outside: outside}
	e.next = firstPort + uint16(rand.New(rand.NewPCG(seed, 0)).IntN(lastPort-firstPort+1))
	e.forget()
	return e
}

func (e *edge) forget() {
	e.ports, e.back = map[endpoint]uint16{}, map[endpoint]uint16{}
}

// rebind drops all mappings; new ones are at outside, on ports not used lately.
func (e *edge) rebind(outside netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outside = outside
	e.forget()
}

// renumber tells the edge of near's new address.
func (e *edge) renumber(near netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.near = near
}

// seen returns the address under which far sees near.
func (e *edge) seen() netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.translate {
		return e.outside
	}
	return e.near
}

func (e *edge) nearAddr() netip.Addr {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.near
}

// up passes a packet of near's on.
func (e *edge) up(b []byte) reason {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !isIPv4(b) || addrOf(b, source) != e.near || addrOf(b, destination) != e.far {
		return unroutable
	}
	if !e.translate {
		return passed
	}
	if protocol, port, ok := portOf(b, source); ok {
		outside, ok := e.outsidePort(endpoint{protocol, port})
		if !ok {
			return unmapped
		}
		setPort(b, source, outside)
	}
	setAddr(b, source, e.outside)
	if inner := icmpInner(b); inner != nil { // near's complaint about a packet of far's
		if protocol, port, ok := portOf(inner, destination); ok {
			if outside, ok := e.ports[endpoint{protocol, port}]; ok {
				setPort(inner, destination, outside)
			}
		}
		setAddr(inner, destination, e.outside)
		sumICMP(b)
	}
	return passed
}

// down passes a packet of far's on.
func (e *edge) down(b []byte) reason {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !isIPv4(b) || addrOf(b, source) != e.far {
		return unroutable
	}
	if !e.translate {
		if addrOf(b, destination) != e.near {
			return unroutable
		}
		return passed
	}
	if addrOf(b, destination) != e.outside {
		return unmapped
	}
	if protocol, port, ok := portOf(b, destination); ok {
		inside, ok := e.back[endpoint{protocol, port}]
		if !ok {
			return unmapped
		}
		setPort(b, destination, inside)
	}
	setAddr(b, destination, e.near)
	if inner := icmpInner(b); inner != nil { // far's complaint about a packet of near's
		if protocol, port, ok := portOf(inner, source); ok {
			inside, ok := e.back[endpoint{protocol, port}]
			if !ok {
				return unmapped
			}
			setPort(inner, source, inside)
		}
		setAddr(inner, source, e.near)
		sumICMP(b)
	}
	return passed
}

func (e *edge) outsidePort(inside endpoint) (uint16, bool) {
	if port, ok := e.ports[inside]; ok {
		return port, true
	}
	for range lastPort - firstPort + 1 {
		port := e.next
		if e.next++; e.next > lastPort {
			e.next = firstPort
		}
		outside := endpoint{inside.protocol, port}
		if _, taken := e.back[outside]; !taken {
			e.ports[inside], e.back[outside] = port, inside.port
			return port, true
		}
	}
	return 0, false
}

// Protocols and positions in an IPv4 header and in what follows it (RFC 791,
// 768, 9293, 792).
const (
	icmp = 1
	tcp  = 6
	udp  = 17

	ipSum  = 10
	udpSum = 6
	tcpSum = 16
)

type end int

const (
	source end = iota
	destination
)

// isIPv4 says whether b begins with a whole IPv4 header.
func isIPv4(b []byte) bool {
	return len(b) >= 20 && b[0]>>4 == 4 && headerLen(b) >= 20 && headerLen(b) <= len(b)
}

func headerLen(b []byte) int { return int(b[0]&15) * 4 }

func addrOf(b []byte, e end) netip.Addr {
	return netip.AddrFrom4([4]byte(b[12+4*e : 16+4*e]))
}

// payload returns what follows the IP header, if that begins with the header of the
// next protocol: not in a fragment but the first.
func payload(b []byte) []byte {
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return nil
	}
	return b[headerLen(b):]
}

// portOf returns a port of a TCP or UDP packet. Fragments but the first have
// none; they have the addresses rewritten and nothing else, which suffices for one host
// behind the NAT.
func portOf(b []byte, e end) (protocol byte, port uint16, ok bool) {
	p := payload(b)
	if (b[9] != tcp && b[9] != udp) || len(p) < 8 {
		return 0, 0, false
	}
	return b[9], binary.BigEndian.Uint16(p[2*e:]), true
}

// setPort rewrites a port of a packet that portOf knows.
func setPort(b []byte, e end, port uint16) {
	p := payload(b)
	field := p[2*e : 2*e+2]
	was := [2]byte(field)
	binary.BigEndian.PutUint16(field, port)
	adjustTransport(b, was[:], field)
}

func setAddr(b []byte, e end, addr netip.Addr) {
	field := b[12+4*e : 16+4*e]
	was, is := [4]byte(field), addr.As4()
	copy(field, is[:])
	adjust(b[ipSum:], was[:], is[:])
	adjustTransport(b, was[:], is[:])
}

// adjustTransport corrects the checksum of TCP or UDP after a change of the port
// or of the addresses, which it covers too. A packet within an ICMP message may
// end before it.
func adjustTransport(b, was, is []byte) {
	p := payload(b)
	switch {
	case b[9] == tcp && len(p) >= tcpSum+2:
		adjust(p[tcpSum:], was, is)
	case b[9] == udp && len(p) >= udpSum+2:
		if p[udpSum] == 0 && p[udpSum+1] == 0 {
			return // sent without one
		}
		adjust(p[udpSum:], was, is)
		if p[udpSum] == 0 && p[udpSum+1] == 0 {
			p[udpSum], p[udpSum+1] = 0xff, 0xff
		}
	}
}

// adjust corrects a checksum after a change (RFC 1624, equation 3).
func adjust(sum, was, is []byte) {
	n := uint32(^binary.BigEndian.Uint16(sum))
	for i := 0; i < len(was); i += 2 {
		n += uint32(^binary.BigEndian.Uint16(was[i:])) + uint32(binary.BigEndian.Uint16(is[i:]))
	}
	binary.BigEndian.PutUint16(sum, ^fold(n))
}

func fold(n uint32) uint16 {
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return uint16(n)
}

// onesSum is the sum that the Internet's checksum is the complement of (RFC 1071).
func onesSum(b []byte) uint32 {
	var n uint32
	for ; len(b) >= 2; b = b[2:] {
		n += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		n += uint32(b[0]) << 8
	}
	return n
}

// icmpInner returns the beginning of the packet that an ICMP error is about, nil if b is
// none (RFC 792: destination unreachable, time exceeded, parameter problem).
func icmpInner(b []byte) []byte {
	if b[9] != icmp {
		return nil
	}
	p := payload(b)
	if len(p) < 8 || (p[0] != 3 && p[0] != 11 && p[0] != 12) || !isIPv4(p[8:]) {
		return nil
	}
	return p[8:]
}

func sumICMP(b []byte) {
	p := payload(b)
	p[2], p[3] = 0, 0
	binary.BigEndian.PutUint16(p[2:], ^fold(onesSum(p)))
}
