// Package link is a bad link for tests: two network namespaces, near (the
// device) and far (the server), joined by a relay in the test's own process. The
// relay applies delay, jitter, loss, reordering, a rate with a bounded queue,
// blackouts, a small MTU and changes of address, all settable while packets
// flow, per direction. Only tests import it.
//
//	func TestMain(m *testing.M) { os.Exit(link.Main(m)) }
//
//	func TestNetDevice(t *testing.T) {
//		l := link.New(t, link.Options{Seed: 1, Shape: link.Shape{Delay: 30 * time.Millisecond, Loss: .02}})
//		ln, err := l.Far.Listen("tcp", ":4222")
//		...
//		nc, err := nats.Connect(l.Far.URL("nats", 4222), nats.SetCustomDialer(l.Near))
//		...
//		l.Blackout(true)
//	}
//
// # Namespaces
//
// A socket stays in the namespace in which it was made, whoever uses it. So both
// ends live in one test: [Host.Listen], [Host.ListenPacket] and
// [Host.DialContext] make sockets there, [Host.Do] runs a function there and
// [Host.Start] a process. Addresses are IPv4 literals; names are not resolved.
// Each namespace has its own loopback. IPv6 packets do not cross the link.
//
// It needs Linux and /dev/net/tun, and either root (CAP_SYS_ADMIN and
// CAP_NET_ADMIN) or user namespaces and [Main]. Where that is missing, [New]
// skips the test and says why; with GANGLION_CI=1 in the environment it fails.
// Tests of this kind have the build tag net and names that begin with TestNet;
// make test-net runs them. Kernel queueing disciplines (tc netem) and the
// commands ip and nft are not needed.
//
// # What a packet meets
//
// Near has an interface, a NAT if [Options] has one, then the long way, then far's
// interface. A packet from near gets its outside address first, a packet to near
// its inside address last: a mapping that [Link.Rebind] dropped is gone for
// packets on their way too. In between, in this order: larger than [Shape].MTU,
// blackout, loss, the queue before the transmitter, transmission at Rate,
// delay. A blackout takes also what would arrive while it lasts. Sizes are those of IP
// packets with their headers.
//
// Random choices come from generators seeded with [Options].Seed, one for each
// direction and kind: the same packets in the same order meet the same fate, and
// a change of the jitter does not change which are lost.
//
// Delays are never shorter than asked for; on an idle machine they are about 1 ms longer.
// A change acts on packets the relay reads from then on; what a sender wrote
// an instant earlier can be among them.
package link
