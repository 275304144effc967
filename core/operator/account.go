package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"ganglion/core/account"
	"ganglion/core/permission"
	"ganglion/core/subject"
)

// checkAccount returns what makes claims unusable as a whole. Activations are not
// looked at: an import whose activation is wrong is left out by compile.
func checkAccount(c *jwt.AccountClaims) error {
	if slices.Contains(c.Imports, nil) || slices.Contains(c.Exports, nil) {
		return fmt.Errorf("%w: account %s has an import or export that is null", ErrMalformed, c.Subject)
	}
	bare := *c
	bare.Imports = make(jwt.Imports, len(c.Imports))
	for i, imp := range c.Imports {
		without := *imp
		without.Token = ""
		bare.Imports[i] = &without
	}
	vr := jwt.CreateValidationResults()
	bare.Validate(vr)
	if text := blocking(vr); text != "" {
		return fmt.Errorf("%w: account %s: %.200s", ErrMalformed, c.Subject, text)
	}
	return nil
}

// compile makes an Account of verified claims. Parts that make no sense are left
// out and logged: the account works without them.
func (t *Trust) compile(ctx context.Context, c *jwt.AccountClaims, token string) *Account {
	log := t.log.With("account", c.Subject, "name", c.Name)
	spec := account.Spec{
		Name:    c.Subject,
		NameTag: c.Name,
		Limits: account.Limits{
			Conns:   limit(c.Limits.Conn),
			Leafs:   limit(c.Limits.LeafNodeConn),
			Subs:    limit(c.Limits.Subs),
			Payload: limit(c.Limits.Payload),
		},
		Issuer:  c.Issuer,
		JWT:     token,
		Updated: time.Unix(c.IssuedAt, 0),
		Expires: expiry(c.Expires),
	}
	if c.Trace != nil {
		spec.Trace = account.Trace{Dest: string(c.Trace.Destination), Sampling: c.Trace.Sampling}
	}
	for _, e := range c.Exports {
		if out, err := export(e); err != nil {
			log.Warn("operator: export left out", "subject", e.Subject, "reason", err)
		} else {
			spec.Exports = append(spec.Exports, out)
		}
	}
	im := importer{trust: t, name: c.Subject, signing: make(map[string]jwt.SigningKeys)}
	for _, i := range c.Imports {
		if out, err := im.convert(ctx, i); err != nil {
			log.Warn("operator: import left out", "from", i.Account, "subject", i.Subject, "reason", err)
		} else {
			spec.Imports = append(spec.Imports, out)
		}
	}
	for _, src := range slices.Sorted(maps.Keys(c.Mappings)) {
		if m, err := mapping(string(src), c.Mappings[src]); err != nil {
			log.Warn("operator: mapping left out", "subject", src, "reason", err)
		} else {
			spec.Mappings = append(spec.Mappings, m)
		}
	}
	return &Account{
		Spec: spec, Default: permissions(c.DefaultPermissions),
		Unresolved: im.unresolved, Claims: c, Token: token,
	}
}

func export(e *jwt.Export) (account.Export, error) {
	if !subject.Valid(string(e.Subject)) {
		return account.Export{}, fmt.Errorf("%w: the subject is not valid", ErrMalformed)
	}
	out := account.Export{
		Kind:          kind(e.Type),
		Subject:       string(e.Subject),
		Token:         e.TokenReq,
		TokenPosition: int(e.AccountTokenPosition),
		Revoked:       maps.Clone(map[string]int64(e.Revocations)),
		Threshold:     e.ResponseThreshold,
		AllowTrace:    e.AllowTrace,
		Description:   e.Description,
	}
	switch {
	case e.IsStreamResponse():
		out.Response = account.Streamed
	case e.IsChunkedResponse():
		out.Response = account.Chunked
	}
	if e.Latency != nil {
		out.Latency = &account.Latency{Subject: string(e.Latency.Results), Sampling: int(e.Latency.Sampling)}
	}
	return out, nil
}

func mapping(src string, dests []jwt.WeightedMapping) (*subject.Mapping, error) {
	out := make([]subject.Dest, len(dests))
	for i, d := range dests {
		out[i] = subject.Dest{Subject: string(d.Subject), Weight: int(d.GetWeight()), Cluster: d.Cluster}
	}
	return subject.NewMapping(src, out...)
}

func kind(t jwt.ExportType) account.Kind {
	if t == jwt.Service {
		return account.Service
	}
	return account.Stream
}

// limit makes one way of saying "none" of all.
func limit(n int64) int { return int(max(n, account.Unlimited)) }

// permissions translates, with "restricts nothing" as nil.
func permissions(p jwt.Permissions) permission.Spec {
	s := permission.Spec{Publish: rules(p.Pub), Subscribe: rules(p.Sub)}
	if p.Resp != nil {
		s.Responses = &permission.Responses{Max: p.Resp.MaxMsgs, Expires: p.Resp.Expires}
	}
	return s
}

func rules(p jwt.Permission) *permission.Rules {
	if p.Empty() {
		return nil
	}
	r := &permission.Rules{Deny: slices.Clone([]string(p.Deny))}
	if len(p.Allow) > 0 {
		r.Allow = slices.Clone([]string(p.Allow))
	}
	return r
}

func compare(a, b string) int { return strings.Compare(a, b) }
