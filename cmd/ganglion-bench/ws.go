package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Frame bits and opcodes, RFC 6455, section 5.2.
const (
	bitFin     = 0x80
	bitRSV1    = 0x40 // the message is compressed, RFC 7692
	bitsRSV23  = 0x30
	bitMask    = 0x80
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
)

// maskKey is a different key for each i, without a zero byte: servers must do
// all of the work that a random one means.
func maskKey(i int) (key [4]byte) {
	binary.BigEndian.PutUint32(key[:], uint32(i)*0x9E3779B1|0x01010101)
	return key
}

// appendFrame encodes payload as one masked binary frame.
func appendFrame(b, payload []byte, key [4]byte) []byte {
	b = append(b, bitFin|opBinary)
	switch n := len(payload); {
	case n < 126:
		b = append(b, bitMask|byte(n))
	case n < 1<<16:
		b = append(b, bitMask|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, bitMask|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, key[:]...)
	from := len(b)
	b = append(b, payload...)
	for i := range payload {
		b[from+i] ^= key[i%4]
	}
	return b
}

// wsKey is the nonce of every upgrade: nothing here caches answers.
const wsKey = "Z2FuZ2xpb24tYmVuY2gtMQ=="

const offerDeflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// maxAnswer bounds the answer to an upgrade.
const maxAnswer = 8 << 10

// upgrade makes a WebSocket of the connection and takes in what follows the
// server's answer. Frames that the server compresses are inflated by z, which
// is nil where compression is not asked for.
func (c *conn) upgrade(z *inflater) error {
	req := "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + wsKey + "\r\n"
	if z != nil {
		req += "Sec-WebSocket-Extensions: " + offerDeflate + "\r\n"
	}
	if err := c.write([]byte(req + "\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 0, 1<<10)
	end := -1
	for end < 0 {
		if len(answer) == cap(answer) {
			if len(answer) >= maxAnswer {
				return fmt.Errorf("answer to the upgrade is longer than %d bytes", maxAnswer)
			}
			answer = append(make([]byte, 0, 2*cap(answer)), answer...)
		}
		n, err := c.read(answer[len(answer):cap(answer)])
		if err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
		answer = answer[:len(answer)+n]
		end = bytes.Index(answer, []byte("\r\n\r\n"))
	}
	if err := checkUpgrade(string(answer[:end]), z != nil); err != nil {
		return err
	}
	c.frames = &frames{inflate: z}
	c.framed = true
	return c.receive(answer[end+4:])
}

// checkUpgrade looks at a status line and headers.
func checkUpgrade(answer string, deflate bool) error {
	status, rest, _ := strings.Cut(answer, "\r\n")
	if !strings.HasPrefix(status, "HTTP/1.1 101 ") {
		return fmt.Errorf("upgrade refused: %q", status)
	}
	h := http.Header{}
	for line := range strings.SplitSeq(rest, "\r\n") {
		k, v, _ := strings.Cut(line, ":")
		h.Add(strings.TrimSpace(k), strings.TrimSpace(v))
	}
	sum := sha1.Sum([]byte(wsKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 1.3
	if got, want := h.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", got, want)
	}
	ext := h.Get("Sec-WebSocket-Extensions")
	switch agreed := strings.HasPrefix(ext, "permessage-deflate"); {
	case deflate && !agreed:
		return errors.New("server declined permessage-deflate; is compression on?")
	case deflate && !strings.Contains(ext, "server_no_context_takeover"):
		return fmt.Errorf("server wants to compress with context takeover (%q), which this client does not do", ext)
	case !deflate && ext != "":
		return fmt.Errorf("server chose the extension %q, which nobody offered", ext)
	}
	return nil
}
