package core_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "ganglion"

// layers is the plan of the house: a package imports only packages of a lower
// layer, so packages of one layer never meet. The plan is DESIGN.md's, section 2;
// rows for packages that are not built yet do no harm. A row is added together
// with its package. Do not move a row to make a build pass: move the word that
// both packages need down instead, or hand it over as a small interface in
// core/broker.
var layers = map[string]int{
	"core":               0,
	"core/subject":       0,
	"core/wire":          0,
	"core/jetstream/api": 0,
	"listeners":          0,
	"plugins/abi":        0,
	"plugins/sdk/go":     0,

	"core/sublist":             1,
	"core/conn":                1,
	"core/hook":                1,
	"core/limit":               1,
	"core/permission":          1,
	"core/monitor":             1,
	"listeners/tcp":            1,
	"listeners/quic":           1,
	"listeners/websocket":      1,
	"listeners/certs":          1,
	"listeners/listenertest":   1,
	"plugins/sdk":              1,
	"plugins/fuel":             1,
	"plugins/trust":            1,
	"plugins/sdk/sdktest":      1,
	"core/brokertest/natstest": 1,
	"core/brokertest/link":     1, // for tests only, see testOnly
	"core/jetstream/store":     2,
	"core/account":             2,
	"listeners/webtransport":   2,
	"plugins/wasm":             2,
	"web/api":                  2,
	"core/operator":            3,
	"core/auth":                4,
	"core/router":              3,
	"core/jetstream/memstore":  3,
	"core/jetstream/filestore": 3,
	"core/jetstream/storetest": 3,
	"core/jetstream/stream":    3,
	"core/jetstream/consumer":  3,
	"plugins":                  3,
	"plugins/plugintest":       3,
	"web":                      3,
	"core/local":               4,
	"core/client":              5,
	"core/leaf":                5,
	"core/cluster":             5,
	"core/event":               5,
	"core/jetstream":           5,
	"core/mqtt":                5,
	"core/broker":              6,
	"core/brokertest":          7,
	"cmd/ganglion/config":      8,
	"cmd/ganglion/daemon":      9,
	"cmd/ganglion/cli":         9,
	"cmd/ganglion":             10,
	"cmd/ganglion-bench":       10,
	"examples/*":               10, // any package below examples
}

// houses says what of ours a package may import outside its own top-level
// folder. cmd and examples are the roof: they see everything.
var houses = map[string][]string{
	"core":      {},
	"listeners": {},
	"plugins":   {"core/hook", "core/subject", "core/wire"},
	"web":       {"core/monitor"},
}

// foundation is what needs nothing but the standard library.
var foundation = []string{"core/subject", "core/wire"}

// Of nats-server only its config grammar goes into our binaries; the server
// itself is for tests.
const (
	natsServer     = "github.com/nats-io/nats-server/v2/"
	natsServerConf = natsServer + "conf"
	natsServerUser = "core/brokertest/natstest"
)

// testOnly is what only tests may import, whatever their layer.
var testOnly = []string{"core/brokertest/link"}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestLayers(t *testing.T) {
	noticeChanges(t)
	for _, p := range list(t) {
		for _, wrong := range check(p) {
			t.Error(wrong)
		}
	}
}

// check returns what is wrong with the non-test imports of p.
func check(p pkg) (wrong []string) {
	name, layer, ok := row(p.ImportPath)
	if !ok {
		return []string{name + " stands in no layer; add a row to layers in core/deps_test.go"}
	}
	top, _, _ := strings.Cut(name, "/")
	allowed, walled := houses[top]
	for _, imp := range p.Imports {
		if imp != module && !strings.HasPrefix(imp, module+"/") {
			if strings.HasPrefix(imp, natsServer) && imp != natsServerConf && name != natsServerUser {
				wrong = append(wrong, name+" imports "+imp+"; only "+natsServerUser+" may")
			}
			if slices.Contains(foundation, name) && strings.Contains(imp, ".") {
				wrong = append(wrong, name+" imports "+imp+"; it may import the standard library only")
			}
			continue
		}
		dep, depLayer, ok := row(imp)
		depTop, _, _ := strings.Cut(dep, "/")
		switch {
		case !ok:
			wrong = append(wrong, name+" imports "+dep+", which stands in no layer")
		case slices.Contains(testOnly, dep):
			wrong = append(wrong, name+" imports "+dep+"; only tests may")
		case depLayer == layer:
			wrong = append(wrong, name+" imports "+dep+" of its own layer")
		case depLayer > layer:
			wrong = append(wrong, name+" imports "+dep+" of a higher layer")
		case walled && depTop != top && !slices.Contains(allowed, dep):
			wrong = append(wrong, name+" imports "+dep+"; "+top+" may import of ours, outside "+top+", only "+orNothing(allowed))
		}
	}
	return wrong
}

func row(importPath string) (name string, layer int, ok bool) {
	name = strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
	if strings.HasPrefix(name, "examples/") {
		return name, layers["examples/*"], true
	}
	layer, ok = layers[name]
	return name, layer, ok
}

func orNothing(s []string) string {
	if len(s) == 0 {
		return "nothing"
	}
	return strings.Join(s, " and ")
}

// list returns the packages of the module.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// noticeChanges reads the module's folders, so that go test does not answer from
// its cache when a file of another package changed: it cannot see what go list
// read.
func noticeChanges(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The checks themselves fail when they should.
func TestLayersRefuse(t *testing.T) {
	for _, tc := range []struct{ name, from, to, want string }{
		{"lower", "ganglion/core/broker", "ganglion/core/client", ""},
		{"standard library", "ganglion/core/wire", "bytes", ""},
		{"own layer", "ganglion/core/client", "ganglion/core/leaf", "own layer"},
		{"higher layer", "ganglion/core/wire", "ganglion/core/conn", "higher layer"},
		{"no row", "ganglion/core/util", "bytes", "stands in no layer"},
		{"import without row", "ganglion/core/broker", "ganglion/core/util", "stands in no layer"},
		{"core leaves core", "ganglion/core/broker", "ganglion/listeners", "only nothing"},
		{"listeners leave listeners", "ganglion/listeners/tcp", "ganglion/core/wire", "only nothing"},
		{"listeners inside", "ganglion/listeners/tcp", "ganglion/listeners", ""},
		{"plugins to hook", "ganglion/plugins/wasm", "ganglion/core/hook", ""},
		{"plugins to conn", "ganglion/plugins/wasm", "ganglion/core/conn", "core/hook and core/subject and core/wire"},
		{"web to monitor", "ganglion/web/api", "ganglion/core/monitor", ""},
		{"foundation leaves the standard library", "ganglion/core/wire", "github.com/nats-io/nuid", "standard library only"},
		{"nats-server in a binary", "ganglion/cmd/ganglion", natsServer + "server", "only core/brokertest/natstest may"},
		{"nats-server's grammar in a binary", "ganglion/cmd/ganglion/config", natsServerConf, ""},
		{"the link emulator in a binary", "ganglion/cmd/ganglion", "ganglion/core/brokertest/link", "only tests may"},
		{"an example", "ganglion/examples/embed", "ganglion/core/broker", ""},
		{"an example imports another", "ganglion/examples/embed", "ganglion/examples/other", "own layer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Join(check(pkg{tc.from, []string{tc.to}}), "\n")
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
