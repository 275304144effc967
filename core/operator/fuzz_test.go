package operator

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// FuzzUser feeds User two kinds of input: text as a whole token, and text as
// claims that a known key signs, with the keys' names filled in: OP, ACC, SIGN,
// SCOPE, OTHER and USER. Nothing may panic, and nobody gets in whom the model
// refuses, which looks at nothing but the JSON. The signer is chosen by the second
// argument; with its highest bit set it signs as version 1 of JWT did.
func FuzzUser(f *testing.F) {
	seed := func(prefix nkeys.PrefixByte, n byte) key {
		raw := make([]byte, 32)
		raw[0] = n
		return newKey(func() (nkeys.KeyPair, error) { return nkeys.FromRawSeed(prefix, raw) })
	}
	op, acc := seed(nkeys.PrefixByteOperator, 1), seed(nkeys.PrefixByteAccount, 2)
	signing, scope, other := seed(nkeys.PrefixByteAccount, 3), seed(nkeys.PrefixByteAccount, 4), seed(nkeys.PrefixByteAccount, 5)
	user := seed(nkeys.PrefixByteUser, 6)
	signers := []key{acc, signing, scope, other, op}
	fill := strings.NewReplacer("OP", op.pub, "ACC", acc.pub, "SIGN", signing.pub, "SCOPE", scope.pub, "OTHER", other.pub, "USER", user.pub)

	c := jwt.NewAccountClaims(acc.pub)
	c.SigningKeys.Add(signing.pub)
	s := jwt.NewUserScope()
	s.Key = scope.pub
	s.Template.Pub.Allow.Add("x.{{name()}}.{{tag(t)}}")
	s.Template.Sub.Deny.Add("y.{{subject()}}")
	c.SigningKeys.AddScopedSigner(s)
	c.Revocations = jwt.RevocationList{jwt.All: 1000}
	res := &table{tokens: map[string]string{acc.pub: sign(op, c, 1)}}
	now := time.Unix(10_000, 0)
	trust, err := New(Options{TrustedKeys: []string{op.pub}, Resolver: res, Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}

	good := map[string]key{ // or the model would never be asked
		`{"iss":"ACC","sub":"USER","iat":5000,"nats":{"type":"user","version":2}}`:                          acc,
		`{"iss":"SIGN","sub":"USER","iat":5000,"nats":{"type":"user","version":2,"issuer_account":"ACC"}}`:  signing,
		`{"iss":"SCOPE","sub":"USER","iat":5000,"nats":{"type":"user","version":2,"issuer_account":"ACC"}}`: scope,
	}
	for claims, by := range good {
		if _, err := trust.User(f.Context(), signJSON(by, []byte(fill.Replace(claims)))); err != nil {
			f.Fatalf("%s: %v", claims, err)
		}
	}

	f.Fuzz(func(t *testing.T, text string, by byte) {
		if u, err := trust.User(t.Context(), text); err == nil {
			t.Fatalf("a token that nobody signed gets in as %+v", u)
		}
		k := signers[int(by)%len(signers)]
		payload := []byte(fill.Replace(text))
		token := signJSON(k, payload)
		if by&0x80 != 0 { // as version 1 signs: the payload alone
			parts := strings.Split(token, ".")
			parts[2] = base64.RawURLEncoding.EncodeToString(must(k.Sign([]byte(parts[1]))))
			token = strings.Join(parts, ".")
		}
		u, err := trust.User(t.Context(), token)
		if err != nil {
			known := false
			for _, e := range []error{ErrNotFound, ErrMalformed, ErrUntrusted, ErrSignature, ErrExpired, ErrNotYetValid, ErrRevoked, ErrScope, ErrHours} {
				known = known || errors.Is(err, e)
			}
			if !known {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if err := allowed(payload, k.pub, acc.pub, signing.pub, scope.pub); err != nil {
			t.Fatalf("%v, and gets in: %s", err, payload)
		}
		if u.NKey == "" || u.Account != acc.pub || u.Issuer != k.pub || u.Subs < -1 || u.Payload < -1 || u.Data < -1 {
			t.Fatalf("got %+v", u)
		}
		if u.Issuer == scope.pub {
			if p := u.Permissions.Publish; p == nil || len(p.Allow) == 0 && !(len(p.Deny) == 1 && p.Deny[0] == ">") {
				t.Fatalf("a scoped user may publish anything: %+v", p)
			}
			for _, s := range u.Permissions.Publish.Allow {
				if !strings.HasPrefix(s, "x.") {
					t.Fatalf("a scoped user may publish to %q", s)
				}
			}
		}
		if !u.Expires.IsZero() && !u.Expires.After(now) {
			t.Fatalf("it is over: %v", u.Expires)
		}
	})
}

// allowed is the model: it reads claims without the library's types.
func allowed(payload []byte, by, acc, signing, scope string) error {
	var c struct {
		Iss, Sub      string
		Iat, Exp, Nbf int64
		Type          string
		IssuerAccount string `json:"issuer_account"`
		Nats          struct {
			Type          string
			IssuerAccount string `json:"issuer_account"`
			Pub, Sub      struct{ Allow, Deny []string }
			Bearer        bool `json:"bearer_token"`
		}
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return fmt.Errorf("the claims are no JSON: %w", err)
	}
	typ, account := c.Nats.Type, c.Nats.IssuerAccount
	if c.Type != "" { // version 1
		typ, account = c.Type, c.IssuerAccount
	}
	switch {
	case c.Iss != by:
		return errors.New("the signer is not the issuer")
	case typ != "user":
		return errors.New("it is no user token")
	case !nkeys.IsValidPublicUserKey(c.Sub):
		return errors.New("it is about no user")
	case c.Exp > 0 && c.Exp <= 10_000 || c.Nbf > 10_000:
		return errors.New("it is not its time")
	case c.Iat <= 1000:
		return errors.New("it is revoked")
	case by == acc && (account == "" || account == acc):
		return nil
	case by == signing && account == acc:
		return nil
	case by == scope && account == acc:
		if p := c.Nats; len(p.Pub.Allow)+len(p.Pub.Deny)+len(p.Sub.Allow)+len(p.Sub.Deny) > 0 || p.Bearer {
			return errors.New("it has rights beyond its scope")
		}
		return nil
	}
	return errors.New("the issuer may not sign for the account")
}
