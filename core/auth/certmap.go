package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// certified returns the user whom the verified client certificate names: by the
// first of its SAN email addresses, DNS names and URIs that is a user, and then
// by its subject.
func (a *Authenticator) certified(r *Request) (*user, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return nil, denied("verify_and_map: there is no verified client certificate")
	}
	cert := r.TLS.PeerCertificates[0]
	names := slices.Concat(cert.EmailAddresses, cert.DNSNames)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, name := range append(names, cert.Subject.String()) {
		if u := a.names[name]; u != nil && name != "" {
			return u, nil
		}
	}
	return a.bySubject(cert)
}

// bySubject returns the user whose name is the certificate's subject as an RFC
// 2253 string, its parts in whatever order.
func (a *Authenticator) bySubject(cert *x509.Certificate) (*user, error) {
	canon, err := canonicalSubject(cert.RawSubject)
	if err != nil {
		return nil, denied("verify_and_map: the certificate's subject: %w", err)
	}
	switch users := a.dns[canon]; {
	case canon == "" || len(users) == 0:
		return nil, denied("verify_and_map: the certificate of %.200q names no user", cert.Subject.String())
	case len(users) > 1:
		return nil, denied("verify_and_map: the certificate of %.200q names %d users", cert.Subject.String(), len(users))
	default:
		return users[0], nil
	}
}

// addDNs notes users whose names are distinguished names.
func (a *Authenticator) addDNs() {
	a.dns = make(map[string][]*user)
	for name, u := range a.names {
		if !strings.Contains(name, "=") {
			continue
		}
		if canon, err := canonicalName(name); err == nil {
			a.dns[canon] = append(a.dns[canon], u)
		}
	}
}

// attributeTypes are the short names of attributes, RFC 4514 section 3 and those
// that are usual besides.
var attributeTypes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "TITLE", "2.5.4.17": "POSTALCODE",
	"2.5.4.42": "GN", "0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
	"1.2.840.113549.1.9.1": "EMAILADDRESS",
}

// canonicalSubject puts the parts of an encoded subject in an order of our own.
func canonicalSubject(raw []byte) (string, error) {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return "", errors.New("can't be decoded")
	}
	var parts []string
	for _, set := range seq {
		for _, atv := range set {
			typ := atv.Type.String()
			if short := attributeTypes[typ]; short != "" {
				typ = short
			}
			parts = append(parts, typ+"="+fmt.Sprint(atv.Value))
		}
	}
	return canonical(parts), nil
}

// canonical joins parts in a way that no value can imitate.
func canonical(parts []string) string {
	slices.Sort(parts)
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	return b.String()
}

// canonicalName does the same for an RFC 2253 string.
func canonicalName(s string) (string, error) {
	var parts []string
	for s != "" {
		typ, rest, ok := strings.Cut(s, "=")
		if typ = strings.ToUpper(strings.TrimSpace(typ)); !ok || typ == "" {
			return "", errors.New("a part has no =")
		}
		value, rest, err := attributeValue(rest)
		if err != nil {
			return "", err
		}
		if short := attributeTypes[strings.TrimPrefix(typ, "OID.")]; short != "" {
			typ = short
		}
		parts = append(parts, typ+"="+value)
		s = rest
	}
	return canonical(parts), nil
}

// attributeValue reads a value up to an unescaped comma, semicolon or plus, and
// returns what follows that.
func attributeValue(s string) (value, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	var b strings.Builder
	quoted, kept := false, 0 // kept: up to where blanks at the end are meant
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 == len(s):
			return "", "", errors.New("ends in a backslash")
		case c == '\\':
			i++
			if i+1 < len(s) {
				if raw, err := hex.DecodeString(s[i : i+2]); err == nil {
					b.Write(raw)
					i++
					kept = b.Len()
					continue
				}
			}
			b.WriteByte(s[i])
			kept = b.Len()
		case c == '"':
			quoted = !quoted
			kept = b.Len()
		case !quoted && (c == ',' || c == ';' || c == '+'):
			return trimEnd(b.String(), kept), s[i+1:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("a quote is open")
	}
	return trimEnd(b.String(), kept), "", nil
}

func trimEnd(s string, kept int) string { return s[:kept] + strings.TrimRight(s[kept:], " ") }
