package certs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// racy is how young a change may be for a second one to hide behind the same
// modification time and size.
const racy = 2 * time.Second

// expiresSoon is when a certificate file that nobody replaced is worth a warning.
const expiresSoon = 7 * 24 * time.Hour

// fileSource serves pairs of PEM files.
type fileSource struct {
	name  string
	now   func() time.Time
	log   *slog.Logger
	pairs []*filePair
	// certs are the pairs' certificates in order; replaced when one changes.
	certs atomic.Pointer[[]*tls.Certificate]
}

// filePair is what is known of one Pair. All but state belongs to Manager.Check.
type filePair struct {
	Pair
	state atomic.Pointer[pairState]

	// What was last read, whether it could be used or not.
	certInfo, keyInfo fs.FileInfo
	sum               [sha256.Size]byte
	warned            time.Time // NotAfter that was warned about
}

// pairState is the certificate that is served and what is wrong with the files.
type pairState struct {
	cert *tls.Certificate
	err  error
}

func newFileSource(name string, pairs []Pair, now func() time.Time, log *slog.Logger) (*fileSource, error) {
	s := &fileSource{name: name, now: now, log: log}
	for _, p := range pairs {
		fp := &filePair{Pair: p}
		fp.certInfo, fp.keyInfo = fp.stat()
		cert, sum, err := p.load()
		if err != nil {
			return nil, err
		}
		fp.sum = sum
		fp.state.Store(&pairState{cert: cert})
		s.pairs = append(s.pairs, fp)
		s.warn(fp, cert.Leaf)
	}
	s.publish()
	return s, nil
}

// stat returns nil for what cannot be looked at. It follows links, so it sees a
// link that was turned to another file.
func (p *filePair) stat() (cert, key fs.FileInfo) {
	cert, _ = os.Stat(p.Cert)
	key, _ = os.Stat(p.Key)
	return cert, key
}

// load reads p. The sum is of what was read, or of the error.
func (p Pair) load() (*tls.Certificate, [sha256.Size]byte, error) {
	fail := func(err error) (*tls.Certificate, [sha256.Size]byte, error) {
		return nil, sha256.Sum256([]byte(err.Error())), err
	}
	cert, err := readPEM("certificate", p.Cert)
	if err != nil {
		return fail(err)
	}
	key, err := readPEM("key", p.Key)
	if err != nil {
		return fail(err)
	}
	sum := sha256.Sum256(bytes.Join([][]byte{cert, key}, []byte{0}))
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, sum, p.explain(cert, key, err)
	}
	if c.Leaf == nil { // GODEBUG x509keypairleaf=0
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, sum, fmt.Errorf("certificate file %s: %w", p.Cert, err)
		}
	}
	return &c, sum, nil
}

func readPEM(what, file string) ([]byte, error) {
	if file == "" {
		return nil, fmt.Errorf("the %s file is not set; a pair needs both a certificate and a key", what)
	}
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s file %s does not exist; check the path", what, file)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s file %s may not be read; give the broker's user read permission", what, file)
	case err != nil:
		return nil, fmt.Errorf("%s file: %w", what, err)
	}
	return b, nil
}

// explain says what is wrong with a pair that crypto/tls does not take.
func (p Pair) explain(cert, key []byte, err error) error {
	first := func(b []byte, match func(string) bool) *pem.Block {
		for {
			var block *pem.Block
			if block, b = pem.Decode(b); block == nil || match(block.Type) {
				return block
			}
		}
	}
	isCert := func(t string) bool { return t == "CERTIFICATE" }
	isKey := func(t string) bool { return bytes.HasSuffix([]byte(t), []byte("PRIVATE KEY")) }
	block := first(key, isKey)
	switch {
	case first(cert, isCert) == nil && first(cert, isKey) != nil:
		return fmt.Errorf("certificate file %s holds a key and no certificate; are the two files swapped?", p.Cert)
	case first(cert, isCert) == nil:
		return fmt.Errorf("certificate file %s holds no PEM certificate; give the chain as PEM, leaf first", p.Cert)
	case block == nil:
		return fmt.Errorf("key file %s holds no PEM private key", p.Key)
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return fmt.Errorf("key file %s is encrypted; give it without a passphrase (openssl pkey -in %[1]s -out ...)", p.Key)
	}
	if c, cerr := x509.ParseCertificate(first(cert, isCert).Bytes); cerr != nil {
		return fmt.Errorf("certificate file %s: %w", p.Cert, cerr)
	} else if _, kerr := tls.X509KeyPair(cert, key); kerr != nil && c.PublicKey != nil {
		return fmt.Errorf("key file %s and certificate file %s (for %v) do not belong together or cannot be used: %w", p.Key, p.Cert, names(c), err)
	}
	return err
}

// warn logs once for each certificate that it is expired or will be soon.
func (s *fileSource) warn(p *filePair, leaf *x509.Certificate) {
	now := s.now()
	switch {
	case p.warned.Equal(leaf.NotAfter):
		return
	case now.After(leaf.NotAfter):
		s.log.Warn("certificate has expired; clients will refuse it. Replace the file",
			"file", p.Cert, "names", names(leaf), "not_after", leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		s.log.Warn("certificate is not valid yet; is the clock right?",
			"file", p.Cert, "names", names(leaf), "not_before", leaf.NotBefore)
	case leaf.NotAfter.Sub(now) < expiresSoon:
		s.log.Warn("certificate expires soon. Replace the file",
			"file", p.Cert, "names", names(leaf), "not_after", leaf.NotAfter)
	default:
		return
	}
	p.warned = leaf.NotAfter
}

// check reads pairs that changed. It is called with Manager.files held.
func (s *fileSource) check() {
	changed := false
	for _, p := range s.pairs {
		if s.checkPair(p) {
			changed = true
		}
		s.warn(p, p.state.Load().cert.Leaf)
	}
	if changed {
		s.publish()
	}
}

// checkPair reports whether p has another certificate now.
func (s *fileSource) checkPair(p *filePair) bool {
	cert, key := p.stat()
	if s.unchanged(p.certInfo, cert) && s.unchanged(p.keyInfo, key) {
		return false
	}
	p.certInfo, p.keyInfo = cert, key
	c, sum, err := p.load()
	if sum == p.sum {
		return false
	}
	p.sum = sum
	old := p.state.Load()
	if err != nil {
		p.state.Store(&pairState{old.cert, err})
		s.log.Error("certificate files changed but cannot be used; the old certificate stays",
			"cert", p.Cert, "key", p.Key, "error", err, "not_after", old.cert.Leaf.NotAfter)
		return false
	}
	p.state.Store(&pairState{cert: c})
	s.log.Info("certificate files changed; new connections get the new certificate",
		"cert", p.Cert, "names", names(c.Leaf), "not_after", c.Leaf.NotAfter)
	return true
}

// unchanged compares what a file was with what it is. A file that was written a
// moment ago counts as changed, because it may be written again within the
// resolution of its time.
func (s *fileSource) unchanged(was, is fs.FileInfo) bool {
	if was == nil || is == nil {
		return was == nil && is == nil
	}
	return was.ModTime().Equal(is.ModTime()) && was.Size() == is.Size() && os.SameFile(was, is) &&
		time.Since(is.ModTime()) > racy
}

func (s *fileSource) publish() {
	cs := make([]*tls.Certificate, len(s.pairs))
	for i, p := range s.pairs {
		cs[i] = p.state.Load().cert
	}
	s.certs.Store(&cs)
}

func (s *fileSource) certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cs := *s.certs.Load()
	if len(cs) > 1 {
		for _, c := range cs {
			if h.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
	}
	return cs[0], nil
}

func (s *fileSource) infos() []Info {
	var is []Info
	for _, p := range s.pairs {
		st := p.state.Load()
		i := Info{Source: s.name, Kind: KindFile}
		i.describe(st.cert.Leaf)
		if st.err != nil {
			i.LastError = st.err.Error()
		}
		is = append(is, i)
	}
	return is
}

func (s *fileSource) start(context.Context) {}
func (s *fileSource) stop()                 {}
