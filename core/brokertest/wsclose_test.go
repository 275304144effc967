package brokertest_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ganglion/core/broker"
	"ganglion/core/brokertest"
	"ganglion/core/brokertest/natstest"
	"ganglion/listeners/websocket"
)

// wsOf returns the raw frames inside what dialWebSocket returned.
func wsOf(c net.Conn) *framed { return c.(*alike).Conn.(*framed) }

// wsFrame is a client's frame with the given first byte.
func wsFrame(first byte, payload string) string {
	n := len(payload)
	b := []byte{first}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	b = append(b, 0, 0, 0, 0) // a mask that changes nothing
	return string(append(b, payload...))
}

// TestWebSocketEnds: how sessions over WebSocket end, here and on a nats-server:
// the last line, and the close frame or its absence.
func TestWebSocketEnds(t *testing.T) {
	t.Parallel()
	const hello = "CONNECT {\"verbose\":false}\r\n"
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, config, send string
		want               string // what of the stream came last, then the close frame
	}{
		{"the client says goodbye", "", wsFrame(0x88, "\x03\xe8bye"), `"" close "\x03\xe8bye"`},
		{"goodbye without a code", "", wsFrame(0x88, ""), `"" close ""`},
		{"wrong password", "authorization { user: a, password: b }", wsFrame(0x82, hello), `"-ERR 'Authorization Violation'\r\n" close "\x03\xf0Authentication Failure"`},
		{"no CONNECT in time", "authorization { user: a, password: b, timeout: 0.2 }", "", `"-ERR 'Authentication Timeout'\r\n" close "\x03\xf0Authentication Timeout"`},
		{"payload too large", "max_payload: 1000", wsFrame(0x82, hello+"PUB a 2000\r\n"+long+"\r\n"), `"-ERR 'Maximum Payload Violation'\r\n" close "\x03\xf1Maximum Message Payload Exceeded"`},
		{"unmasked", "", "\x82\x06PING\r\n", `"" end`},
		{"unknown opcode", "", wsFrame(0x83, ""), `"" end`},
		{"oversized control frame", "", wsFrame(0x89, strings.Repeat("x", 126)), `"" end`},
		{"compressed without being asked", "", wsFrame(0xc2, "x"), `"" close "\x03\xeacompressed frame received without negotiated permessage-deflate"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			play := func(addr string) string {
				nc, err := dialWebSocket(nil, "")(addr)
				must(t, err)
				defer nc.Close()
				f := wsOf(nc)
				f.SetDeadline(time.Now().Add(brokertest.Patience))
				io.WriteString(f.Conn, c.send)
				b, _ := io.ReadAll(f)
				last := ""
				for _, line := range bytes.SplitAfter(b, []byte("\n")) {
					if len(line) > 0 && !bytes.HasPrefix(line, []byte("INFO")) {
						last = string(line)
					}
				}
				if f.close == nil {
					return fmt.Sprintf("%q end", last)
				}
				return fmt.Sprintf("%q close %q", last, f.close)
			}
			port := freePort(t)
			natstest.StartNATS(t, fmt.Sprintf("websocket { host: 127.0.0.1, port: %s, no_tls: true }\n%s", port, c.config))
			theirs := play("127.0.0.1:" + port)
			ours := play(startOver(t, c.config, overWebSocket(t)))
			// A close frame gets lost when the client's bytes are not all read:
			// nats-server's often, ours always where nothing else is wanted.
			if ours != theirs && theirs != `"" end` && c.want != `"" end` || ours != c.want {
				t.Errorf("Ganglion    %s\nnats-server %s\nwant        %s", ours, theirs, c.want)
			}
		})
	}
}

func overWebSocket(t testing.TB) *transport {
	for _, tr := range transports(t) {
		if tr.name == "ws" {
			return tr
		}
	}
	panic("no ws")
}

// A shutdown says goodbye.
func TestWebSocketShutdown(t *testing.T) {
	t.Parallel()
	f, err := websocket.Opener(websocket.Options{})
	must(t, err)
	b := newBroker(t, broker.Options{})
	ln := open(t, f)
	go b.Serve(ln, broker.Endpoint{Name: "websocket"})
	nc, err := dialWebSocket(nil, "")(ln.Addr().String())
	must(t, err)
	defer nc.Close()
	raw := wsOf(nc)
	raw.SetDeadline(time.Now().Add(brokertest.Patience))
	line := make([]byte, 5)
	_, err = io.ReadFull(raw, line)
	must(t, err)
	shutDown(t, b)
	io.Copy(io.Discard, raw)
	if want := "\x03\xe9Server Shutdown"; string(raw.close) != want {
		t.Fatalf("close frame %q, want %q", raw.close, want)
	}
}

// Frames made to hurt: each ends its own session, and another goes on.
func TestWebSocketBombs(t *testing.T) {
	t.Parallel()
	var zeros bytes.Buffer
	w, err := flate.NewWriter(&zeros, flate.BestCompression)
	must(t, err)
	w.Write(make([]byte, 32<<20))
	w.Flush()
	packed := bytes.TrimSuffix(zeros.Bytes(), []byte{0, 0, 0xff, 0xff})
	if len(packed) > 1<<20 {
		t.Fatalf("the bomb has %d bytes", len(packed))
	}
	bomb := binary.BigEndian.AppendUint64([]byte{0xc2, 0xff}, uint64(len(packed)))
	bomb = append(append(bomb, 0, 0, 0, 0), packed...)
	tr := overWebSocket(t)
	tr.listen = func(t testing.TB) (net.Listener, broker.Endpoint) {
		f, err := websocket.Opener(websocket.Options{Compression: true})
		must(t, err)
		return open(t, f), broker.Endpoint{Name: "websocket"}
	}
	addr := startOver(t, "", tr)
	healthy := dial(t, target{addr: addr, url: "ws://" + addr})
	const deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	for _, c := range []struct {
		name string
		send []byte
	}{
		{"32 MiB of zeros, compressed", bomb},
		{"a frame that announces 2^62 bytes", append(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<62), "\x00\x00\x00\x00GARBAGE\r\n"...)},
		{"a million fragments of nothing", append(append([]byte("\x02\x80\x00\x00\x00\x00"), bytes.Repeat([]byte("\x00\x80\x00\x00\x00\x00"), 1_000_000)...), "\xff\x80\x00\x00\x00\x00"...)},
		{"compressed fragments without end", append([]byte("\x42\x81\x00\x00\x00\x00x"), bytes.Repeat(append([]byte("\x00\xff\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"), make([]byte, 1<<16)...), 40)...)},
	} {
		nc, err := dialWebSocket(nil, deflate)(addr)
		must(t, err)
		f := wsOf(nc)
		f.SetDeadline(time.Now().Add(2 * brokertest.Patience))
		f.Conn.Write(c.send)
		if _, err := io.Copy(io.Discard, f); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: still connected", c.name)
		}
		nc.Close()
		must(t, healthy.FlushTimeout(soon))
	}
}
