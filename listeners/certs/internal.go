package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	defaultLeafLife = 7 * 24 * time.Hour
	// backdate is given to certificates for clients whose clocks are behind.
	backdate = 5 * time.Minute
	// maxLeaves bounds what clients can have minted: one leaf for each address of
	// the machine that they come to.
	maxLeaves = 256
	// rootEndsSoon is when the end of a root is announced.
	rootEndsSoon = 90 * 24 * time.Hour
)

// internalSource mints certificates below a root of its own.
type internalSource struct {
	name     string
	spec     Internal // as configured, for same
	life     time.Duration
	hosts    []string // exact names, lower case
	patterns []string // "*.lan"
	addrs    []netip.Addr
	now      func() time.Time
	log      *slog.Logger
	root     *root

	mu     sync.Mutex
	leaves map[string]*leaf // guarded by mu; by server name, pattern or "@address"
}

// leaf is one minted certificate and when it is to be replaced.
type leaf struct {
	cert  *tls.Certificate
	renew time.Time
}

func newInternalSource(name string, spec Internal, now func() time.Time, log *slog.Logger) (*internalSource, error) {
	s := &internalSource{
		name: name, spec: spec, life: spec.Lifetime, now: now, log: log,
		hosts:  []string{"localhost"},
		addrs:  []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()},
		leaves: make(map[string]*leaf),
	}
	if s.life == 0 {
		s.life = defaultLeafLife
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		s.hosts = append(s.hosts, normal(h))
	}
	for _, h := range spec.Hosts {
		if a, err := netip.ParseAddr(h); err == nil {
			s.addrs = append(s.addrs, a.Unmap().WithZone(""))
		} else if strings.HasPrefix(h, "*.") {
			s.patterns = append(s.patterns, normal(h))
		} else {
			s.hosts = append(s.hosts, normal(h))
		}
	}
	slices.Sort(s.hosts)
	s.hosts = slices.Compact(s.hosts)
	dir := spec.Storage
	if dir == "" {
		var err error
		if dir, err = defaultStorage(); err != nil {
			return nil, err
		}
	}
	r, err := loadRoot(dir, spec.RootLifetime, now(), log)
	if err != nil {
		return nil, err
	}
	s.root = r
	// The first leaf shows that the key is of use, and something to Certificates.
	if _, err := s.leaf("localhost", []string{"localhost"}, s.addrs[:2]); err != nil {
		return nil, err
	}
	return s, nil
}

// defaultStorage is where an internal CA is kept that is told nothing else.
func defaultStorage() (string, error) {
	d, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("internal storage is not set and there is no default: %w", err)
	}
	return filepath.Join(d, "ganglion", "internal-ca"), nil
}

// DefaultRoot returns the file that the root of this user's internal CA is in,
// unless it is kept elsewhere or there is none yet.
func DefaultRoot() (file string, err error) {
	dir, err := defaultStorage()
	return filepath.Join(dir, "root.crt"), err
}

func (s *internalSource) same(spec *Internal) bool { return reflect.DeepEqual(s.spec, *spec) }

func (s *internalSource) rootPEM() []byte { return s.root.pem }

// normal is the form in which names are compared.
func normal(name string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
}

func (s *internalSource) certificate(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := normal(h.ServerName)
	local := localAddr(h.Conn)
	if name == "" {
		return s.addrLeaf(local)
	}
	// A name that is an address is against RFC 6066, yet some clients send it.
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		if a = a.Unmap().WithZone(""); a != local && !slices.Contains(s.addrs, a) {
			return nil, s.unknown(name)
		}
		return s.addrLeaf(a)
	}
	if slices.Contains(s.hosts, name) {
		var ips []netip.Addr
		if name == "localhost" {
			ips = s.addrs[:2]
		}
		return s.leaf(name, []string{name}, ips)
	}
	if _, rest, ok := strings.Cut(name, "."); ok && slices.Contains(s.patterns, "*."+rest) {
		return s.leaf("*."+rest, []string{"*." + rest}, nil)
	}
	return nil, s.unknown(name)
}

func (s *internalSource) unknown(name string) error {
	return fmt.Errorf("certs: source %q: %q is not among the hosts of the internal CA (%s); add it to hosts",
		s.name, name, strings.Join(slices.Concat(s.hosts, s.patterns), ", "))
}

// addrLeaf is for clients that gave no name: they came by an address, or by a
// name that they do not tell.
func (s *internalSource) addrLeaf(a netip.Addr) (*tls.Certificate, error) {
	ips := s.addrs
	if a.IsValid() && !slices.Contains(ips, a) {
		ips = append(slices.Clone(ips), a)
	}
	return s.leaf("@"+a.String(), slices.Concat(s.hosts, s.patterns), ips)
}

func localAddr(c net.Conn) netip.Addr {
	if c == nil || c.LocalAddr() == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// leaf returns the leaf kept under key, or mints one.
func (s *internalSource) leaf(key string, hosts []string, addrs []netip.Addr) (*tls.Certificate, error) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leaves[key]; l != nil && now.Before(l.renew) {
		return l.cert, nil
	}
	c, err := s.root.mint(hosts, addrs, now, s.life)
	if err != nil {
		return nil, fmt.Errorf("certs: source %q: %w", s.name, err)
	}
	if len(s.leaves) >= maxLeaves {
		clear(s.leaves)
	}
	s.leaves[key] = &leaf{c, now.Add(c.Leaf.NotAfter.Sub(now) * 2 / 3)}
	s.log.Debug("minted certificate", "names", names(c.Leaf), "not_after", c.Leaf.NotAfter)
	return c, nil
}

func (s *internalSource) infos() []Info {
	ends := ""
	if left := s.root.cert.NotAfter.Sub(s.now()); left < rootEndsSoon {
		ends = fmt.Sprintf("the root ends on %s; remove %s and start again to make a new one, then give it to the clients",
			s.root.cert.NotAfter.Format(time.DateOnly), s.root.file)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var is []Info
	for _, k := range slices.Sorted(maps.Keys(s.leaves)) {
		l := s.leaves[k]
		i := Info{Source: s.name, Kind: KindInternal, NextTry: l.renew, LastError: ends}
		i.describe(l.cert.Leaf)
		is = append(is, i)
	}
	return is
}

func (s *internalSource) start(context.Context) {}
func (s *internalSource) stop()                 {}

// mint signs a certificate for hosts and addrs.
func (r *root) mint(hosts []string, addrs []netip.Addr, now time.Time, life time.Duration) (*tls.Certificate, error) {
	if !now.Before(r.cert.NotAfter) {
		return nil, fmt.Errorf("the internal root %s ended on %s; remove it and start again to make a new one",
			r.file, r.cert.NotAfter.Format(time.DateOnly))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	end := now.Add(life)
	if end.After(r.cert.NotAfter) {
		end = r.cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: subject(hosts, addrs)},
		NotBefore:    now.Add(-backdate),
		NotAfter:     end,
		DNSNames:     hosts,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, a := range addrs {
		t.IPAddresses = append(t.IPAddresses, a.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, t, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("internal CA: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: c}, nil
}

func subject(hosts []string, addrs []netip.Addr) string {
	if len(hosts) > 0 && len(hosts[0]) <= 64 { // X.520's upper bound
		return hosts[0]
	}
	if len(hosts) == 0 && len(addrs) > 0 {
		return addrs[0].String()
	}
	return ""
}
