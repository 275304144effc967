package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/conf"

	"ganglion/core/broker"
)

// FuzzConfig: no text makes the reader panic, and what it accepts a broker takes
// or refuses with an error.
func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("../testdata/config_*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, s := range []string{"port: 1", "a { b: [1, 2", "mappings { a: [ { destination: b } ] }", "authorization { timeout: 1.5 }", "listen: 'x:1'",
		"rate_limits { user { messages: 1, bytes: 2kb, burst: \"1s\", action: drop }, accounts { A { account { subs: \"1/m\" } } }, exempt: [\"::/0\"] }",
		"leafnodes { listen: \"x:1\", authorization { users: [ { user: a, account: B } ] }, compression { mode: accept, rtts: \"10ms\" } }",
		"leaf { remotes: [ { urls: [\"ws://u:p@h\", \"wss://h/x\"], creds: c, tls { first: true, insecure: true }, proxy { url: \"http://p\" }, deny_import: [a] } ] }"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := conf.ParseWithChecks(text)
		if err != nil {
			return
		}
		c := Default()
		if err := c.read(m); err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		Diff(Default(), c)
		b, err := broker.New(c.Broker)
		if err == nil {
			b.Shutdown(t.Context())
		}
	})
}
