package auth_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"ganglion/core/auth"
	"ganglion/core/permission"
)

func TestNewRefuses(t *testing.T) {
	u := newKey(nkeys.CreateUser).public
	issuer := newKey(nkeys.CreateAccount).public
	alice := auth.User{Name: "alice", Password: "secret"}
	call := func(change func(*auth.Callout)) *auth.Callout {
		c := &auth.Callout{Issuer: issuer, AuthUsers: []string{"alice"}, Requester: service(nil)}
		change(c)
		return c
	}
	keys := must(auth.NewKeys())
	for _, tt := range []struct {
		name string
		o    auth.Options
		want string // in the error; "" is no error
	}{
		{"nothing", auth.Options{}, ""},
		{"token and user", auth.Options{Token: "t", User: "u"}, "both a token and a user"},
		{"token and users", auth.Options{Token: "t", Users: []auth.User{alice}}, "has a token"},
		{"user and users", auth.Options{User: "u", Users: []auth.User{alice}}, `single user "u"`},
		{"password alone", auth.Options{Password: "secret"}, "add user"},
		{"user twice", auth.Options{Users: []auth.User{alice, {Name: "alice", Account: "B"}}}, `"alice" is there twice`},
		{"nkey twice", auth.Options{Users: []auth.User{{NKey: u}, {NKey: u, Account: "B"}}}, u + `" is there twice`},
		{"nkey and name", auth.Options{Users: []auth.User{{NKey: u, Name: "alice"}}}, "keep one"},
		{"bad nkey", auth.Options{Users: []auth.User{{NKey: "UFOO"}}}, "no public user nkey"},
		{"account's nkey", auth.Options{Users: []auth.User{{NKey: issuer}}}, "no public user nkey"},
		{"no name", auth.Options{Users: []auth.User{{Password: "secret"}}}, "add user"},
		{"broken bcrypt", auth.Options{Users: []auth.User{{Name: "a", Password: "$2a$secret"}}}, "is none"},
		{"connection type", auth.Options{Users: []auth.User{{Name: "a", ConnectionTypes: []string{"standard", "foo"}}}}, `"FOO" is unknown`},
		{"permission", auth.Options{Users: []auth.User{{Name: "a", Permissions: &permission.Spec{Publish: &permission.Rules{Allow: []string{"a..b"}}}}}}, `user "a": permissions publish.allow`},
		{"no_auth_user unknown", auth.Options{NoAuthUser: "bob", Users: []auth.User{alice}}, `no_auth_user "bob"`},
		{"no_auth_user without users", auth.Options{NoAuthUser: "a", User: "a", Password: "secret"}, "there are no users"},
		{"timeout", auth.Options{Timeout: -1}, "negative"},
		{"sentinel", auth.Options{DefaultSentinel: "x"}, "operator mode"},
		{"listener's user", auth.Options{Users: []auth.User{alice}, Listeners: map[string]auth.Listener{"ws": {User: "x"}}}, "listener ws"},
		{"listener's token", auth.Options{Users: []auth.User{alice}, Listeners: map[string]auth.Listener{"ws": {Token: "secret"}}}, "listener ws"},
		{"listener's no_auth_user", auth.Options{Users: []auth.User{alice}, Listeners: map[string]auth.Listener{"ws": {NoAuthUser: "x"}}}, "listener ws"},
		{"jwt_cookie", auth.Options{Listeners: map[string]auth.Listener{"ws": {JWTCookie: "x"}}}, "operator mode"},
		{"callout", auth.Options{Keys: keys, Users: []auth.User{alice}, Callout: call(func(c *auth.Callout) {})}, ""},
		{"callout's unknown user", auth.Options{Keys: keys, Callout: call(func(c *auth.Callout) {})}, ""}, // as nats-server does
		{"callout's issuer", auth.Options{Keys: keys, Callout: call(func(c *auth.Callout) { c.Issuer = u })}, "issuer"},
		{"callout's xkey", auth.Options{Keys: keys, Callout: call(func(c *auth.Callout) { c.XKey = u })}, "xkey"},
		{"callout without users", auth.Options{Keys: keys, Callout: call(func(c *auth.Callout) { c.AuthUsers = nil })}, "auth_users"},
		{"callout without requester", auth.Options{Keys: keys, Callout: call(func(c *auth.Callout) { c.Requester = nil })}, "requests"},
		{"callout without keys", auth.Options{Callout: call(func(c *auth.Callout) {})}, "keys"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Logger = slog.New(slog.DiscardHandler)
			_, err := auth.New(tt.o)
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want == "":
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Fatalf("the error is %v, want one with %q", err, tt.want)
			case strings.Contains(err.Error(), "secret"):
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// TestPermissions has the user's own before the default, and shared ones compiled
// once.
func TestPermissions(t *testing.T) {
	own := &permission.Spec{Publish: &permission.Rules{Allow: []string{"own"}}}
	def := &permission.Spec{Publish: &permission.Rules{Allow: []string{"default"}}}
	a := newAuth(t, auth.Options{Users: []auth.User{
		{Name: "own", Permissions: own, DefaultPermissions: def},
		{Name: "default", DefaultPermissions: def},
		{Name: "too", DefaultPermissions: def},
		{Name: "all"},
	}})
	who := func(name string) *auth.Identity { return login(t, a, request(fields{"user": name})) }
	for _, tt := range []struct {
		user, subject string
		want          bool
	}{
		{"own", "own", true}, {"own", "default", false},
		{"default", "default", true}, {"default", "own", false}, {"all", "own", true},
	} {
		if got := who(tt.user).Permissions.Publish().Allows([]byte(tt.subject)); got != tt.want {
			t.Errorf("%s may publish to %s: %v", tt.user, tt.subject, got)
		}
	}
	if who("default").Permissions != who("too").Permissions {
		t.Error("a shared Spec was compiled twice")
	}
}
