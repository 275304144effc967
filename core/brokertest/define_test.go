package brokertest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/brokertest"
)

// define gives s what scripts may name: <cert> and <key>, files; <port-a>, a free
// port; <user-nkey>; <operator>, the configuration of operator mode, and
// <user-jwt-for-2s>, a bearer of its account who expires.
func define(t *testing.T, s *brokertest.Script) {
	certificate := sync.OnceValues(func() (cert, key string) { return writeCertificate(t) })
	s.Define("cert", func() string { cert, _ := certificate(); return cert })
	s.Define("key", func() string { _, key := certificate(); return key })
	s.Define("port-a", func() string { return freePort(t) })
	s.Define("user-nkey", func() string { return public(t, newKey(t, nkeys.CreateUser)) })

	op := sync.OnceValue(func() *operator { return newOperator(t) })
	s.Define("operator", func() string { return op().config })
	s.Define("user-jwt-for-2s", func() string { return op().user(t, 2*time.Second) })
}

// freePort returns a port that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	for { // not one that the system gives to whoever dials meanwhile
		port := strconv.Itoa(12_000 + mrand.IntN(20_000))
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ln.Close()
			return port
		}
	}
}

// writeCertificate makes a self-signed certificate for localhost.
func writeCertificate(t testing.TB) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// operator is an operator with one account.
type operator struct {
	account nkeys.KeyPair
	config  string
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	op, sys := newKey(t, nkeys.CreateOperator), newKey(t, nkeys.CreateAccount)
	o := &operator{account: newKey(t, nkeys.CreateAccount)}
	oc := jwt.NewOperatorClaims(public(t, op))
	oc.SystemAccount = public(t, sys)
	o.config = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload {\n", encode(t, oc, op), oc.SystemAccount)
	for _, k := range []nkeys.KeyPair{sys, o.account} {
		o.config += fmt.Sprintf("%s: %s\n", public(t, k), encode(t, jwt.NewAccountClaims(public(t, k)), op))
	}
	o.config += "}\n"
	return o
}

// user returns the JWT of a bearer who expires after d.
func (o *operator) user(t *testing.T, d time.Duration) string {
	t.Helper()
	uc := jwt.NewUserClaims(public(t, newKey(t, nkeys.CreateUser)))
	uc.BearerToken = true
	uc.Expires = time.Now().Add(d).Unix()
	return encode(t, uc, o.account)
}

func newKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	pub, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func encode(t *testing.T, c jwt.Claims, k nkeys.KeyPair) string {
	t.Helper()
	s, err := c.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
