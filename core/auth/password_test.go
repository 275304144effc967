package auth_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"

	"ganglion/core/auth"
)

// TestCost says what is free and what isn't; a login that fails costs the same
// whether the user exists or not.
func TestCost(t *testing.T) {
	dear := string(must(bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost+1)))
	nk := newKey(nkeys.CreateUser)
	mixed := newAuth(t, auth.Options{Users: []auth.User{
		{Name: "plain", Password: "p"}, {Name: "cheap", Password: hash("h")}, {Name: "dear", Password: dear}, {NKey: nk.public},
	}})
	plain := newAuth(t, auth.Options{Users: []auth.User{{Name: "plain", Password: "p"}}, NoAuthUser: "plain"})
	wrong := mixed.Cost(request(fields{"user": "nobody", "pass": "x"}))
	if wrong.CPU < time.Millisecond {
		t.Errorf("an unknown user costs %v", wrong.CPU)
	}
	for _, tt := range []struct {
		name    string
		a       *auth.Authenticator
		connect fields
		want    auth.Cost
	}{
		{"open", newAuth(t, auth.Options{}), fields{"user": "x"}, auth.Cost{}},
		{"plain", plain, fields{"user": "plain", "pass": "p"}, auth.Cost{}},
		{"plain wrong", plain, fields{"user": "plain", "pass": "x"}, auth.Cost{}},
		{"plain unknown", plain, fields{"user": "x"}, auth.Cost{}},
		{"nothing", plain, fields{}, auth.Cost{}},
		{"mixed plain", mixed, fields{"user": "plain", "pass": "p"}, auth.Cost{}},
		{"mixed plain wrong", mixed, fields{"user": "plain", "pass": "x"}, wrong},
		{"mixed dear", mixed, fields{"user": "dear", "pass": "secret"}, wrong},
		{"mixed dear wrong", mixed, fields{"user": "dear", "pass": "x"}, wrong},
		{"mixed cheap wrong", mixed, fields{"user": "cheap", "pass": "x"}, wrong},
		{"nothing, mixed", mixed, fields{}, wrong},
	} {
		if got := tt.a.Cost(request(tt.connect)); got != tt.want {
			t.Errorf("%s: costs %v, want %v", tt.name, got, tt.want)
		}
		if got := tt.a.Quick(request(tt.connect)); got != (tt.want == auth.Cost{}) {
			t.Errorf("%s: quick is %v", tt.name, got)
		}
	}
	for _, r := range []*auth.Request{
		request(fields{"nkey": nk.public, "sig": nk.sign(nonce)}),
		request(fields{"nkey": newKey(nkeys.CreateUser).public}),
	} {
		if c := mixed.Cost(r); c.CPU == 0 || c.CPU >= time.Millisecond || c.Waits {
			t.Errorf("a signature costs %v", c)
		}
	}
}

// TestDummy has each login that fails compare with one hash of the same cost,
// whoever it says it is.
func TestDummy(t *testing.T) {
	a := newAuth(t, auth.Options{Users: []auth.User{{Name: "plain", Password: "p"}, {Name: "bob", Password: hash("h")}}})
	var costs []int
	auth.CountBcrypt(a, func(hash string) { costs = append(costs, must(bcrypt.Cost([]byte(hash)))) })
	for _, tt := range []struct {
		connect fields
		want    int // comparisons
	}{
		{fields{"user": "bob", "pass": "x"}, 1},
		{fields{"user": "plain", "pass": "x"}, 1},
		{fields{"user": "nobody", "pass": "x"}, 1},
		{fields{"pass": "h"}, 1},
		{fields{"auth_token": "h"}, 1},
		{fields{}, 1},
		{fields{"user": "plain", "pass": "p"}, 0},
		{fields{"user": "bob", "pass": "h"}, 1},
		{fields{"user": "bob", "pass": "h"}, 0}, // remembered
	} {
		costs = nil
		a.Authenticate(t.Context(), request(tt.connect))
		if len(costs) != tt.want || len(costs) > 0 && costs[0] != bcrypt.MinCost {
			t.Errorf("%v: compares with hashes of costs %v, want %d", tt.connect, costs, tt.want)
		}
	}
}

// TestPasswordCache has what was right once be free, for a time, for that user,
// password and hash only, and over reloads.
func TestPasswordCache(t *testing.T) {
	now := time.Unix(1e9, 0)
	cache := &auth.PasswordCache{Now: func() time.Time { return now }}
	o := auth.Options{Cache: cache, Users: []auth.User{{Name: "bob", Password: hash("secret")}, {Name: "eve", Password: hash("secret")}}}
	a := newAuth(t, o)
	right := request(fields{"user": "bob", "pass": "secret"})
	if a.Quick(right) {
		t.Fatal("is quick the first time")
	}
	if _, err := a.Authenticate(t.Context(), request(fields{"user": "bob", "pass": "wrong"})); err == nil {
		t.Fatal("a wrong password is let in")
	}
	if a.Quick(request(fields{"user": "bob", "pass": "wrong"})) {
		t.Fatal("a wrong password is remembered")
	}
	login(t, a, right)
	if !a.Quick(right) {
		t.Fatal("is not quick the second time")
	}
	if a.Quick(request(fields{"user": "eve", "pass": "secret"})) {
		t.Fatal("one user's password is remembered for another")
	}
	if !newAuth(t, o).Quick(right) {
		t.Fatal("a reload forgets")
	}
	o.Users = []auth.User{{Name: "bob", Password: hash("secret")}}
	if newAuth(t, o).Quick(right) {
		t.Fatal("another hash of the same password is thought known")
	}
	now = now.Add(11 * time.Minute)
	if a.Quick(right) {
		t.Fatal("an entry never ends")
	}
}

func BenchmarkUsers(b *testing.B) {
	var o auth.Options
	for i := range 100_000 {
		o.Users = append(o.Users, auth.User{Name: fmt.Sprintf("user-%d", i), Password: "p"})
	}
	for b.Loop() {
		must(auth.New(o))
	}
}
