package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const defaultRootLife = 3650 * 24 * time.Hour

// root is the CA of an internal source.
type root struct {
	file string // where it is kept
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte // the certificate alone, to give away
}

// loadRoot reads the root in dir, or makes one. Certificate and key stand in one
// file, root.pem, so that there is no half of a root; root.crt is a copy of the
// certificate for the operator.
func loadRoot(dir string, life time.Duration, now time.Time, log *slog.Logger) (*root, error) {
	file := filepath.Join(dir, "root.pem")
	r, err := readRoot(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if r, err = createRoot(file, life, now); err != nil {
			return nil, fmt.Errorf("internal storage %s: cannot make a root: %w; give a directory that the broker's user can write", dir, err)
		}
		log.Info("made the root of the internal CA; clients must trust it",
			"file", filepath.Join(dir, "root.crt"), "not_after", r.cert.NotAfter)
	case errors.As(err, new(*fs.PathError)):
		return nil, fmt.Errorf("internal storage %s: cannot read the root: %w; give a directory that the broker's user can use", dir, err)
	case err != nil:
		return nil, fmt.Errorf("internal root %s: %w; restore it, or remove it to make a new one that clients must trust anew", file, err)
	}
	if left := r.cert.NotAfter.Sub(now); left < rootEndsSoon {
		log.Warn("the root of the internal CA ends soon; remove the file and start again to make a new one, then give it to the clients",
			"file", file, "not_after", r.cert.NotAfter)
	}
	if fi, err := os.Stat(file); err == nil && fi.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		log.Warn("the root of the internal CA can be read by others; set its mode to 0600", "file", file, "mode", fi.Mode().Perm().String())
	}
	if old, err := os.ReadFile(filepath.Join(dir, "root.crt")); err != nil || !bytes.Equal(old, r.pem) {
		if err := writeFile(filepath.Join(dir, "root.crt"), r.pem, 0o644); err != nil {
			log.Warn("cannot write the copy of the internal root", "error", err)
		}
	}
	return r, nil
}

func readRoot(file string) (*root, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !c.IsCA {
		return nil, errors.New("not the certificate and key of a CA")
	}
	return &root{file: file, cert: c, key: key, pem: certPEM(c.Raw)}, nil
}

// createRoot makes a root in file, or reads the one that another process made there
// in the meantime.
func createRoot(file string, life time.Duration, now time.Time) (*root, error) {
	if life == 0 {
		life = defaultRootLife
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	cn := "Ganglion internal CA on " + host
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: cn[:min(len(cn), 64)]},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := append(certPEM(der), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	// A link, unlike a rename, does not replace what is there.
	tmp, err := writeTemp(file, b, 0o600)
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, file); err != nil && !errors.Is(err, fs.ErrExist) {
		// Some file systems have no links; there the last writer wins.
		if err := os.Rename(tmp, file); err != nil {
			return nil, err
		}
	}
	return readRoot(file)
}

// writeFile replaces file as a whole.
func writeFile(file string, b []byte, mode fs.FileMode) error {
	tmp, err := writeTemp(file, b, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		os.Remove(tmp)
		return err
	}
	return nil
}

// writeTemp writes b, synced, to a new file beside file.
func writeTemp(file string, b []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serial returns 127 random bits: positive and hard to guess.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
