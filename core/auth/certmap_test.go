package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"ganglion/core/auth"
	"ganglion/core/brokertest/natstest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))
	return &authority{must(x509.ParseCertificate(der)), key}
}

func (a *authority) issue(tmpl x509.Certificate) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl.SerialNumber = big.NewInt(2)
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	der := must(x509.CreateCertificate(rand.Reader, &tmpl, a.cert, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

// rdns makes a subject of these parts in this order.
func rdns(parts ...string) x509.Certificate {
	oids := map[string][]int{"CN": {2, 5, 4, 3}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "C": {2, 5, 4, 6},
		"DC": {0, 9, 2342, 19200300, 100, 1, 25}, "L": {2, 5, 4, 7}}
	var n pkix.Name
	for _, p := range parts {
		typ, value, _ := strings.Cut(p, "=")
		n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: oids[typ], Value: value})
	}
	return x509.Certificate{Subject: n}
}

type mapping struct {
	name    string
	cert    x509.Certificate
	connect fields
	want    string
}

var mapUsers = []string{
	"dev@plant.example", "gw.plant.example", "spiffe://plant/gw",
	"CN=gateway,OU=edge,O=Plant", "CN=other,O=Plant", "O=Reversed,CN=rev",
	"CN=b,DC=plant,DC=example", `CN=Doe\, Jane,O=Plant`, "named",
}

func mappings() []mapping {
	uri := must(url.Parse("spiffe://plant/gw"))
	san := func(c x509.Certificate, change func(*x509.Certificate)) x509.Certificate { change(&c); return c }
	return []mapping{
		{"email", san(rdns("CN=x"), func(c *x509.Certificate) { c.EmailAddresses = []string{"dev@plant.example"} }), fields{}, "dev@plant.example"},
		{"dns", san(rdns("CN=x"), func(c *x509.Certificate) { c.DNSNames = []string{"gw.plant.example"} }), fields{}, "gw.plant.example"},
		{"uri", san(rdns("CN=x"), func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }), fields{}, "spiffe://plant/gw"},
		{"email before dns", san(rdns("CN=x"), func(c *x509.Certificate) {
			c.EmailAddresses, c.DNSNames = []string{"dev@plant.example"}, []string{"gw.plant.example"}
		}), fields{}, "dev@plant.example"},
		{"unknown email, known dns", san(rdns("CN=x"), func(c *x509.Certificate) {
			c.EmailAddresses, c.DNSNames = []string{"no@plant.example"}, []string{"gw.plant.example"}
		}), fields{}, "gw.plant.example"},
		{"dns before subject", san(rdns("O=Plant", "OU=edge", "CN=gateway"), func(c *x509.Certificate) { c.DNSNames = []string{"gw.plant.example"} }), fields{}, "gw.plant.example"},
		{"subject", rdns("O=Plant", "OU=edge", "CN=gateway"), fields{}, "CN=gateway,OU=edge,O=Plant"},
		{"subject in the other order", rdns("CN=gateway", "OU=edge", "O=Plant"), fields{}, "CN=gateway,OU=edge,O=Plant"},
		{"subject in some order", rdns("OU=edge", "O=Plant", "CN=gateway"), fields{}, "CN=gateway,OU=edge,O=Plant"},
		{"subject with more", rdns("O=Plant", "OU=edge", "CN=gateway", "L=Ulm"), fields{}, ""},
		{"subject with less", rdns("O=Plant", "CN=gateway"), fields{}, ""},
		{"subject reversed name", rdns("CN=rev", "O=Reversed"), fields{}, "O=Reversed,CN=rev"},
		{"domain components", rdns("DC=example", "DC=plant", "CN=b"), fields{}, "CN=b,DC=plant,DC=example"},
		{"comma", rdns("O=Plant", "CN=Doe, Jane"), fields{}, `CN=Doe\, Jane,O=Plant`},
		{"comma as a part", rdns("O=Plant", "CN=Doe"), fields{}, ""},
		{"common name alone", rdns("CN=named"), fields{}, ""},
		{"unknown", rdns("CN=mallory"), fields{}, ""},
		{"password of a user", rdns("CN=mallory"), fields{"user": "named", "pass": "secret"}, ""},
		{"another user too", rdns("O=Plant", "CN=other"), fields{"user": "named"}, "CN=other,O=Plant"},
		{"a password where there is none", rdns("O=Plant", "CN=other"), fields{"pass": "secret"}, ""},
		{"password missing", rdns("CN=locked"), fields{}, ""},
		{"password wrong", rdns("CN=locked"), fields{"pass": "x"}, ""},
		{"password right", rdns("CN=locked"), fields{"pass": "secret"}, "CN=locked"},
		{"bcrypt wrong", rdns("CN=hashed"), fields{"pass": "x"}, ""},
		{"bcrypt right", rdns("CN=hashed"), fields{"pass": "secret"}, "CN=hashed"},
	}
}

func TestMapped(t *testing.T) {
	ca := newAuthority()
	var o auth.Options
	for _, name := range mapUsers {
		o.Users = append(o.Users, auth.User{Name: name})
	}
	o.Users = append(o.Users, auth.User{Name: "CN=locked", Password: "secret"}, auth.User{Name: "CN=hashed", Password: hash("secret")})
	a := newAuth(t, o)
	for _, m := range mappings() {
		t.Run(m.name, func(t *testing.T) {
			leaf := ca.issue(m.cert).Leaf
			r := request(m.connect)
			r.MapTLS = true
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, ca.cert}, VerifiedChains: [][]*x509.Certificate{{leaf, ca.cert}}}
			got := ""
			if id, err := a.Authenticate(t.Context(), r); err != nil {
				wantDenied(t, err, nil)
			} else {
				got = id.User
			}
			if got != m.want {
				t.Errorf("is %q, want %q", got, m.want)
			}
		})
	}
	leaf := ca.issue(rdns("O=Plant", "CN=other")).Leaf
	for name, s := range map[string]*tls.ConnectionState{"no TLS": nil, "no certificate": {}, "not verified": {PeerCertificates: []*x509.Certificate{leaf}}} {
		r := request(fields{"user": "named"})
		r.MapTLS, r.TLS = true, s
		if _, err := a.Authenticate(t.Context(), r); err == nil {
			t.Errorf("%s: is let in", name)
		}
	}
}

// TestMappedNATS has a nats-server agree.
func TestMappedNATS(t *testing.T) {
	ca := newAuthority()
	dir := t.TempDir()
	srv := ca.issue(x509.Certificate{Subject: pkix.Name{CommonName: "srv"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	write := func(name, typ string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	conf := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }\nauthorization { users: [\n",
		write("cert", "CERTIFICATE", srv.Certificate[0]), write("key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(srv.PrivateKey))),
		write("ca", "CERTIFICATE", ca.cert.Raw))
	for _, name := range mapUsers {
		conf += fmt.Sprintf("{user: %q}\n", strings.ReplaceAll(name, `\`, `\\`))
	}
	addr, monitor := natstest.StartNATSMonitored(t, strings.ReplaceAll(conf, `\\\\`, `\\`)+fmt.Sprintf("{user: \"CN=locked\", password: secret}\n{user: \"CN=hashed\", password: %q}\n]}\n", hash("secret")))
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, m := range mappings() {
		t.Run(m.name, func(t *testing.T) {
			cfg := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{ca.issue(m.cert)}}
			got := natsLogin(t, addr, monitor, cfg, func(string) fields { return m.connect })
			if user, _, _ := strings.Cut(got, "@$G"); user != m.want {
				t.Errorf("nats-server says %q, the table %q", got, m.want)
			}
		})
	}
}

// FuzzSubject has a subject be found by the string that Go makes of it.
func FuzzSubject(f *testing.F) {
	f.Add("gateway", "edge", "Plant")
	f.Add(" Doe, Jane ", `a"b\c`, "#x+y=z;<>")
	f.Add("", `\`, "\x00\"")
	f.Fuzz(func(t *testing.T, cn, ou, o string) {
		auth.CanonicalName(cn) // whatever it is
		if !utf8.ValidString(cn) || !utf8.ValidString(ou) || !utf8.ValidString(o) {
			t.Skip()
		}
		seq := pkix.Name{CommonName: cn, OrganizationalUnit: []string{ou}, Organization: []string{o}}.ToRDNSequence()
		raw, err := asn1.Marshal(seq)
		if err != nil {
			t.Skip()
		}
		subject, err := auth.CanonicalSubject(raw)
		if err != nil {
			t.Fatal(err)
		}
		name, err := auth.CanonicalName(seq.String())
		if err != nil || name != subject {
			t.Errorf("%q is %q (%v), the subject is %q", seq.String(), name, err, subject)
		}
	})
}
