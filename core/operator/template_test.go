package operator

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/jwt/v2"
)

// TestTemplates has the cases that were tried with nats-server 2.15, and what
// that made of them.
func TestTemplates(t *testing.T) {
	for _, tt := range []struct {
		name, user     string
		allow, deny    []string
		want, wantDeny []string
		err            bool
	}{
		{name: "all", user: "Bob", allow: []string{"n.{{name()}}.{{account-name()}}.{{account-tag(at)}}"}, want: []string{"n.Bob.ACC.one", "n.Bob.ACC.two"}},
		{name: "two tags", user: "Bob", allow: []string{"{{tag(dept)}}.{{account-tag(at)}}"}, want: []string{"hr.one", "hr.two", "sales.one", "sales.two"}},
		{name: "same tag twice", user: "Bob", allow: []string{"{{tag(dept)}}.{{tag(dept)}}"}, want: []string{"hr.hr", "sales.sales"}},
		{name: "part of a token", user: "Bob", allow: []string{"pre-{{name()}}-post"}, want: []string{"pre-Bob-post"}},
		{name: "case and blanks", user: "Bob", allow: []string{"{{ NAME() }}.{{tag(DEPT)}}"}, want: []string{"Bob.hr", "Bob.sales"}},
		{name: "missing tag allowed", user: "Bob", allow: []string{"x", "y.{{tag(none)}}"}, want: []string{"x"}},
		{name: "only a missing tag allowed", user: "Bob", allow: []string{"y.{{tag(none)}}"}, wantDeny: []string{">"}},
		{name: "missing tag denied", user: "Bob", deny: []string{"y.{{tag(none)}}"}, err: true},
		{name: "wildcard tag", user: "Bob", allow: []string{"y.{{tag(star)}}"}, want: []string{"y.*"}},
		{name: "wildcard name", user: ">", allow: []string{"y.{{name()}}"}, want: []string{"y.>"}},
		{name: "wildcard in the middle", user: ">", allow: []string{"x", "y.{{name()}}.z"}, want: []string{"x"}},
		{name: "dots", user: "Bob", allow: []string{"y.{{tag(dots)}}"}, want: []string{"y.a.b"}},
		{name: "blank name allowed", user: "a b", allow: []string{"x", "y.{{name()}}"}, want: []string{"x"}},
		{name: "no name allowed", allow: []string{"x", "y.{{name()}}"}, want: []string{"x"}},
		{name: "no name denied", deny: []string{"y.{{name()}}"}, err: true},
		{name: "unknown allowed", user: "Bob", allow: []string{"x", "y.{{foo()}}"}, err: true},
		{name: "unknown denied", user: "Bob", deny: []string{"y.{{foo()}}"}, err: true},
		{name: "unclosed", user: "Bob", allow: []string{"y.{{name()"}, want: []string{"y.{{name()"}},
		{name: "queue", user: "Bob", allow: []string{"x q", "y.{{name()}} q"}, want: []string{"x q"}},
		{name: "denied", user: "Bob", deny: []string{"y.{{tag(dept)}}"}, wantDeny: []string{"y.hr", "y.sales"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.account(func(a *jwt.AccountClaims) {
				a.Tags.Add("at:one", "at:two")
				s := jwt.NewUserScope()
				s.Key = w.signing.pub
				s.Template.Sub.Allow, s.Template.Sub.Deny = tt.allow, tt.deny
				a.SigningKeys.AddScopedSigner(s)
			})
			u, err := w.trust.User(t.Context(), w.user(w.signing, func(c *jwt.UserClaims) {
				c.SetScoped(true)
				c.IssuerAccount, c.Name = w.acc.pub, tt.user
				c.Tags.Add("dept:sales", "dept:hr", "star:*", "dots:a.b")
			}))
			if tt.err {
				if !errors.Is(err, ErrScope) {
					t.Fatalf("got %+v, %v; want ErrScope", u, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := u.Permissions.Subscribe
			slices.Sort(got.Allow)
			slices.Sort(got.Deny)
			if !slices.Equal(got.Allow, tt.want) || !slices.Equal(got.Deny, tt.wantDeny) {
				t.Errorf("got %+v, want allow %v and deny %v", got, tt.want, tt.wantDeny)
			}
		})
	}
}

// TestScope shows that a scoped key decides on everything.
func TestScope(t *testing.T) {
	w := newWorld(t, nil)
	w.account(func(a *jwt.AccountClaims) {
		s := jwt.NewUserScope()
		s.Key = w.signing.pub
		s.Template.Pub.Allow.Add("only")
		s.Template.Subs, s.Template.BearerToken = 7, true
		a.SigningKeys.AddScopedSigner(s)
	})
	u, err := w.trust.User(t.Context(), w.user(w.signing, func(c *jwt.UserClaims) { c.SetScoped(true); c.IssuerAccount = w.acc.pub }))
	if err != nil || u.Subs != 7 || u.Payload != -1 || !u.Bearer || !slices.Equal(u.Permissions.Publish.Allow, []string{"only"}) {
		t.Fatalf("got %+v, %v", u, err)
	}
	for name, own := range map[string]func(*jwt.UserClaims){
		"permissions": func(c *jwt.UserClaims) { c.Pub.Allow.Add("more") },
		"responses":   func(c *jwt.UserClaims) { c.Resp = &jwt.ResponsePermission{MaxMsgs: 1} },
		"limits":      func(c *jwt.UserClaims) { c.Subs = -1 },
		"bearer":      func(c *jwt.UserClaims) { c.BearerToken = true },
		"sources":     func(c *jwt.UserClaims) { c.Src = jwt.CIDRList{"0.0.0.0/0"} },
		"types":       func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add("MQTT") },
	} {
		_, err := w.trust.User(t.Context(), w.user(w.signing, func(c *jwt.UserClaims) {
			c.SetScoped(true)
			c.IssuerAccount = w.acc.pub
			own(c)
		}))
		if !errors.Is(err, ErrScope) {
			t.Errorf("with %s of its own: got %v, want ErrScope", name, err)
		}
	}
}

// TestTemplateBound has a user's tags multiply until it is too much.
func TestTemplateBound(t *testing.T) {
	w := newWorld(t, nil)
	w.account(func(a *jwt.AccountClaims) {
		s := jwt.NewUserScope()
		s.Key = w.signing.pub
		s.Template.Pub.Allow.Add("{{tag(a)}}.{{tag(b)}}.{{tag(c)}}")
		a.SigningKeys.AddScopedSigner(s)
	})
	_, err := w.trust.User(t.Context(), w.user(w.signing, func(c *jwt.UserClaims) {
		c.SetScoped(true)
		c.IssuerAccount = w.acc.pub
		for i := range 50 {
			c.Tags.Add(fmt.Sprint("a:", i), fmt.Sprint("b:", i), fmt.Sprint("c:", i))
		}
	}))
	if !errors.Is(err, ErrScope) {
		t.Errorf("got %v, want ErrScope", err)
	}
}
