package certs

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// retryAfter finds the moment that a CA names in a rate limit's text.
var retryAfter = regexp.MustCompile(`(?i)retry after (\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)`)

// judge says how long to wait after err, the failures+1st in a row for name, and
// what to tell the operator.
func (s *acmeSource) judge(err error, name string, failures int) (time.Duration, error) {
	t := s.timing
	pause := t.Retry
	var p acme.Problem
	refused := errors.As(err, &p)
	if refused {
		pause = t.Refused
		err = s.explain(p, name)
	}
	var st storageError
	if errors.As(err, &st) {
		err = fmt.Errorf("acme storage %v cannot be used: %w; make room or give a directory that the broker's user can write", s.config.Storage, err)
	}
	for range failures {
		if pause *= 2; pause >= t.RetryMax {
			break
		}
	}
	pause = min(pause, t.RetryMax)
	// Many brokers that lost the same CA should not come back at once.
	pause += time.Duration((rand.Float64() - 0.5) * 0.2 * float64(pause))
	if refused && p.Type == acme.ProblemTypeRateLimited {
		pause = max(pause, rateLimit(p.Detail, time.Now()))
	}
	return pause, err
}

// rateLimit is how long the CA wants to be left alone, a day at most; 0 when it
// does not say.
func rateLimit(detail string, now time.Time) time.Duration {
	m := retryAfter.FindStringSubmatch(detail)
	if m == nil {
		return 0
	}
	at, err := time.Parse(time.DateTime, strings.Replace(m[1], "T", " ", 1))
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), 24*time.Hour))
}

// explain puts a CA's problem in words that say what to do about it.
func (s *acmeSource) explain(p acme.Problem, name string) error {
	var ports []string
	cs := s.spec.challenges()
	if slices.Contains(cs, HTTP01) {
		ports = append(ports, fmt.Sprintf("80 (to the broker's port %d)", cmp.Or(s.spec.HTTPPort, 80)))
	}
	if slices.Contains(cs, TLSALPN01) {
		ports = append(ports, fmt.Sprintf("443 (to the broker's port %d)", cmp.Or(s.spec.TLSALPNPort, 443)))
	}
	reach := strings.Join(ports, " or ")
	var what string
	switch p.Type {
	case acme.ProblemTypeConnection, acme.ProblemTypeTLS:
		what = fmt.Sprintf("the CA cannot connect to %s; its DNS must point here and port %s be open from everywhere", name, reach)
	case acme.ProblemTypeDNS:
		what = fmt.Sprintf("the CA cannot resolve %s; check its DNS records", name)
	case acme.ProblemTypeUnauthorized, acme.ProblemTypeIncorrectResponse:
		what = fmt.Sprintf("the CA did not find this broker under %s; does its DNS point elsewhere, or does something else answer port %s?", name, reach)
		if slices.Contains(cs, DNS01) {
			what = fmt.Sprintf("the CA did not find the DNS record for %s; does the DNS provider serve its zone?", name)
		}
	case acme.ProblemTypeCAA:
		what = fmt.Sprintf("a CAA record of %s, or of a domain above it, does not allow this CA; add the CA there", name)
	case acme.ProblemTypeRateLimited:
		what = "the CA's rate limit is reached"
	case acme.ProblemTypeExternalAccountRequired:
		what = "the CA wants an external account; set acme eab to the key id and MAC key that it gave you"
	case acme.ProblemTypeInvalidContact, acme.ProblemTypeUnsupportedContact:
		what = fmt.Sprintf("the CA does not take acme email %q", s.spec.Email)
	case acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier:
		what = fmt.Sprintf("the CA does not issue certificates for %s", name)
	case acme.ProblemTypeServerInternal:
		what = "the CA failed"
	default:
		what = "the CA refused"
	}
	return fmt.Errorf("%s: %w", what, p)
}
