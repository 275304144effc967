package auth_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/auth"
)

func TestCookies(t *testing.T) {
	users := newAuth(t, auth.Options{
		Users:     []auth.User{{Name: "alice", Password: "a"}, {Name: "bob", Password: "b"}},
		Listeners: map[string]auth.Listener{"ws": {UserCookie: "u", PassCookie: "p", TokenCookie: "t"}},
	})
	token := newAuth(t, auth.Options{Token: "tok", Listeners: map[string]auth.Listener{"ws": {TokenCookie: "t"}}})
	for _, tt := range []struct {
		name    string
		a       *auth.Authenticator
		connect fields
		cookies string
		want    string
	}{
		{"user and password", users, fields{}, "u=alice; p=a", "alice"},
		{"wrong password", users, fields{}, "u=alice; p=b", ""},
		{"password only", users, fields{"user": "alice"}, "p=a", "alice"},
		{"CONNECT wins", users, fields{"user": "bob", "pass": "b"}, "u=alice; p=a", "bob"},
		{"CONNECT wins and is wrong", users, fields{"user": "mallory"}, "u=alice; p=a", ""},
		{"other names", users, fields{}, "user=alice; pass=a", ""},
		{"token", token, fields{}, "t=tok", "[REDACTED]"},
		{"wrong token", token, fields{}, "t=x", ""},
		{"unconfigured cookie", token, fields{}, "p=tok", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if id, err := tt.a.Authenticate(t.Context(), upgraded(request(tt.connect), tt.cookies)); err == nil {
				got = id.User
			}
			if got != tt.want {
				t.Errorf("is %q, want %q", got, tt.want)
			}
			r := upgraded(request(tt.connect), tt.cookies)
			r.Listener = "tcp"
			if id, err := tt.a.Authenticate(t.Context(), r); err == nil && len(tt.connect) < 2 {
				t.Errorf("on another listener cookies make %q", id.User)
			}
		})
	}
}

func TestListeners(t *testing.T) {
	a := newAuth(t, auth.Options{Token: "main", Timeout: time.Second, Listeners: map[string]auth.Listener{
		"own":  {User: "alice", Password: "a", Timeout: 3 * time.Second},
		"same": {UserCookie: "x"},
	}})
	for _, tt := range []struct {
		listener string
		connect  fields
		want     bool
	}{
		{"", fields{"auth_token": "main"}, true},
		{"same", fields{"auth_token": "main"}, true},
		{"own", fields{"auth_token": "main"}, false},
		{"own", fields{"user": "alice", "pass": "a"}, true},
		{"same", fields{"user": "alice", "pass": "a"}, false},
	} {
		r := request(tt.connect)
		r.Listener = tt.listener
		if _, err := a.Authenticate(t.Context(), r); (err == nil) != tt.want {
			t.Errorf("%q %v: %v", tt.listener, tt.connect, err)
		}
	}
	if a.Timeout("") != time.Second || a.Timeout("own") != 3*time.Second || a.Timeout("same") != time.Second {
		t.Error("wrong timeouts", a.Timeout(""), a.Timeout("own"), a.Timeout("same"))
	}

	a = newAuth(t, auth.Options{Users: []auth.User{{Name: "web", Account: "W"}}, Accounts: registry("W"),
		Listeners: map[string]auth.Listener{"ws": {NoAuthUser: "web"}}})
	if !a.Required("") || a.Required("ws") {
		t.Error("Required doesn't know listeners' no_auth_user")
	}
	if _, err := a.Authenticate(t.Context(), request(fields{})); err == nil {
		t.Error("no_auth_user of one listener holds for another")
	}
	r := with(request(fields{}), func(r *auth.Request) { r.Listener = "ws" })
	if id := login(t, a, r); id.User != "web" || !id.Anonymous || id.Account.Name() != "W" {
		t.Errorf("is %+v", id)
	}
}

func TestConnectionTypes(t *testing.T) {
	all := []string{auth.TypeStandard, auth.TypeWebSocket, auth.TypeLeaf, auth.TypeLeafWS, auth.TypeMQTT, auth.TypeMQTTWS, auth.TypeInProcess, auth.TypeQUIC, auth.TypeWebTransport}
	var o auth.Options
	for _, typ := range all {
		o.Users = append(o.Users, auth.User{Name: typ, ConnectionTypes: []string{typ}})
	}
	o.Users = append(o.Users, auth.User{Name: "any"})
	a := newAuth(t, o)
	for _, typ := range all {
		for _, u := range o.Users {
			r := with(request(fields{"user": u.Name}), func(r *auth.Request) { r.Type = typ })
			_, err := a.Authenticate(t.Context(), r)
			if want := u.Name == typ || u.Name == "any"; (err == nil) != want {
				t.Errorf("%s as %s: %v", u.Name, typ, err)
			}
			if err != nil {
				wantDenied(t, err, auth.ErrConnectionType)
			}
		}
	}
}

func TestAccounts(t *testing.T) {
	reg := registry("A")
	reg.Update(account.Spec{Name: "OLD", Limits: account.NoLimits, Expires: time.Now().Add(-time.Second)})
	a := newAuth(t, auth.Options{Accounts: reg, Users: []auth.User{{Name: "gone", Account: "X"}, {Name: "old", Account: "OLD"}}})
	_, err := a.Authenticate(t.Context(), request(fields{"user": "gone"}))
	wantDenied(t, err, auth.ErrNoAccount)
	_, err = a.Authenticate(t.Context(), request(fields{"user": "old"}))
	wantDenied(t, err, auth.ErrAccountExpired)
}

func TestExtra(t *testing.T) {
	reg := registry("A")
	o := auth.Options{Token: "tok", Accounts: reg, Extra: func(_ context.Context, r *auth.Request) (*auth.Identity, error) {
		switch r.Connect.User {
		case "mine":
			return &auth.Identity{User: "mine", Account: reg.Get("A"), MaxSubs: 3, MaxPayload: -1}, nil
		case "bad":
			return nil, errors.New("no")
		case "lost":
			return &auth.Identity{}, nil
		}
		return nil, nil
	}}
	a := newAuth(t, o)
	id := login(t, a, request(fields{"user": "mine"}))
	if id.User != "mine" || id.MaxSubs != 3 {
		t.Errorf("is %+v", id)
	}
	for _, name := range []string{"bad", "lost", "other"} {
		_, err := a.Authenticate(t.Context(), request(fields{"user": name}))
		wantDenied(t, err, nil)
	}
	login(t, a, request(fields{"auth_token": "tok"}))
	if _, err := a.Renew(t.Context(), id); err != nil {
		t.Error(err)
	}
	o.Extra = nil
	_, err := newAuth(t, o).Renew(t.Context(), id)
	wantDenied(t, err, nil)
}

func TestNonce(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		n := auth.NewNonce()
		if len(n) != 15 || seen[n] {
			t.Fatalf("nonce %q", n)
		}
		seen[n] = true
	}
	for _, tt := range []struct {
		o    auth.Options
		want bool
	}{{auth.Options{}, false}, {auth.Options{Token: "x"}, false}, {auth.Options{Users: []auth.User{{NKey: newKey(nkeys.CreateUser).public}}}, true}} {
		if got := newAuth(t, tt.o).NeedsNonce(); got != tt.want {
			t.Errorf("%+v: NeedsNonce is %v", tt.o, got)
		}
	}
	// A signature of nothing is not one of no nonce.
	k := newKey(nkeys.CreateUser)
	a := newAuth(t, auth.Options{Users: []auth.User{{NKey: k.public}}})
	r := request(fields{"nkey": k.public, "sig": k.sign("")})
	r.Nonce = ""
	if _, err := a.Authenticate(t.Context(), r); err == nil {
		t.Error("is let in without a nonce")
	}
}
