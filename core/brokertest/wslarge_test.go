package brokertest_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/core/broker"
	"ganglion/core/brokertest"
	"ganglion/listeners/tcp"
	"ganglion/listeners/websocket"
)

// deflated is p as a client compresses a message.
func deflated(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	must(t, err)
	w.Write(p)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// TestWebSocketLargeOps: ops of all sizes, chopped into frames of all sizes, some
// of them compressed, arrive as they were sent, over ws and wss.
func TestWebSocketLargeOps(t *testing.T) {
	t.Parallel()
	server, client := identity(t)
	for _, c := range []struct {
		name string
		o    websocket.Options
		dial func(addr string) (net.Conn, error)
	}{
		{"ws", websocket.Options{Compression: true}, dialWebSocket(nil, "Sec-WebSocket-Extensions: permessage-deflate\r\n")},
		{"wss", websocket.Options{Compression: true, Secure: func(nc net.Conn) net.Conn { return broker.TLSServer(nc, server) }},
			dialWebSocket(client, "Sec-WebSocket-Extensions: permessage-deflate\r\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t, broker.Options{})
			f, err := websocket.Opener(c.o)
			must(t, err)
			ws, plain := open(t, f), open(t, tcp.Open)
			go b.Serve(ws, broker.Endpoint{Name: "websocket"})
			go b.Serve(plain, broker.Endpoint{Name: "tcp"})
			sub := make(chan *nats.Msg, 1000)
			_, err = dial(t, tcpAt(plain.Addr().String())).ChanSubscribe("big", sub)
			must(t, err)
			nc, err := c.dial(ws.Addr().String())
			must(t, err)
			defer nc.Close()
			raw := wsOf(nc)
			raw.SetDeadline(time.Now().Add(6 * brokertest.Patience))
			go io.Copy(io.Discard, raw)

			rng := rand.New(rand.NewPCG(1, 2))
			stream := []byte("CONNECT {\"verbose\":false}\r\n")
			var want [][]byte
			for range 120 {
				p := make([]byte, rng.IntN(1<<rng.IntN(20)+1))
				for i := range p {
					r := rng.Uint32()
					p[i] = byte(r) & byte(r>>8) // so that some of it can be compressed away
				}
				want = append(want, p)
				stream = fmt.Appendf(stream, "PUB big %d\r\n%s\r\n", len(p), p)
			}
			var frames []byte
			for len(stream) > 0 {
				n := min(rng.IntN(1<<rng.IntN(20)+1)+1, len(stream))
				first, p := byte(0x82), stream[:n]
				if rng.IntN(2) == 0 {
					first, p = 0xc2, deflated(t, p)
				}
				frames = binary.BigEndian.AppendUint64(append(frames, first, 0xff), uint64(len(p)))
				frames = append(append(frames, 0, 0, 0, 0), p...)
				stream = stream[n:]
			}
			if _, err := raw.Conn.Write(frames); err != nil {
				t.Fatal(err)
			}
			for i, w := range want {
				if m := receive(t, sub, "message"); !bytes.Equal(m.Data, w) {
					t.Fatalf("message %d has %d bytes, want %d, or others", i, len(m.Data), len(w))
				}
			}
		})
	}
}
