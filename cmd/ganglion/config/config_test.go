package config

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDiff names what changed, hides secrets and knows what needs a restart.
func TestDiff(t *testing.T) {
	a, b := Default(), Default()
	b.Port, b.Broker.Auth.Token, b.Log.Debug, b.Broker.Tags = 1, "secret", true, []string{"x"}
	got := map[string]Change{}
	for _, c := range Diff(a, b) {
		got[c.Name] = c
		if strings.Contains(c.String(), "secret") {
			t.Errorf("%v shows a secret", c)
		}
	}
	if len(got) != 4 || !got["Port"].Fixed || got["Log.Debug"].Fixed || got["Broker.Tags"].Name == "" {
		t.Fatalf("got %v", got)
	}
	if d := Diff(a, Default()); len(d) != 0 {
		t.Fatalf("equal configurations differ: %v", d)
	}
}

// TestKeysAreLower: lookups are by lower case.
func TestKeysAreLower(t *testing.T) {
	for _, m := range []map[string]key{topKeys, authKeys} {
		for k := range m {
			if k != strings.ToLower(k) {
				t.Errorf("key %q is not in lower case", k)
			}
		}
	}
}

// TestEveryFlagIsDocumented: what scan defines stands in the usage, or is
// refused by name.
func TestEveryFlagIsDocumented(t *testing.T) {
	src, err := os.ReadFile("flags.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`fs\.\w+Var\([^"\n]+"([a-zA-Z_]+)"`).FindAllStringSubmatch(string(src), -1) {
		if !regexp.MustCompile(`-` + m[1] + `\b`).MatchString(Usage) {
			t.Errorf("flag -%s is not in the usage", m[1])
		}
	}
}

// TestIncludeIsRelative: included files are looked for beside the including one.
func TestIncludeIsRelative(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("part.conf", "max_payload: 77\nbogus: 1\n")
	main := write("main.conf", "include part.conf\n")
	err := Default().Load(main)
	if err == nil || !strings.Contains(err.Error(), "part.conf:2:") || !strings.Contains(err.Error(), `unknown field "bogus"`) {
		t.Fatalf("got %v", err)
	}
}

// --domain is TLS on the client port and wss with the page on 443, from one ACME
// source; what the file says of either stands.
func TestDomain(t *testing.T) {
	cmd, err := Parse([]string{"--domain", "edge.example.com", "--email", "ops@example.com"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c := cmd.Config
	ws := &c.WebSocket
	if !c.TLS.ACME.On || !slices.Equal(c.TLS.ACME.Domains, []string{"edge.example.com"}) || c.TLS.ACME.Email != "ops@example.com" || c.Port != 4222 ||
		!ws.On || ws.Port != 443 || ws.NoPage || !ws.TLS.ACME.On || c.ACMEPort != 80 {
		t.Errorf("%+v", c)
	}
	if s := c.Sources(); len(s) != 1 || s[SourceClient].ACME == nil || c.WebSocketSource() != SourceClient {
		t.Errorf("sources %v", s)
	}
	if cmd, err = Parse([]string{"--domain", "edge.example.com", "--https-port", "8443", "--http-port", "8080", "--ws", "8000", "-p", "4333"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if c := cmd.Config; c.WebSocket.Port != 8000 || !c.WebSocket.NoTLS || c.ACMEPort != 8080 || c.Port != 4333 || !c.TLS.ACME.On {
		t.Errorf("%+v", c)
	}
}
