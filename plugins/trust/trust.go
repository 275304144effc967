// Package trust signs plugins and checks their signatures.
//
// A signature is a custom section named "ganglion-signature", the last section
// of the module:
//
//	public nkey "\n" base64url(ed25519 over 0xff "ganglion plugin\n" sha256(the file without this section))
//
// without padding, so that it has 165 bytes in all and one form only: another
// encoding of the same numbers is no signature. Other tools pass over the section,
// and a signed module runs wherever the unsigned one does.
//
// Keys are nkeys of accounts, users, operators or servers. The byte 0xff stands in
// no text: a client that logs in with the same key signs whatever text a server
// asks it to, which is never what is signed here.
package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nkeys"
)

// Section is the name of the custom section that holds a signature.
const Section = "ganglion-signature"

// What errors wrap.
var (
	// ErrModule says that bytes are no WASM module.
	ErrModule = errors.New("trust: not a WASM module")
	// ErrSignature says that there is a signature, and that it does not hold.
	ErrSignature = errors.New("trust: the signature does not hold")
	// ErrKey says that a key is none that plugins are signed with.
	ErrKey = errors.New("trust: not a key for signatures")
)

// keySize is the length of a public nkey.
const keySize = 56

// Sign returns module with a signature by key, in the place of all that it may
// have had. module itself stays as it is. Of the contents nothing is checked but
// where sections begin and end.
func Sign(module []byte, key nkeys.KeyPair) ([]byte, error) {
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := CheckKey(public); err != nil {
		return nil, err
	}
	list, err := signatures(module)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(module)+256)
	at := 0
	for _, s := range list {
		out = append(out, module[at:s.start]...)
		at = s.end
	}
	out = append(out, module[at:]...)
	sig, err := key.Sign(signedBytes(out))
	if err != nil {
		return nil, fmt.Errorf("%w: it can't sign; a seed (S...) is needed: %w", ErrKey, err)
	}
	return appendSection(out, public, sig), nil
}

// signedBytes is what a signature is over.
func signedBytes(module []byte) []byte {
	sum := sha256.Sum256(module)
	return append([]byte("\xffganglion plugin\n"), sum[:]...)
}

// Verify returns the public key of the signature that module has. Without one
// signed is false; with one that does not hold, that is not the last section, or
// that has a second beside it, the error wraps ErrSignature. Whether the key is
// trusted is the caller's to decide.
func Verify(module []byte) (key string, signed bool, err error) {
	list, err := signatures(module)
	if err != nil || len(list) == 0 {
		return "", false, err
	}
	s := list[len(list)-1]
	switch {
	case len(list) > 1:
		return "", false, fmt.Errorf("%w: there are %d; sign the file again", ErrSignature, len(list))
	case s.end != len(module):
		return "", false, fmt.Errorf("%w: %d bytes follow it; sign the file again", ErrSignature, len(module)-s.end)
	}
	public, text, _ := bytes.Cut(s.content, []byte("\n"))
	key = string(public[:min(len(public), keySize+1)])
	if err := CheckKey(key); err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	sig := make([]byte, base64.RawURLEncoding.DecodedLen(len(text)))
	n, err := base64.RawURLEncoding.Decode(sig, text)
	if err != nil || !bytes.Equal(appendSection(nil, key, sig[:n]), module[s.start:s.end]) {
		return "", false, fmt.Errorf("%w: it is not written as signatures are", ErrSignature)
	}
	pair, err := nkeys.FromPublicKey(key)
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if err := pair.Verify(signedBytes(module[:s.start]), sig[:n]); err != nil {
		return "", false, fmt.Errorf("%w: the file was changed after %s signed it", ErrSignature, key)
	}
	return key, true, nil
}

// Hash returns the sha256 of the file as it is, its signature included, as
// hexadecimal digits: what a pin holds.
func Hash(module []byte) string {
	sum := sha256.Sum256(module)
	return hex.EncodeToString(sum[:])
}

// CheckKey reports whether public is a public key that plugins are signed with:
// of an account (A...), user (U...), operator (O...) or server (N...).
func CheckKey(public string) error {
	if !nkeys.IsValidPublicKey(public) || len(public) != keySize {
		return fmt.Errorf("%w: %.60q; use a public nkey of %d letters and digits", ErrKey, public, keySize)
	}
	switch nkeys.Prefix(public) {
	case nkeys.PrefixByteAccount, nkeys.PrefixByteUser, nkeys.PrefixByteOperator, nkeys.PrefixByteServer:
		return nil
	}
	return fmt.Errorf("%w: %s; use one of an account (A...), user (U...), operator (O...) or server (N...)", ErrKey, public)
}

// appendSection appends the section with a signature.
func appendSection(b []byte, key string, sig []byte) []byte {
	content := appendNumber(nil, len(Section))
	content = append(content, Section...)
	content = append(content, key...)
	content = append(content, '\n')
	content = base64.RawURLEncoding.AppendEncode(content, sig)
	b = append(b, 0)
	b = appendNumber(b, len(content))
	return append(b, content...)
}
