package operator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// key is a key pair whose public key is at hand.
type key struct {
	nkeys.KeyPair
	pub string
}

func newKey(create func() (nkeys.KeyPair, error)) key {
	kp := must(create())
	return key{kp, must(kp.PublicKey())}
}

func operatorKey() key { return newKey(nkeys.CreateOperator) }
func accountKey() key  { return newKey(nkeys.CreateAccount) }
func userKey() key     { return newKey(nkeys.CreateUser) }

// sign encodes claims as they are, at the time iat if that is not 0: the library
// would set it, and refuse keys of the wrong kind.
func sign(by key, claims any, iat int64) string {
	var m map[string]any
	if err := json.Unmarshal(must(json.Marshal(claims)), &m); err != nil {
		panic(err)
	}
	m["iss"] = by.pub
	if iat == 0 {
		iat = time.Now().Unix()
	}
	m["iat"] = iat
	nats, _ := m["nats"].(map[string]any)
	if nats == nil {
		nats = make(map[string]any)
		m["nats"] = nats
	}
	nats["version"] = 2
	switch claims.(type) {
	case *jwt.UserClaims:
		nats["type"] = "user"
	case *jwt.AccountClaims:
		nats["type"] = "account"
	case *jwt.OperatorClaims:
		nats["type"] = "operator"
	case *jwt.ActivationClaims:
		nats["type"] = "activation"
	}
	return signJSON(by, must(json.Marshal(m)))
}

func signJSON(by key, payload []byte) string {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(`{"typ":"JWT","alg":"ed25519-nkey"}`)) + "." + b64.EncodeToString(payload)
	return text + "." + b64.EncodeToString(must(by.Sign([]byte(text))))
}

// table is a Resolver that tests change.
type table struct {
	mu     sync.Mutex
	tokens map[string]string
	asked  int
}

func (r *table) Fetch(_ context.Context, account string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if token, ok := r.tokens[account]; ok {
		return token, nil
	}
	return "", fmt.Errorf("%w: not in the table", ErrNotFound)
}

func (r *table) put(account, token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens[account] = token
}

// world is an operator with a system account, an account and what tests log.
type world struct {
	op, sys, acc, signing key
	resolver              *table
	trust                 *Trust
	log                   *syncBuffer
	now                   time.Time
}

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{
		op: operatorKey(), sys: accountKey(), acc: accountKey(), signing: accountKey(),
		resolver: &table{tokens: make(map[string]string)},
		log:      &syncBuffer{},
		now:      time.Now(),
	}
	oc := jwt.NewOperatorClaims(w.op.pub)
	oc.SystemAccount = w.sys.pub
	o := Options{
		Operators: []string{must(oc.Encode(w.op))},
		Resolver:  w.resolver,
		Now:       func() time.Time { return w.now },
		Logger:    slog.New(slog.NewTextHandler(w.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if w.trust, err = New(o); err != nil {
		t.Fatal(err)
	}
	w.resolver.put(w.sys.pub, must(jwt.NewAccountClaims(w.sys.pub).Encode(w.op)))
	w.account(nil)
	return w
}

// account puts w.acc into the resolver, and out of use.
func (w *world) account(change func(*jwt.AccountClaims)) {
	c := jwt.NewAccountClaims(w.acc.pub)
	c.Name = "ACC"
	c.SigningKeys.Add(w.signing.pub)
	if change != nil {
		change(c)
	}
	w.resolver.put(w.acc.pub, sign(w.op, c, 0))
	w.trust.Forget(w.acc.pub)
}

// user returns a token of a new user, signed by by.
func (w *world) user(by key, change func(*jwt.UserClaims)) string {
	c := jwt.NewUserClaims(userKey().pub)
	if change != nil {
		change(c)
	}
	return sign(by, c, 0)
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// noSecret fails the test when text has a part of a token.
func noSecret(t *testing.T, text string, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		for part := range strings.SplitSeq(token, ".") {
			if len(part) > 20 && strings.Contains(text, part) {
				t.Errorf("a token's part is in %q", text)
			}
		}
	}
}
