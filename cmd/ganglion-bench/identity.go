package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// identity is a certificate for 127.0.0.1 that lives as long as a run.
type identity struct {
	cert, key string      // files, for the servers
	client    *tls.Config // trusts it
}

// newIdentity makes one with a key on P-256, which is what most servers have.
func newIdentity(dir string) (identity, error) {
	id := identity{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return id, fmt.Errorf("make a key: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "ganglion-bench"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(48 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return id, fmt.Errorf("make a certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return id, fmt.Errorf("encode the key: %w", err)
	}
	for path, block := range map[string]*pem.Block{
		id.cert: {Type: "CERTIFICATE", Bytes: der},
		id.key:  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return id, fmt.Errorf("write certificate: %w", err)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return id, fmt.Errorf("read the certificate back: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	id.client = &tls.Config{
		RootCAs:    roots,
		ServerName: "127.0.0.1",
		// Full records from the first byte: this is load, not a page.
		DynamicRecordSizingDisabled: true,
	}
	return id, nil
}
