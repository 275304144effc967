package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/core/account"
	"ganglion/core/auth"
)

// service answers requests in the place of core/local.
type service func(ctx context.Context, acc *account.Account, subject string, header, data []byte) ([]byte, error)

func (s service) Request(ctx context.Context, acc *account.Account, subject string, header, data []byte) ([]byte, []byte, error) {
	reply, err := s(ctx, acc, subject, header, data)
	return nil, reply, err
}

// theatre is a server with a callout.
type theatre struct {
	t      testing.TB
	keys   *auth.Keys
	issuer key
	xkey   key // the service's; used when the callout has an XKey
	o      auth.Options
	a      *auth.Authenticator
	asked  int

	request *jwt.AuthorizationRequestClaims // the last
	raw     map[string]any
	header  string
	// What the answer is made with.
	user     func(*jwt.UserClaims)
	response func(*jwt.AuthorizationResponseClaims)
	signUser nkeys.KeyPair
	signAll  nkeys.KeyPair
	mangle   func([]byte) []byte
}

func newTheatre(t testing.TB, change func(*theatre)) *theatre {
	x := &theatre{
		t: t, keys: must(auth.NewKeys()), issuer: newKey(nkeys.CreateAccount), xkey: newKey(nkeys.CreateCurveKeys),
		user: func(*jwt.UserClaims) {}, response: func(*jwt.AuthorizationResponseClaims) {}, mangle: func(b []byte) []byte { return b },
	}
	x.signUser, x.signAll = x.issuer, x.issuer
	x.o = auth.Options{
		Accounts: registry("AUTH", "APP", "OTHER"), Keys: x.keys, ServerName: "n1", Host: "127.0.0.1",
		Users:   []auth.User{{Name: "auth", Password: "service-secret", Account: "AUTH"}, {Name: "alice", Password: "local", Account: "APP"}},
		Callout: &auth.Callout{Issuer: x.issuer.public, Account: "AUTH", AuthUsers: []string{"auth"}, Requester: service(x.serve)},
		Logger:  slog.New(slog.DiscardHandler),
	}
	change(x)
	x.a = newAuth(t, x.o)
	return x
}

func (x *theatre) serve(_ context.Context, acc *account.Account, subject string, header, data []byte) ([]byte, error) {
	x.asked++
	if acc.Name() != x.o.Callout.Account || subject != "$SYS.REQ.USER.AUTH" {
		x.t.Errorf("the request is on %s in %s", subject, acc.Name())
	}
	x.header = string(header)
	if x.o.Callout.XKey != "" {
		var err error
		if data, err = x.xkey.Open(data, x.keys.XKey); err != nil {
			x.t.Errorf("the request can't be decrypted: %v", err)
		}
	}
	claims, err := jwt.DecodeAuthorizationRequestClaims(string(data))
	if err != nil {
		x.t.Fatalf("the request: %v", err)
	}
	vr := jwt.CreateValidationResults()
	if claims.Validate(vr); vr.IsBlocking(true) {
		x.t.Errorf("the request: %v", vr.Errors())
	}
	x.request = claims
	body := must(base64.RawURLEncoding.DecodeString(strings.Split(string(data), ".")[1]))
	if err := json.Unmarshal(body, &x.raw); err != nil {
		x.t.Fatal(err)
	}
	return x.answer(claims.UserNkey), nil
}

func (x *theatre) answer(nkey string) []byte {
	u := jwt.NewUserClaims(nkey)
	u.Name, u.Audience = "user-7", "APP"
	u.Pub.Allow.Add("app.>")
	x.user(u)
	r := jwt.NewAuthorizationResponseClaims(nkey)
	r.Audience = x.keys.ID
	r.Jwt = must(u.Encode(x.signUser))
	x.response(r)
	data := []byte(must(r.Encode(x.signAll)))
	if x.o.Callout.XKey != "" {
		data = must(x.xkey.Seal(data, x.keys.XKey))
	}
	return x.mangle(data)
}

func TestCallout(t *testing.T) {
	other, curve := newKey(nkeys.CreateAccount), newKey(nkeys.CreateCurveKeys)
	encrypt := func(x *theatre) { x.o.Callout.XKey = x.xkey.public }
	for _, tt := range []struct {
		name   string
		change func(*theatre)
		want   string // in the error; "" is let in
		also   error
	}{
		{"good", func(x *theatre) {}, "", nil},
		{"encrypted", encrypt, "", nil},
		{"global account", func(x *theatre) { x.user = func(u *jwt.UserClaims) { u.Audience = "$G" } }, "", nil},
		{"allowed account", func(x *theatre) { x.o.Callout.AllowedAccounts = []string{"APP"} }, "", nil},
		{"refused", func(x *theatre) {
			x.response = func(r *jwt.AuthorizationResponseClaims) { r.Jwt, r.Error = "", "not today" }
		}, `refused: "not today"`, nil},
		{"refused at length", func(x *theatre) {
			x.response = func(r *jwt.AuthorizationResponseClaims) { r.Jwt, r.Error = "", strings.Repeat("no\n", 1000) }
		}, `refused: "no\n`, nil},
		{"nothing", func(x *theatre) { x.mangle = func([]byte) []byte { return nil } }, "empty", nil},
		{"nonsense", func(x *theatre) { x.mangle = func([]byte) []byte { return []byte("yes") } }, "token", nil},
		{"oversized", func(x *theatre) { x.mangle = func([]byte) []byte { return make([]byte, 1<<20) } }, "the answer has 1048576 bytes", nil},
		{"neither user nor error", func(x *theatre) { x.response = func(r *jwt.AuthorizationResponseClaims) { r.Jwt = "" } }, "either", nil},
		{"both", func(x *theatre) { x.response = func(r *jwt.AuthorizationResponseClaims) { r.Error = "x" } }, "either", nil},
		{"forged", func(x *theatre) { x.signAll = other }, "signed by", nil},
		{"forged user", func(x *theatre) { x.signUser = other }, "signed by", nil},
		{"signature broken", func(x *theatre) {
			x.mangle = func(b []byte) []byte { b[len(b)-10] ^= 3; return b }
		}, "token", nil},
		{"a user JWT alone", func(x *theatre) {
			x.mangle = func([]byte) []byte {
				u := jwt.NewUserClaims(x.request.UserNkey)
				u.Audience = "APP"
				return []byte(must(u.Encode(x.issuer)))
			}
		}, "type", nil},
		{"wrong audience", func(x *theatre) { x.response = func(r *jwt.AuthorizationResponseClaims) { r.Audience = other.public } }, "meant for", nil},
		{"no audience", func(x *theatre) { x.response = func(r *jwt.AuthorizationResponseClaims) { r.Audience = "" } }, "meant for", nil},
		{"about another", func(x *theatre) {
			x.response = func(r *jwt.AuthorizationResponseClaims) { r.Subject = newKey(nkeys.CreateUser).public }
		}, "about user", nil},
		{"another user", func(x *theatre) {
			x.user = func(u *jwt.UserClaims) { u.Subject = newKey(nkeys.CreateUser).public }
		}, "the user JWT is about", nil},
		{"expired", func(x *theatre) {
			x.response = func(r *jwt.AuthorizationResponseClaims) { r.Expires = time.Now().Unix() - 1 }
		}, "expired", nil},
		{"not yet", func(x *theatre) {
			x.response = func(r *jwt.AuthorizationResponseClaims) { r.NotBefore = time.Now().Unix() + 60 }
		}, "not valid yet", nil},
		{"user expired", func(x *theatre) {
			x.user = func(u *jwt.UserClaims) { u.Expires = time.Now().Unix() - 1 }
		}, "expired", auth.ErrExpired},
		{"unknown account", func(x *theatre) { x.user = func(u *jwt.UserClaims) { u.Audience = "NOPE" } }, "NOPE", auth.ErrNoAccount},
		{"no account", func(x *theatre) { x.user = func(u *jwt.UserClaims) { u.Audience = "" } }, "must be an account", nil},
		{"account not allowed", func(x *theatre) { x.o.Callout.AllowedAccounts = []string{"OTHER"} }, "allowed_accounts", nil},
		{"connection type", func(x *theatre) {
			x.user = func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add("MQTT") }
		}, "connection type", auth.ErrConnectionType},
		{"address", func(x *theatre) { x.user = func(u *jwt.UserClaims) { u.Src.Add("10.0.0.0/8") } }, "may not connect from", nil},
		{"plain though it must be encrypted", func(x *theatre) {
			encrypt(x)
			x.mangle = func([]byte) []byte {
				x.o.Callout.XKey = ""
				defer encrypt(x)
				x.mangle = func(b []byte) []byte { return b }
				return x.answer(x.request.UserNkey)
			}
		}, "not encrypted", nil},
		{"encrypted by another", func(x *theatre) {
			encrypt(x)
			x.mangle = func(b []byte) []byte { return must(curve.Seal(b, x.keys.XKey)) }
		}, "not encrypted", nil},
		{"nobody listens", func(x *theatre) {
			x.o.Callout.Requester = service(func(context.Context, *account.Account, string, []byte, []byte) ([]byte, error) {
				return nil, errors.New("no responders")
			})
		}, "no responders", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTheatre(t, tt.change)
			r := request(fields{"user": "u", "pass": "given-secret"})
			if c := x.a.Cost(r); !c.Waits || c.CPU == 0 {
				t.Errorf("costs %v", c)
			}
			id, err := x.a.Authenticate(t.Context(), r)
			if tt.want != "" {
				wantDenied(t, err, auth.ErrCallout, "secret")
				if tt.also != nil {
					wantDenied(t, err, tt.also)
				}
				if !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1000 {
					t.Errorf("the error is %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if id.User != "user-7" || id.NKey != x.request.UserNkey || !id.Permissions.Publish().Allows([]byte("app.x")) || id.Permissions.Publish().Allows([]byte("x")) {
				t.Errorf("is %+v", id)
			}
			if _, err := x.a.Renew(t.Context(), id); err != nil {
				t.Error(err)
			}
			x.o.Callout.Issuer = other.public
			_, err = newAuth(t, x.o).Renew(t.Context(), id)
			wantDenied(t, err, auth.ErrCallout)
		})
	}
}

// TestCalloutOwn has the service's own user left to the configuration, and
// everybody else, configured or not, to the service.
func TestCalloutOwn(t *testing.T) {
	x := newTheatre(t, func(*theatre) {})
	for _, tt := range []struct {
		connect fields
		want    string
		asked   int
	}{
		{fields{"user": "auth", "pass": "service-secret"}, "auth", 0},
		{fields{"user": "auth", "pass": "x"}, "", 0},
		{fields{"user": "alice", "pass": "local"}, "user-7", 1},
		{fields{}, "user-7", 1},
		{fields{"auth_token": "x"}, "user-7", 1},
	} {
		x.asked = 0
		got := ""
		if id, err := x.a.Authenticate(t.Context(), request(tt.connect)); err == nil {
			got = id.User
		}
		if got != tt.want || x.asked != tt.asked {
			t.Errorf("%v: is %q after %d questions, want %q after %d", tt.connect, got, x.asked, tt.want, tt.asked)
		}
	}
	if u := x.request.ClientInformation.User; u != "[REDACTED]" {
		t.Errorf("the client with a token is called %q", u)
	}
	if !x.a.Required("") {
		t.Error("nobody has to authenticate")
	}
}

// TestCalloutRequest has the request say what is known about the client.
func TestCalloutRequest(t *testing.T) {
	x := newTheatre(t, func(x *theatre) {
		x.o.Callout.XKey = x.xkey.public
		x.o.Listeners = map[string]auth.Listener{"ws": {TokenCookie: "session"}}
	})
	leaf := newAuthority().issue(rdns("CN=dev")).Leaf
	r := upgraded(request(fields{"user": "u", "pass": "p", "name": "my app", "lang": "go", "version": "1.2", "protocol": 1, "jwt": "j", "sig": "s"}), "session=abc; other=x")
	r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, PeerCertificates: []*x509.Certificate{leaf}}
	r.Host = "192.0.2.7"
	login(t, x.a, r)
	if want := "NATS/1.0\r\nNats-Server-Xkey: " + x.keys.XKey + "\r\n\r\n"; x.header != want {
		t.Errorf("the header is %q", x.header)
	}
	c := x.request
	if c.Audience != "nats-authorization-request" || c.Issuer != x.keys.ID || c.Subject != x.issuer.public || c.Expires <= c.IssuedAt || c.Version != 2 {
		t.Errorf("claims are %+v", c.ClaimsData)
	}
	if s := c.Server; s.ID != x.keys.ID || s.Name != "n1" || s.Host != "127.0.0.1" || s.Version == "" || s.XKey != x.keys.XKey {
		t.Errorf("server is %+v", s)
	}
	if i := c.ClientInformation; i.Host != "192.0.2.7" || i.ID != 5 || i.User != "u" || i.Name != "my app" || i.Kind != "Client" || i.Type != "websocket" || i.Nonce != nonce {
		t.Errorf("client is %+v", i)
	}
	if o, want := c.ConnectOptions, (jwt.ConnectOptions{JWT: "j", SignedNonce: "s", Token: "abc", Username: "u", Password: "p", Name: "my app", Lang: "go", Version: "1.2", Protocol: 1}); o != want {
		t.Errorf("options are %+v, want %+v", o, want)
	}
	if s := c.TLS; s == nil || s.Version != "1.3" || s.Cipher != "TLS_AES_128_GCM_SHA256" || len(s.Certs) != 1 || !strings.Contains(s.Certs[0], "BEGIN CERTIFICATE") {
		t.Errorf("TLS is %+v", s)
	}
	body := string(must(json.Marshal(x.raw["nats"].(map[string]any)["http"])))
	if want := `{"cookies":{"other":"x","session":"abc"},"headers":{"X-Plant":["north"]}}`; body != want {
		t.Errorf("http is %s, want %s", body, want)
	}
	key := c.UserNkey
	if login(t, x.a, r); x.request.UserNkey == key {
		t.Error("two requests have the same user nkey")
	}
	r.HTTP.Header.Set("X-Large", strings.Repeat("x", 1<<20))
	if login(t, x.a, r); len(must(json.Marshal(x.raw))) > 64<<10 {
		t.Error("headers are not bounded")
	}
}

// TestCalloutSlow has a service that never answers cost the timeout.
func TestCalloutSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTheatre(t, func(x *theatre) {
			x.o.Timeout = 700 * time.Millisecond
			x.o.Callout.Requester = service(func(ctx context.Context, _ *account.Account, _ string, _, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			})
		})
		start := time.Now()
		_, err := x.a.Authenticate(t.Context(), request(fields{"user": "u"}))
		wantDenied(t, err, auth.ErrCallout)
		if took := time.Since(start); took != 700*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// FuzzCalloutResponse lets nobody in by an answer that the issuer didn't sign.
func FuzzCalloutResponse(f *testing.F) {
	var data []byte
	x := newTheatre(f, func(x *theatre) {
		x.o.Callout.Requester = service(func(_ context.Context, _ *account.Account, _ string, _, _ []byte) ([]byte, error) { return data, nil })
	})
	y := newTheatre(f, func(y *theatre) { y.keys, y.o.Keys = x.keys, x.keys })
	nkey := newKey(nkeys.CreateUser).public
	f.Add(y.answer(nkey))
	f.Add(x.answer(nkey))
	f.Add([]byte("a.b.c"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, answer []byte) {
		data = answer
		id, err := x.a.Authenticate(t.Context(), request(fields{"user": "u"}))
		if err == nil {
			t.Fatalf("%q lets in %+v", answer, id)
		}
		wantDenied(t, err, auth.ErrCallout)
	})
}
