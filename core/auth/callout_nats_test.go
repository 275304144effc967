package auth_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/auth"
	"ganglion/core/brokertest/natstest"
)

// TestCalloutNATS has one service in front of a nats-server and of us.
func TestCalloutNATS(t *testing.T) {
	issuer, other := newKey(nkeys.CreateAccount), newKey(nkeys.CreateAccount)
	for _, tt := range []struct {
		name    string
		noAuth  string
		connect fields
		user    func(*jwt.UserClaims)
		resp    func(*jwt.AuthorizationResponseClaims)
		by      key
		want    string
		asked   bool
	}{
		{name: "stranger", connect: fields{"user": "x", "pass": "y"}, want: "user-7@APP", asked: true},
		{name: "nothing", connect: fields{}, want: "user-7@APP", asked: true},
		{name: "token", connect: fields{"auth_token": "x"}, want: "user-7@APP", asked: true},
		{name: "configured user", connect: fields{"user": "alice", "pass": "local"}, want: "user-7@APP", asked: true},
		{name: "the service's user", connect: fields{"user": "auth", "pass": "a"}, want: "auth@AUTH"},
		{name: "the service's user, wrong", connect: fields{"user": "auth", "pass": "x"}},
		{name: "no_auth_user", noAuth: "alice", connect: fields{}, want: "user-7@APP", asked: true},
		{name: "no_auth_user of the service", noAuth: "auth", connect: fields{}, want: "auth@AUTH"},
		{name: "no name", connect: fields{}, user: func(u *jwt.UserClaims) { u.Name = "" }, want: "@APP", asked: true},
		{name: "global account", connect: fields{}, user: func(u *jwt.UserClaims) { u.Audience = "$G" }, want: "user-7@$G", asked: true},
		{name: "no account", connect: fields{}, user: func(u *jwt.UserClaims) { u.Audience = "" }, asked: true},
		{name: "unknown account", connect: fields{}, user: func(u *jwt.UserClaims) { u.Audience = "X" }, asked: true},
		{name: "signed by another", connect: fields{}, by: other, asked: true},
		{name: "no audience", connect: fields{}, resp: func(r *jwt.AuthorizationResponseClaims) { r.Audience = "" }, asked: true},
		{name: "error", connect: fields{}, resp: func(r *jwt.AuthorizationResponseClaims) { r.Jwt, r.Error = "", "no" }, asked: true},
	} {
		answer := func(request []byte) []byte {
			c := must(jwt.DecodeAuthorizationRequestClaims(string(request)))
			u := jwt.NewUserClaims(c.UserNkey)
			u.Name, u.Audience = "user-7", "APP"
			if tt.user != nil {
				tt.user(u)
			}
			by := issuer
			if tt.by.KeyPair != nil {
				by = tt.by
			}
			r := jwt.NewAuthorizationResponseClaims(c.UserNkey)
			r.Audience, r.Jwt = c.Server.ID, must(u.Encode(by))
			if tt.resp != nil {
				tt.resp(r)
			}
			return []byte(must(r.Encode(by)))
		}
		t.Run(tt.name, func(t *testing.T) {
			conf := fmt.Sprintf(`accounts { AUTH { users: [{user: auth, password: a}] }, APP { users: [{user: alice, password: local}] } }
authorization { timeout: 1, auth_callout { issuer: %s, account: AUTH, auth_users: [auth] } }
`, issuer.public)
			if tt.noAuth != "" {
				conf += "no_auth_user: " + tt.noAuth + "\n"
			}
			addr, url := natstest.StartNATSMonitored(t, conf)
			nc, err := nats.Connect("nats://"+addr, nats.UserInfo("auth", "a"))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			asked := make(chan bool, 10)
			if _, err := nc.Subscribe("$SYS.REQ.USER.AUTH", func(m *nats.Msg) {
				asked <- true
				m.Respond(answer(m.Data))
			}); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			theirs := natsLogin(t, addr, url, nil, func(string) fields { return tt.connect })
			theyAsked := len(asked) > 0

			x := newTheatre(t, func(x *theatre) {
				x.o.Users = []auth.User{{Name: "auth", Password: "a", Account: "AUTH"}, {Name: "alice", Password: "local", Account: "APP"}}
				x.o.NoAuthUser, x.o.Callout.Issuer, x.o.Logger = tt.noAuth, issuer.public, slog.New(slog.DiscardHandler)
			})
			ours, weAsked := "", false
			x.o.Callout.Requester = service(func(_ context.Context, _ *account.Account, _ string, _, data []byte) ([]byte, error) {
				weAsked = true
				return answer(data), nil
			})
			if id, err := newAuth(t, x.o).Authenticate(t.Context(), request(tt.connect)); err == nil {
				ours = id.User + "@" + id.Account.Name()
			}
			if strings.HasPrefix(tt.want, "@") { // the user nkey
				_, theirs, _ = strings.Cut(theirs, "@")
				_, ours, _ = strings.Cut(ours, "@")
				theirs, ours = "@"+theirs, "@"+ours
			}
			if theirs != tt.want || theyAsked != tt.asked {
				t.Errorf("nats-server says %q, asked: %v, the table %q, %v", theirs, theyAsked, tt.want, tt.asked)
			}
			if ours != tt.want || weAsked != tt.asked {
				t.Errorf("we say %q, asked: %v, the table %q, %v", ours, weAsked, tt.want, tt.asked)
			}
		})
	}
}
