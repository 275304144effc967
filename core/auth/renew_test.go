package auth_test

import (
	"testing"

	"github.com/nats-io/nkeys"

	"ganglion/core/auth"
	"ganglion/core/permission"
)

func TestRenew(t *testing.T) {
	nk := newKey(nkeys.CreateUser)
	h, h2 := hash("h"), hash("h")
	type users = []auth.User
	for _, tt := range []struct {
		name   string
		before auth.Options
		after  auth.Options
		login  fields
		want   string // "user@account"; "" is denied
	}{
		{"open", auth.Options{}, auth.Options{}, fields{}, "@$G"},
		{"open, then not", auth.Options{}, auth.Options{Token: "t"}, fields{}, ""},
		{"open, then no_auth_user", auth.Options{}, auth.Options{Users: users{{Name: "a", Account: "A"}}, NoAuthUser: "a"}, fields{}, "a@A"},
		{"token", auth.Options{Token: "t"}, auth.Options{Token: "t"}, fields{"auth_token": "t"}, "[REDACTED]@$G"},
		{"another token", auth.Options{Token: "t"}, auth.Options{Token: "u"}, fields{"auth_token": "t"}, ""},
		{"token, then open", auth.Options{Token: "t"}, auth.Options{}, fields{"auth_token": "t"}, ""},
		{"single", auth.Options{User: "a", Password: "p"}, auth.Options{User: "a", Password: "p"}, fields{"user": "a", "pass": "p"}, "a@$G"},
		{"single renamed", auth.Options{User: "a", Password: "p"}, auth.Options{User: "b", Password: "p"}, fields{"user": "a", "pass": "p"}, ""},
		{"single's password", auth.Options{User: "a", Password: "p"}, auth.Options{User: "a", Password: "q"}, fields{"user": "a", "pass": "p"}, ""},
		{"user", auth.Options{Users: users{{Name: "a", Password: "p"}}}, auth.Options{Users: users{{Name: "a", Password: "p"}}}, fields{"user": "a", "pass": "p"}, "a@$G"},
		{"user's account", auth.Options{Users: users{{Name: "a", Password: "p"}}}, auth.Options{Users: users{{Name: "a", Password: "p", Account: "A"}}}, fields{"user": "a", "pass": "p"}, "a@A"},
		{"account gone", auth.Options{Users: users{{Name: "a", Account: "A"}}}, auth.Options{Users: users{{Name: "a", Account: "X"}}}, fields{"user": "a"}, ""},
		{"user's password", auth.Options{Users: users{{Name: "a", Password: "p"}}}, auth.Options{Users: users{{Name: "a", Password: "q"}}}, fields{"user": "a", "pass": "p"}, ""},
		{"user gone", auth.Options{Users: users{{Name: "a"}}}, auth.Options{Users: users{{Name: "b"}}}, fields{"user": "a"}, ""},
		{"bcrypt", auth.Options{Users: users{{Name: "a", Password: h}}}, auth.Options{Users: users{{Name: "a", Password: h}}}, fields{"user": "a", "pass": "h"}, "a@$G"},
		{"bcrypt made anew", auth.Options{Users: users{{Name: "a", Password: h}}}, auth.Options{Users: users{{Name: "a", Password: h2}}}, fields{"user": "a", "pass": "h"}, ""},
		{"connection type", auth.Options{Users: users{{Name: "a"}}}, auth.Options{Users: users{{Name: "a", ConnectionTypes: []string{"mqtt"}}}}, fields{"user": "a"}, ""},
		{"nkey", auth.Options{Users: users{{NKey: nk.public}}}, auth.Options{Users: users{{NKey: nk.public, Account: "A"}}}, fields{"nkey": nk.public, "sig": nk.sign(nonce)}, nk.public + "@A"},
		{"nkey gone", auth.Options{Users: users{{NKey: nk.public}}}, auth.Options{Users: users{{Name: nk.public}}}, fields{"nkey": nk.public, "sig": nk.sign(nonce)}, ""},
		{"no_auth_user", auth.Options{Users: users{{Name: "a"}}, NoAuthUser: "a"}, auth.Options{Users: users{{Name: "a", Password: "new"}}, NoAuthUser: "a"}, fields{}, "a@$G"},
		{"another no_auth_user", auth.Options{Users: users{{Name: "a"}}, NoAuthUser: "a"}, auth.Options{Users: users{{Name: "a"}, {Name: "b", Account: "A"}}, NoAuthUser: "b"}, fields{}, "b@A"},
		{"no no_auth_user", auth.Options{Users: users{{Name: "a"}}, NoAuthUser: "a"}, auth.Options{Users: users{{Name: "a"}}}, fields{}, ""},
		{"no_auth_user, then open", auth.Options{Users: users{{Name: "a"}}, NoAuthUser: "a"}, auth.Options{}, fields{}, "@$G"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.before.Accounts, tt.after.Accounts = registry("A"), registry("A")
			old := login(t, newAuth(t, tt.before), request(tt.login))
			a := newAuth(t, tt.after)
			got := ""
			id, err := a.Renew(t.Context(), old)
			if err != nil {
				wantDenied(t, err, nil)
			} else {
				got = id.User + "@" + id.Account.Name()
				if id.Account != tt.after.Accounts.Get(id.Account.Name()) {
					t.Error("is in an account of before")
				}
				if again, err := a.Renew(t.Context(), id); err != nil || again.User != id.User {
					t.Errorf("can't be renewed twice: %v", err)
				}
			}
			if got != tt.want {
				t.Errorf("is %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestRenewPermissions(t *testing.T) {
	o := auth.Options{Users: []auth.User{{Name: "a"}}}
	old := login(t, newAuth(t, o), request(fields{"user": "a"}))
	o.Users[0].Permissions = &permission.Spec{Publish: &permission.Rules{Deny: []string{"x"}}}
	id := must(newAuth(t, o).Renew(t.Context(), old))
	if id.Permissions.Publish().Allows([]byte("x")) || !old.Permissions.Publish().Allows([]byte("x")) {
		t.Error("permissions are not today's")
	}
}
