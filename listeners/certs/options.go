package certs

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
)

// Options configure a Manager. They are copied by New and Prepare.
type Options struct {
	// Sources by name. The names are what TLSConfig takes and logs show.
	Sources map[string]Source
	// Poll is how often files are looked at; 0 means 10 s, negative never
	// (Manager.Check does it then).
	Poll time.Duration
	// Logger; nil means slog.Default.
	Logger *slog.Logger
	// Now is the clock of files and the internal CA; nil means time.Now. ACME
	// always goes by the real one, because the CA does.
	Now func() time.Time
}

// Source says where the certificates of one listener, or of a group, come from.
// Exactly one field is set.
type Source struct {
	Files    []Pair
	ACME     *ACME
	Internal *Internal
}

// Pair names the PEM files of one certificate chain, leaf first, and its key.
type Pair struct {
	Cert, Key string
}

// Challenges that an ACME source can solve.
const (
	HTTP01    = "http-01"
	TLSALPN01 = "tls-alpn-01"
	DNS01     = "dns-01"
)

// LetsEncrypt is the directory that an empty ACME.CA stands for.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// ACME is a source whose certificates come from an ACME CA. To use it means to
// agree to the CA's terms of service.
type ACME struct {
	// Domains get one certificate each, as soon as the manager is started. A
	// wildcard ("*.example.com") needs DNS-01.
	Domains []string
	// Email that the CA may write to; may be empty.
	Email string
	// CA is the URL of the CA's directory; empty means LetsEncrypt.
	CA string
	// CARoots is a PEM file of roots to trust for the CA's own https, besides
	// the system's.
	CARoots string
	// EAB binds the account to one that exists at the CA, where it asks for that.
	EAB *EAB
	// Profile is the kind of certificate to ask for, of those that the CA's
	// directory lists (Let's Encrypt: "classic", "tlsserver", "shortlived").
	Profile string
	// Challenges to solve; empty means HTTP01 and TLSALPN01, or DNS01 alone when
	// DNS is set.
	Challenges []string
	// Storage is a directory, mode 0700, for keys and certificates; empty means
	// certmagic's, below the user's data directory.
	Storage string
	// HTTPPort and TLSALPNPort say where the daemon answers challenges when that
	// is not 80 and 443. The CA always comes to 80 and 443, so something must
	// forward them; the ports are only for error messages.
	HTTPPort, TLSALPNPort int
	// DNS is who sets records for DNS01.
	DNS *DNS
	// OnDemand also fetches certificates for names that are not in Domains, when
	// the first client asks for them.
	OnDemand *OnDemand
	// Timing of renewals and retries; the zero value is right for public CAs.
	Timing Timing
}

// EAB is an external account binding (RFC 8555, 7.3.4). MACKey is base64url
// without padding.
type EAB struct {
	KeyID, MACKey string
}

// DNS configures DNS-01.
type DNS struct {
	// Provider appends and deletes records (github.com/libdns/...).
	Provider certmagic.DNSProvider
	// Resolvers ("host:port") to find the zone and see the record with; empty
	// means the system's.
	Resolvers []string
	// TTL of the record; 0 leaves it to the provider.
	TTL time.Duration
	// PropagationDelay is waited before the first look.
	PropagationDelay time.Duration
	// PropagationTimeout is how long to look for the record; 0 means 2 minutes,
	// -1 not to look.
	PropagationTimeout time.Duration
	// OverrideDomain is where the record is set instead of
	// _acme-challenge.DOMAIN, when that is a CNAME.
	OverrideDomain string
}

// OnDemand asks before a certificate is fetched for a name that a client wants. The
// client's handshake waits for it up to 30 s; when the listener gives up sooner, the
// certificate is there for the next one. A no is remembered for a minute. Without that question anybody who points a name at the broker could use up the
// CA's rate limit, so Ask is required.
type OnDemand struct {
	// Ask is an http or https URL that is fetched with ?domain=NAME; status 200
	// means yes, everything else no.
	Ask string
	// Max is how many names there may be; 0 means 1000.
	Max int
}

// Timing of renewals and retries.
type Timing struct {
	// RenewAt is the share of a certificate's life that is left when it is
	// renewed; 0 means 1/3.
	RenewAt float64
	// Check is the longest pause between two looks at a certificate; 0 means 1 h.
	Check time.Duration
	// Attempt bounds one try, from the directory to the certificate; 0 means 5 minutes.
	Attempt time.Duration
	// Directory bounds how long the CA may take to show its directory; 0 means 15 s.
	Directory time.Duration
	// Retry is the pause after the first failure to reach the CA; 0 means 10 s. It
	// doubles up to RetryMax; 0 means 1 h.
	Retry, RetryMax time.Duration
	// Refused is the first pause after the CA said no; 0 means 10 minutes. It
	// doubles up to RetryMax.
	Refused time.Duration
}

// Internal is a source with a CA of its own, for localhost and LANs. Clients trust
// its root (Manager.Root).
type Internal struct {
	// Storage is the directory, mode 0700, of root.crt and root.key; empty means
	// ganglion/internal-ca below the user's configuration directory.
	Storage string
	// Hosts are names, "*." patterns and addresses that get certificates besides
	// localhost, the machine's name and the address that a client came to.
	Hosts []string
	// Lifetime of a certificate; 0 means 7 days.
	Lifetime time.Duration
	// RootLifetime is for a root that has to be made; 0 means 10 years.
	RootLifetime time.Duration
}

func (o Options) withDefaults() Options {
	if o.Poll == 0 {
		o.Poll = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if t.RenewAt <= 0 || t.RenewAt >= 1 {
		t.RenewAt = 1.0 / 3
	}
	set(&t.Check, time.Hour)
	set(&t.Attempt, 5*time.Minute)
	set(&t.Directory, 15*time.Second)
	set(&t.Retry, 10*time.Second)
	set(&t.RetryMax, time.Hour)
	set(&t.Refused, 10*time.Minute)
	t.Refused = min(t.Refused, t.RetryMax)
	return t
}

func (s Source) validate() error {
	n := 0
	if s.Files != nil {
		n++
	}
	if s.ACME != nil {
		n++
	}
	if s.Internal != nil {
		n++
	}
	if n != 1 {
		return errors.New("set exactly one of files, acme and internal")
	}
	switch {
	case s.ACME != nil:
		return s.ACME.validate()
	case s.Internal != nil:
		return s.Internal.validate()
	case len(s.Files) == 0:
		return errors.New("files is empty; name at least one certificate and key")
	}
	return nil
}

func (a *ACME) validate() error {
	if len(a.Domains) == 0 && a.OnDemand == nil {
		return errors.New("acme has no domains; list at least one, or set on_demand")
	}
	cs := a.challenges()
	for _, c := range cs {
		if c != HTTP01 && c != TLSALPN01 && c != DNS01 {
			return fmt.Errorf("acme challenge %q is unknown; use %s, %s or %s", c, HTTP01, TLSALPN01, DNS01)
		}
	}
	withDNS := slices.Contains(cs, DNS01)
	if withDNS && (a.DNS == nil || a.DNS.Provider == nil) {
		return fmt.Errorf("acme challenge %s needs a DNS provider", DNS01)
	}
	for _, d := range a.Domains {
		if !certmagic.SubjectQualifiesForCert(d) {
			return fmt.Errorf("acme domain %q is not a name that can have a certificate", d)
		}
		if a.CA == "" && !certmagic.SubjectQualifiesForPublicCert(d) {
			return fmt.Errorf("acme domain %q is not a public name, so Let's Encrypt has no certificate for it; use internal, or set ca", d)
		}
		if strings.Contains(d, "*") && !withDNS {
			return fmt.Errorf("acme domain %q is a wildcard, which needs challenge %s", d, DNS01)
		}
	}
	if a.CA != "" {
		u, err := url.Parse(a.CA)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("acme ca %q is not a URL; give the CA's directory, such as %s", a.CA, LetsEncrypt)
		}
		if u.Scheme == "http" && !certmagic.SubjectIsInternal(u.Hostname()) {
			return fmt.Errorf("acme ca %q is not https, which only a CA on this host or network may be", a.CA)
		}
	}
	if d := a.OnDemand; d != nil {
		u, err := url.Parse(d.Ask)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("acme on_demand ask %q is not a URL; give one that answers 200 to ?domain=NAME for names that may have a certificate", d.Ask)
		}
	}
	return nil
}

// challenges returns what a solves.
func (a *ACME) challenges() []string {
	switch {
	case len(a.Challenges) > 0:
		return a.Challenges
	case a.DNS != nil:
		return []string{DNS01}
	default:
		return []string{HTTP01, TLSALPN01}
	}
}

func (i *Internal) validate() error {
	for _, h := range i.Hosts {
		if _, err := netip.ParseAddr(h); err == nil {
			continue
		}
		if h == "" || strings.Contains(strings.TrimPrefix(h, "*."), "*") || strings.ContainsAny(h, "/: ") {
			return fmt.Errorf("internal host %q is neither a name, a pattern such as *.lan nor an address", h)
		}
	}
	if i.Lifetime < 0 || i.RootLifetime < 0 {
		return errors.New("internal lifetime must not be negative")
	}
	return nil
}
