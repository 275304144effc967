package quic

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"testing"

	"github.com/quic-go/quic-go/quicvarint"
)

// initials makes the first packets of clients that never were (RFC 9000, 17.2.2),
// each with a connection id of its own, around one ClientHello.
type initials struct {
	t     *testing.T
	scid  []byte
	hello []byte // in a CRYPTO frame
}

func newInitials(t *testing.T, client *tls.Config) *initials {
	t.Helper()
	in := &initials{t: t, scid: []byte("nobody00")}
	client = client.Clone()
	client.MinVersion, client.NextProtos = tls.VersionTLS13, []string{ALPN}
	client.CurvePreferences = []tls.CurveID{tls.X25519} // so that it fits one packet
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: client})
	defer c.Close()
	const initialSourceConnectionID = 0x0f
	c.SetTransportParameters(append([]byte{initialSourceConnectionID, byte(len(in.scid))}, in.scid...))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for ev := c.NextEvent(); ev.Kind != tls.QUICNoEvent; ev = c.NextEvent() {
		if ev.Kind == tls.QUICWriteData {
			const crypto = 0x06
			in.hello = quicvarint.Append([]byte{crypto, 0}, uint64(len(ev.Data)))
			in.hello = append(in.hello, ev.Data...)
		}
	}
	return in
}

// packet returns an Initial to dcid with token.
func (in *initials) packet(dcid, token []byte) []byte {
	in.t.Helper()
	const size, pnLen, tagLen = 1200, 4, 16
	head := append([]byte{0xc0 | (pnLen - 1), 0, 0, 0, 1, byte(len(dcid))}, dcid...)
	head = append(append(head, byte(len(in.scid))), in.scid...)
	head = append(quicvarint.Append(head, uint64(len(token))), token...)
	rest := size - len(head) - 2
	head = quicvarint.AppendWithLen(head, uint64(rest), 2)
	pnAt := len(head)
	head = append(head, 0, 0, 0, 0)
	if len(in.hello) > rest-pnLen-tagLen {
		in.t.Fatalf("a ClientHello of %d bytes does not fit", len(in.hello))
	}
	plain := make([]byte, rest-pnLen-tagLen) // PADDING behind the frame
	copy(plain, in.hello)

	key, iv, hp := initialKeys(in.t, dcid)
	b := sealer(in.t, key).Seal(head, iv, plain, head) // packet number 0 leaves iv as it is
	mask := make([]byte, aes.BlockSize)
	block(in.t, hp).Encrypt(mask, b[pnAt+4:pnAt+4+aes.BlockSize])
	b[0] ^= mask[0] & 0x0f
	for i := range pnLen {
		b[pnAt+i] ^= mask[1+i]
	}
	return b
}

// fresh returns an Initial of a client that has not sent any.
func (in *initials) fresh() []byte {
	dcid := make([]byte, 8)
	rand.Read(dcid)
	return in.packet(dcid, nil)
}

// answer returns the Initial that answers a Retry, nil if b is none.
func (in *initials) answer(b []byte) []byte {
	if len(b) < 7 || b[0]&0xf0 != 0xf0 {
		return nil
	}
	_, b = b[6:6+b[5]], b[6+b[5]:]
	scid, token := b[1:1+b[0]], b[1+b[0]:len(b)-16]
	return in.packet(bytes.Clone(scid), token)
}

// initialKeys are those of a client's Initials (RFC 9001, 5.2).
func initialKeys(t *testing.T, dcid []byte) (key, iv, hp []byte) {
	t.Helper()
	salt := []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}
	expand := func(secret []byte, label string, n int) []byte {
		label = "tls13 " + label
		info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len(label)))
		out, err := hkdf.Expand(sha256.New, secret, string(append(append(info, label...), 0)), n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	secret, err := hkdf.Extract(sha256.New, dcid, salt)
	if err != nil {
		t.Fatal(err)
	}
	secret = expand(secret, "client in", 32)
	return expand(secret, "quic key", 16), expand(secret, "quic iv", 12), expand(secret, "quic hp", 16)
}

func block(t *testing.T, key []byte) cipher.Block {
	t.Helper()
	b, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sealer(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	a, err := cipher.NewGCM(block(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return a
}
