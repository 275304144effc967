package daemon

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/cmd/ganglion/config"
	"ganglion/plugins"
)

// TestPlugins is the whole process: configured by a file, dropped, shown on every
// page, operated by the system account and over the monitoring port.
func TestPlugins(t *testing.T) {
	dir := t.TempDir()
	guest, err := os.ReadFile("../../../plugins/wasm/testdata/guest.wasm")
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "drop"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "drop", "guest.wasm"), guest, 0o644))
	file := filepath.Join(dir, "server.conf")
	text := `
listen: "127.0.0.1:-1", http: "127.0.0.1:-1", log_file: "%[1]s/log"
monitor { user: ops, password: pw }
accounts { A { users: [ { user: a, password: a } ] }, SYS { users: [ { user: s, password: s } ] } }
system_account: SYS
plugins {
    dir: "%[1]s/drop", cache_dir: "%[1]s/cache"
    configure { guest { error_policy: %[2]s, bindings: [ { boundary: publish, subjects: ["in.>"] } ], config { want: "9", other: { deep: [1, "x"] } }, limits { memory: 2MB, instances: 2 } } }
}
`
	write(t, file, fmt.Sprintf(text, dir, "fail_open"))
	cmd, err := config.Parse([]string{"-c", file}, io.Discard)
	must(err)
	d, err := Start(t.Context(), cmd, "test", "")
	must(err)
	t.Cleanup(d.Stop)
	url := "nats://" + d.ClientAddr().String()
	nc, err := nats.Connect(url, nats.UserInfo("a", "a"))
	must(err)
	defer nc.Close()
	_, err = nc.Subscribe("in.>", func(m *nats.Msg) { m.Respond(m.Data) })
	must(err)
	must(nc.Flush())
	ask := func(payload string) string {
		m, err := nc.Request("in.x", []byte(payload), 5*time.Second)
		if err != nil {
			return err.Error()
		}
		if s := m.Header.Get("Status"); s != "" {
			return s
		}
		return string(m.Data)
	}
	if got := ask("uhello"); got != "uHELLO" {
		t.Fatalf("%q", got)
	}
	if got := ask("t"); got != "t" {
		t.Errorf("fail_open: %q", got)
	}
	write(t, file, fmt.Sprintf(text, dir, "fail_closed"))
	must(d.Reload())
	if got := ask("t"); got != "500" {
		t.Errorf("fail_closed after a reload: %q", got)
	}

	get := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+d.MonitorAddr().String()+path, nil)
		must(err)
		r.SetBasicAuth("ops", "pw")
		res, err := http.DefaultClient.Do(r)
		must(err)
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		must(err)
		return res.StatusCode, string(b)
	}
	var st plugins.Status
	_, page := get("GET", "/pluginz")
	must(json.Unmarshal([]byte(page), &st))
	if p := st.Plugins; len(p) != 1 || p[0].Name != "guest" || p[0].State != "running" || p[0].Policy != "fail_closed" || p[0].Faults != 2 {
		t.Errorf("/pluginz: %s", page)
	}
	if _, page := get("GET", "/metrics"); !strings.Contains(page, `ganglion_plugin_faults_total{plugin="guest"} 2`) {
		t.Error("/metrics does not count the faults")
	}
	if code, page := get("POST", "/pluginz?plugin=guest&action=disable"); code != 200 || !strings.Contains(page, `"disabled"`) {
		t.Errorf("disable: %d %s", code, page)
	}
	if got := ask("uhello"); got != "uhello" {
		t.Errorf("disabled: %q", got)
	}
	if code, _ := get("POST", "/pluginz?plugin=guest&action=explode"); code != 400 {
		t.Errorf("a strange action: %d", code)
	}

	sys, err := nats.Connect(url, nats.UserInfo("s", "s"))
	must(err)
	defer sys.Close()
	events, err := sys.SubscribeSync("$SYS.SERVER.*.PLUGIN.>")
	must(err)
	must(sys.Flush())
	m, err := sys.Request("$SYS.REQ.SERVER."+d.Broker().ID()+".PLUGIN", []byte(`{"plugin":"guest","action":"enable"}`), 5*time.Second)
	must(err)
	if !strings.Contains(string(m.Data), `"running"`) {
		t.Errorf("enable: %s", m.Data)
	}
	if e, err := events.NextMsg(5 * time.Second); err != nil || !strings.Contains(e.Subject, ".PLUGIN.guest.") {
		t.Errorf("event %v, %v", e, err)
	}
	if got := ask("uhello"); got != "uHELLO" {
		t.Errorf("enabled: %q", got)
	}
	if m, err = sys.Request("$SYS.REQ.SERVER.PING.PLUGINZ", nil, 5*time.Second); err != nil || !strings.Contains(string(m.Data), `"guest"`) {
		t.Errorf("PLUGINZ: %v, %v", m, err)
	}
}
