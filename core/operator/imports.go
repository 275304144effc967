package operator

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/subject"
)

// importer converts the imports of one account.
type importer struct {
	trust      *Trust
	name       string                     // the importing account's public nkey
	signing    map[string]jwt.SigningKeys // of exporting accounts looked up so far
	unresolved []string                   // those that could not be
}

// convert returns an import as the broker makes it, with its activation checked.
func (im *importer) convert(ctx context.Context, i *jwt.Import) (account.Import, error) {
	out := account.Import{Kind: kind(i.Type), Account: i.Account, Share: i.Share, AllowTrace: i.AllowTrace}
	switch {
	case !i.IsService() && !i.IsStream():
		return out, fmt.Errorf("%w: it is neither a stream nor a service", ErrMalformed)
	case !nkeys.IsValidPublicAccountKey(i.Account):
		return out, fmt.Errorf("%w: its account is no public account nkey", ErrMalformed)
	case i.Account == im.name:
		return out, fmt.Errorf("%w: the account imports from itself", ErrMalformed)
	}
	var err error
	if out.Subject, out.To, err = renaming(i); err != nil {
		return out, err
	}
	if i.Token == "" {
		return out, nil
	}
	act, err := im.activation(ctx, i, out.Subject)
	if err != nil {
		return out, err
	}
	out.Activated = time.Unix(act.IssuedAt, 0)
	out.Expires = expiry(act.Expires)
	return out, nil
}

// renaming returns an import's subject in the exporting account, and what it is
// in the importing one, "" for the same.
//
// Claims have two forms. With local_subject, subject is the exporter's and
// local_subject the importer's. With the older to, a stream's subject is the
// exporter's and to is a prefix for the importer; a service's subject is the
// importer's and to the exporter's.
func renaming(i *jwt.Import) (there, here string, err error) {
	there, to := string(i.Subject), i.GetTo()
	switch {
	case !subject.Valid(there):
		return "", "", fmt.Errorf("%w: the subject is not valid", ErrMalformed)
	case i.LocalSubject != "":
		if to != "" {
			return "", "", fmt.Errorf("%w: it has both to and local_subject", ErrMalformed)
		}
		here = string(i.LocalSubject)
	case to == "" || i.IsService() && to == there:
		return there, "", nil
	case i.IsStream():
		here = strings.TrimSuffix(to, ".") + "." + there
	default:
		if there, here, err = invert(there, to); err != nil {
			return "", "", err
		}
	}
	if here == there {
		return there, "", nil
	}
	vr := jwt.CreateValidationResults()
	jwt.RenamingSubject(here).Validate(jwt.Subject(there), vr)
	if text := blocking(vr); text != "" || !subject.Valid(here) {
		return "", "", fmt.Errorf("%w: the local subject doesn't go with the subject", ErrMalformed)
	}
	return there, here, nil
}

// invert turns a service's old form, which maps the importer's subject from to
// the exporter's subject to, around: there is to as a pattern, and here is from
// with $n for the wildcards of there.
func invert(from, to string) (there, here string, err error) {
	toks := strings.Split(to, ".")
	place := make(map[int]int) // wildcard of from -> wildcard of there, both from 1
	inOrder := true
	n := 0
	for k, tok := range toks {
		at := 0
		if tok == "*" {
			at = n + 1
		} else if num, ok := strings.CutPrefix(tok, "$"); ok {
			if v, err := strconv.Atoi(num); err == nil && v > 0 {
				at = v
			}
		}
		if at == 0 {
			continue
		}
		n++
		if place[at] != 0 {
			return "", "", fmt.Errorf("%w: to uses a wildcard of the subject twice", ErrMalformed)
		}
		place[at] = n
		inOrder = inOrder && at == n
		toks[k] = "*"
	}
	there = strings.Join(toks, ".")
	wild := 0
	toks = strings.Split(from, ".")
	for k, tok := range toks {
		if tok != "*" {
			continue
		}
		wild++
		if place[wild] == 0 {
			return "", "", fmt.Errorf("%w: to doesn't use all wildcards of the subject", ErrMalformed)
		}
		if !inOrder {
			toks[k] = "$" + strconv.Itoa(place[wild])
		}
	}
	if wild != n || !subject.Valid(there) {
		return "", "", fmt.Errorf("%w: to doesn't go with the subject", ErrMalformed)
	}
	return there, strings.Join(toks, "."), nil
}

// activation verifies the token of an import of the exporter's subject there.
func (im *importer) activation(ctx context.Context, i *jwt.Import, there string) (*jwt.ActivationClaims, error) {
	act, err := decode[*jwt.ActivationClaims](i.Token, jwt.ActivationClaim)
	if err != nil {
		return nil, err
	}
	if err := im.signed(ctx, act, i.Account); err != nil {
		return nil, err
	}
	switch {
	case act.Subject != im.name:
		return nil, fmt.Errorf("%w: the activation is for account %.60q", ErrUntrusted, act.Subject)
	case act.ImportType != i.Type:
		return nil, fmt.Errorf("%w: the activation is for another type than %s", ErrUntrusted, i.Type)
	case !subject.Valid(string(act.ImportSubject)) || !subject.Covers(string(act.ImportSubject), there):
		return nil, fmt.Errorf("%w: the activation is for %.200q, which doesn't cover the import", ErrUntrusted, act.ImportSubject)
	case act.IssuedAt <= 0:
		return nil, fmt.Errorf("%w: the activation has no date, so it could not be revoked", ErrMalformed)
	}
	return act, inTime(&act.ClaimsData, im.trust.now())
}

// signed checks that an activation was issued by the exporting account or one of
// its signing keys. Keys with a scope sign users only.
func (im *importer) signed(ctx context.Context, act *jwt.ActivationClaims, exporter string) error {
	if act.IssuerAccount != "" && act.IssuerAccount != exporter {
		return fmt.Errorf("%w: the activation is of account %.60q", ErrUntrusted, act.IssuerAccount)
	}
	if act.Issuer == exporter {
		return nil
	}
	if act.IssuerAccount == "" {
		return fmt.Errorf("%w: the activation is signed by %s", ErrUntrusted, act.Issuer)
	}
	keys, ok := im.signing[exporter]
	if slices.Contains(im.unresolved, exporter) {
		return fmt.Errorf("%w: the activation's signing key can't be checked", ErrUntrusted)
	}
	if !ok {
		c, err := im.trust.claims(ctx, exporter)
		if err != nil {
			im.unresolved = append(im.unresolved, exporter)
			return fmt.Errorf("%w: the activation's signing key can't be checked: %w", ErrUntrusted, err)
		}
		keys = c.SigningKeys
		im.signing[exporter] = keys
	}
	if scope, ok := keys.GetScope(act.Issuer); !ok || scope != nil {
		return fmt.Errorf("%w: the activation is signed by %s, which is no unscoped signing key of the exporting account", ErrUntrusted, act.Issuer)
	}
	return nil
}

// claims returns the verified claims of an account without compiling it, which
// two accounts that import from each other could not wait for.
func (t *Trust) claims(ctx context.Context, name string) (*jwt.AccountClaims, error) {
	t.mu.Lock()
	acc := t.cache[name]
	t.mu.Unlock()
	if acc != nil && inTime(&acc.Claims.ClaimsData, t.now()) == nil {
		return acc.Claims, nil
	}
	c, _, err := t.resolve(ctx, name)
	return c, err
}
