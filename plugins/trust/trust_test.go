package trust_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"ganglion/plugins/trust"
)

// key returns a key pair that is the same in each run.
func key(t testing.TB, kind nkeys.PrefixByte, n byte) (nkeys.KeyPair, string) {
	t.Helper()
	pair, err := nkeys.FromRawSeed(kind, bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

func guest(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../wasm/testdata/guest.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sign(t testing.TB, module []byte, pair nkeys.KeyPair) []byte {
	t.Helper()
	b, err := trust.Sign(module, pair)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// custom is a custom section.
func custom(name, content string) []byte {
	body := append(binary.AppendUvarint(nil, uint64(len(name))), name+content...)
	return append(binary.AppendUvarint([]byte{0}, uint64(len(body))), body...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Keys of four kinds sign, and the signature takes 165 bytes behind the module.
func TestSign(t *testing.T) {
	module := guest(t)
	before := bytes.Clone(module)
	for _, kind := range []nkeys.PrefixByte{nkeys.PrefixByteAccount, nkeys.PrefixByteUser, nkeys.PrefixByteOperator, nkeys.PrefixByteServer} {
		pair, public := key(t, kind, 1)
		signed := sign(t, module, pair)
		if len(signed) != len(module)+165 || !bytes.HasPrefix(signed, module) {
			t.Errorf("%s: %d bytes of %d", public, len(signed), len(module))
		}
		if got, ok, err := trust.Verify(signed); got != public || !ok || err != nil {
			t.Errorf("%s: %q %v %v", public, got, ok, err)
		}
		if again := sign(t, signed, pair); !bytes.Equal(again, signed) {
			t.Errorf("%s: signing twice gives something else", public)
		}
		if trust.Hash(signed) == trust.Hash(module) {
			t.Error("the hash is not that of the file as it is")
		}
	}
	if !bytes.Equal(module, before) {
		t.Error("the module that was given was changed")
	}
	if got := trust.Hash(nil); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("hash of nothing: %s", got)
	}
}

// A new signature takes the place of all there were, also of misplaced ones.
func TestSignReplaces(t *testing.T) {
	module := guest(t)
	first, _ := key(t, nkeys.PrefixByteUser, 1)
	second, public := key(t, nkeys.PrefixByteUser, 2)
	section := sign(t, module, first)[len(module):]
	want := sign(t, module, second)
	for name, b := range map[string][]byte{
		"one": join(module, section), "two": join(module, section, section), "in front": join(module[:8], section, module[8:]),
		"broken": join(module, custom(trust.Section, "x")),
	} {
		got := sign(t, b, second)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: something is left of the old", name)
		}
		if k, ok, err := trust.Verify(got); k != public || !ok || err != nil {
			t.Errorf("%s: %q %v %v", name, k, ok, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	module := guest(t)
	user, public := key(t, nkeys.PrefixByteUser, 1)
	cluster, _ := key(t, nkeys.PrefixByteCluster, 1)
	verifier, err := nkeys.FromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		module []byte
		pair   nkeys.KeyPair
		want   error
	}{
		{"cluster key", module, cluster, trust.ErrKey},
		{"curve key", module, curve, trust.ErrKey},
		{"public key only", module, verifier, trust.ErrKey},
		{"no module", []byte("#!/bin/sh"), user, trust.ErrModule},
		{"truncated", module[:len(module)-1], user, trust.ErrModule},
	} {
		if _, err := trust.Sign(tt.module, tt.pair); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestVerify(t *testing.T) {
	module := guest(t)
	pair, public := key(t, nkeys.PrefixByteAccount, 1)
	other, otherPublic := key(t, nkeys.PrefixByteAccount, 2)
	_, cluster := key(t, nkeys.PrefixByteCluster, 1)
	signed := sign(t, module, pair)
	section := signed[len(module):]
	text := string(section[len(section)-86:])
	longNumber := join([]byte{0, section[1], section[2] | 0x80, 0}, section[3:]) // the same size in one byte more
	for _, tt := range []struct {
		name string
		file []byte
		want error
		text string
	}{
		{"unsigned", module, nil, ""},
		{"header only", module[:8], nil, ""},
		{"another custom section", join(module, custom("ganglion-signatures", "x")), nil, ""},
		{"nothing", nil, trust.ErrModule, "does not begin"},
		{"not a module", []byte("\x7fELF and so on"), trust.ErrModule, "does not begin"},
		{"a component", join([]byte("\x00asm\x0d\x00\x01\x00"), module[8:]), trust.ErrModule, "does not begin"},
		{"truncated", signed[:len(signed)-1], trust.ErrModule, "cut off"},
		{"a size of 4 GiB", join(module, []byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f}), trust.ErrModule, "cut off"},
		{"a size of 70 bits", join(module, []byte{0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}), trust.ErrModule, "cut off"},
		{"a name longer than its section", join(module, []byte{0, 1, 40}, section), trust.ErrModule, "no name"},
		{"many sections", join(module, bytes.Repeat([]byte{0, 1, 0}, 1<<20), []byte{0}), trust.ErrModule, "cut off"},
		{"many signatures", join(module, bytes.Repeat(section, 1000)), trust.ErrSignature, "more than 16"},
		{"in front", join(module[:8], section, module[8:]), trust.ErrSignature, "bytes follow"},
		{"followed by a section", join(signed, custom("x", "")), trust.ErrSignature, "bytes follow"},
		{"two", join(signed, section), trust.ErrSignature, "there are 2"},
		{"one in front, one behind", join(module[:8], section, module[8:], section), trust.ErrSignature, "there are 2"},
		{"of another module", join(module, custom("x", ""), section), trust.ErrSignature, "changed after"},
		{"under another's name", join(module, custom(trust.Section, otherPublic+"\n"+text)), trust.ErrSignature, "changed after"},
		{"empty", join(module, custom(trust.Section, "")), trust.ErrSignature, "public nkey"},
		{"key only", join(module, custom(trust.Section, public)), trust.ErrSignature, "not written as"},
		{"key of a cluster", join(module, custom(trust.Section, cluster+"\n"+text)), trust.ErrSignature, "(A...)"},
		{"long key", join(module, custom(trust.Section, strings.Repeat("A", 1<<16)+"\n"+text)), trust.ErrSignature, "public nkey"},
		{"short signature", join(module, custom(trust.Section, public+"\n"+text[:80])), trust.ErrSignature, "changed after"},
		{"long signature", join(module, custom(trust.Section, public+"\n"+text+text)), trust.ErrSignature, ""},
		{"padding", join(module, custom(trust.Section, public+"\n"+text+"==")), trust.ErrSignature, "not written as"},
		{"line end", join(module, custom(trust.Section, public+"\n"+text+"\n")), trust.ErrSignature, "not written as"},
		{"bits behind the end", join(module, custom(trust.Section, public+"\n"+text[:85]+next(text[85]))), trust.ErrSignature, "not written as"},
		{"size in another form", join(module, longNumber), trust.ErrSignature, "not written as"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, ok, err := trust.Verify(tt.file)
			if ok || k != "" || !errors.Is(err, tt.want) || tt.want != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q %v %v; want %v with %q", k, ok, err, tt.want, tt.text)
			}
		})
	}
	if k, ok, err := trust.Verify(sign(t, signed, other)); k != otherPublic || !ok || err != nil {
		t.Errorf("signed by another after that: %q %v %v", k, ok, err)
	}
}

// next is the letter of base64url behind c: the last one of 64 bytes has four bits
// too many, so that several letters stand for the same.
func next(c byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return letters[strings.IndexByte(letters, c)+1:][:1]
}

// No bit of a signed file can be changed: it is no valid signature by that key any
// more, nor by another.
func TestVerifyBits(t *testing.T) {
	pair, _ := key(t, nkeys.PrefixByteOperator, 1)
	signed := sign(t, join([]byte("\x00asm\x01\x00\x00\x00"), custom("name", "some text"), custom("more", "text")), pair)
	for at := range signed {
		for bit := range 8 {
			b := bytes.Clone(signed)
			b[at] ^= 1 << bit
			if k, ok, err := trust.Verify(b); ok {
				t.Fatalf("byte %d, bit %d: %s %v", at, bit, k, err)
			}
		}
		if k, ok, _ := trust.Verify(signed[:at]); ok {
			t.Fatalf("the first %d bytes: %s", at, k)
		}
	}
	whole := sign(t, guest(t), pair)
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 0x10
		if k, ok, err := trust.Verify(b); ok {
			t.Fatalf("byte %d: %s %v", at, k, err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for _, kind := range []nkeys.PrefixByte{nkeys.PrefixByteAccount, nkeys.PrefixByteUser, nkeys.PrefixByteOperator, nkeys.PrefixByteServer, nkeys.PrefixByteCluster} {
		pair, public := key(t, kind, 3)
		if err := trust.CheckKey(public); (err == nil) != (kind != nkeys.PrefixByteCluster) {
			t.Errorf("%s: %v", public, err)
		}
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"", string(seed), public[:55], public + "A", strings.ToLower(public), public[:28] + "\n" + public[28:]} {
			if err := trust.CheckKey(s); !errors.Is(err, trust.ErrKey) {
				t.Errorf("%q: %v", s, err)
			}
		}
	}
}

// Whatever the bytes are: no panic, and what is signed is signed in one form.
func FuzzVerify(f *testing.F) {
	module := guest(f)
	pair, public := key(f, nkeys.PrefixByteUser, 1)
	signed := sign(f, module, pair)
	for _, b := range [][]byte{nil, module, module[:8], signed, signed[:len(signed)-1], join(module[:8], signed[len(module):]), join(signed, signed[len(module):])} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, ok, err := trust.Verify(b)
		if ok != (k != "") || ok && err != nil {
			t.Fatalf("%q %v %v", k, ok, err)
		}
		again, signErr := trust.Sign(b, pair)
		if errors.Is(err, trust.ErrModule) {
			if signErr == nil {
				t.Fatal("what is no module was signed")
			}
			return
		}
		if errors.Is(err, trust.ErrSignature) && errors.Is(signErr, trust.ErrSignature) {
			return // there are too many signatures
		}
		if signErr != nil {
			t.Fatal(signErr)
		}
		if ok && k == public && !bytes.Equal(again, b) {
			t.Fatal("a signature in another form was taken")
		}
		if k, ok, err := trust.Verify(again); k != public || !ok || err != nil {
			t.Fatalf("what was signed: %q %v %v", k, ok, err)
		}
	})
}
