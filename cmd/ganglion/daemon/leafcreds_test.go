package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"ganglion/cmd/ganglion/config"
)

// TestLeafCredentials has a leaf join a hub in operator mode with a file of
// credentials, which is read at each attempt.
func TestLeafCredentials(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	op, err := nkeys.CreateOperator()
	must(err)
	acc, err := nkeys.CreateAccount()
	must(err)
	sys, err := nkeys.CreateAccount()
	must(err)
	user, err := nkeys.CreateUser()
	must(err)
	pub := func(kp nkeys.KeyPair) string {
		s, err := kp.PublicKey()
		must(err)
		return s
	}
	account := func(kp nkeys.KeyPair, name string) string {
		c := jwt.NewAccountClaims(pub(kp))
		c.Name = name
		s, err := c.Encode(op)
		must(err)
		return s
	}
	oc := jwt.NewOperatorClaims(pub(op))
	oc.SystemAccount = pub(sys)
	token, err := oc.Encode(op)
	must(err)
	uc := jwt.NewUserClaims(pub(user))
	uc.Name = "leaf"
	ut, err := uc.Encode(acc)
	must(err)
	seed, err := user.Seed()
	must(err)
	creds, err := jwt.FormatUserConfig(ut, seed)
	must(err)

	dir := t.TempDir()
	hub := launch(t, t.TempDir(), fmt.Sprintf(`
		server_name: HUB, host: "127.0.0.1", port: -1, operator: %s, resolver: MEMORY
		resolver_preload { %s: %s, %s: %s }
		leafnodes { listen: "127.0.0.1:-1" }
	`, token, pub(acc), account(acc, "ACC"), pub(sys), account(sys, "SYS")))
	file := filepath.Join(dir, "leaf.creds")
	edge := edgeOf(t, dir, `{ url: "nats-leaf://`+hub.at(config.ListenerLeaf)+`", credentials: "`+file+`" }`)
	until(t, "an error", func() bool { return strings.Contains(leafz(edge).Remotes[0].LastError, "leaf.creds") })
	write(t, file, strings.Replace(string(creds), string(seed), "SUNOSEED", 1))
	until(t, "another error", func() bool { return strings.Contains(leafz(edge).Remotes[0].LastError, "there is no seed") })
	// Another file by reload is taken up by the next attempt.
	must(os.WriteFile(file+"2", creds, 0o600))
	conf, err := os.ReadFile(edge.Config().File)
	must(err)
	write(t, edge.Config().File, strings.ReplaceAll(string(conf), file, file+"2"))
	must(edge.Reload())
	until(t, "the link", func() bool { return leafz(edge).NumLeafs == 1 })
	if l := leafz(edge).Leafs[0]; l.RemoteAccount != pub(acc) {
		t.Errorf("at the edge: %+v", l)
	}
}
