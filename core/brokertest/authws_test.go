package brokertest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// calloutService decides about logins: ann may join with the password pw-secret,
// or with the cookie session=good.
type calloutService struct {
	issuer   nkeys.KeyPair
	curve    nkeys.KeyPair // nil for plain
	lifetime time.Duration
	answer   func(*jwt.AuthorizationResponseClaims) // changes the answer; nil for nothing
	silent   bool

	mu    sync.Mutex
	asked []calloutRequest
}

// calloutRequest is what a test looks at of a request.
type calloutRequest struct {
	NATS struct {
		ConnectOptions struct {
			Username string `json:"user"`
			Password string `json:"pass"`
		} `json:"connect_opts"`
		ClientInfo struct {
			Kind string `json:"kind"`
			Type string `json:"type"`
		} `json:"client_info"`
		HTTP *struct {
			Headers map[string][]string `json:"headers"`
			Cookies map[string]string   `json:"cookies"`
		} `json:"http"`
	} `json:"nats"`
}

func newCalloutService(t *testing.T, encrypted bool) *calloutService {
	t.Helper()
	c := &calloutService{issuer: newKey(t, nkeys.CreateAccount)}
	if encrypted {
		c.curve = newKey(t, nkeys.CreateCurveKeys)
	}
	return c
}

func (c *calloutService) config() string {
	issuer, _ := c.issuer.PublicKey()
	xkey := ""
	if c.curve != nil {
		pub, _ := c.curve.PublicKey()
		xkey = ", xkey: " + pub
	}
	return fmt.Sprintf("accounts { AUTH { users: [{ user: auth, password: auth-secret }] }, APP { } }\nauthorization { timeout: 1, auth_callout { issuer: %s, account: AUTH, auth_users: [auth]%s } }\n", issuer, xkey)
}

// serve answers the requests of a server until the test ends.
func (c *calloutService) serve(t *testing.T, s *authServer) {
	t.Helper()
	nc := dial(t, tcpAt(s.addr), nats.UserInfo("auth", "auth-secret"))
	_, err := nc.Subscribe("$SYS.REQ.USER.AUTH", func(m *nats.Msg) {
		if c.silent {
			return
		}
		data, server := m.Data, m.Header.Get("Nats-Server-Xkey")
		if c.curve != nil {
			var err error
			if data, err = c.curve.Open(data, server); err != nil {
				t.Errorf("%s: the request does not open: %v", s.name, err)
				return
			}
		}
		answer := []byte(c.decide(t, string(data)))
		if c.curve != nil {
			var err error
			if answer, err = c.curve.Seal(answer, server); err != nil {
				t.Error(err)
			}
		}
		m.Respond(answer)
	})
	must(t, err)
	must(t, nc.Flush())
}

func (c *calloutService) decide(t *testing.T, token string) string {
	claims, err := jwt.DecodeAuthorizationRequestClaims(token)
	if err != nil {
		t.Error(err)
		return ""
	}
	var q calloutRequest
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err == nil {
		err = json.Unmarshal(raw, &q)
	}
	if err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	c.asked = append(c.asked, q)
	c.mu.Unlock()
	r := jwt.NewAuthorizationResponseClaims(claims.UserNkey)
	r.Audience = claims.Server.ID
	cookie := q.NATS.HTTP != nil && q.NATS.HTTP.Cookies["session"] == "good"
	if cookie || claims.ConnectOptions.Username == "ann" && claims.ConnectOptions.Password == "pw-secret" {
		u := jwt.NewUserClaims(claims.UserNkey)
		u.Name, u.Audience = "ann", "APP"
		if c.lifetime > 0 {
			// A JWT's times are whole seconds.
			u.Expires = time.Now().Add(c.lifetime + time.Second).Unix()
		}
		if r.Jwt, err = u.Encode(c.issuer); err != nil {
			t.Error(err)
		}
	} else {
		r.Error = "no"
	}
	if c.answer != nil {
		c.answer(r)
	}
	answer, err := r.Encode(c.issuer)
	if err != nil {
		t.Error(err)
	}
	return answer
}

// TestCalloutWebSocket: the service of an auth callout sees the cookies and
// headers that a WebSocket came with, and may decide by them.
func TestCalloutWebSocket(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted=%v", encrypted), func(t *testing.T) {
			c := newCalloutService(t, encrypted)
			s := startDaemon(t, c.config()+"websocket { listen: \"127.0.0.1:<ws>\", no_tls: true }\n")
			c.serve(t, s)
			nc, err := nats.Connect(s.url("ws"), cookies("session=good; other=thing"))
			must(t, err)
			nc.Close()
			if nc, err = nats.Connect(s.url("ws"), cookies("session=bad")); err == nil {
				nc.Close()
				t.Error("a bad cookie gets in")
			}
			if nc, err = nats.Connect(s.url(""), nats.UserInfo("ann", "pw-secret")); err != nil {
				t.Error(err)
			} else {
				nc.Close()
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.asked) < 3 {
				t.Fatalf("asked %d times, want 3", len(c.asked))
			}
			first, last := c.asked[0].NATS, c.asked[len(c.asked)-1].NATS
			if h := first.HTTP; h == nil || h.Cookies["session"] != "good" || h.Cookies["other"] != "thing" || len(h.Headers["X-Plant"]) != 1 || h.Headers["X-Plant"][0] != "north" {
				t.Errorf("the service saw %+v", h)
			}
			if h := first.HTTP; h != nil && h.Headers["Cookie"] != nil {
				t.Error("the Cookie header is among the headers too")
			}
			if first.ClientInfo.Type != "websocket" || last.ClientInfo.Type != "nats" {
				t.Errorf("the clients' types are %q and %q", first.ClientInfo.Type, last.ClientInfo.Type)
			}
			if last.HTTP != nil {
				t.Errorf("a TCP client has %+v", last.HTTP)
			}
		})
	}
}
