package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestStack runs the whole of it: what the device measures arrives in the core, less
// often than at the edge, a question from the core is answered, and the page is
// there.
func TestStack(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := start(ctx, dir, io.Discard)
	t.Cleanup(func() {
		cancel()
		if s != nil {
			s.wait()
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
			for _, f := range logs {
				b, _ := os.ReadFile(f)
				t.Logf("%s\n%s", filepath.Base(f), b[max(0, len(b)-2000):])
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	subscribe := func(addr string) (*nats.Conn, *nats.Subscription) {
		nc, err := nats.Connect("nats://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		sub, err := nc.SubscribeSync("devices.7.telemetry")
		if err != nil {
			t.Fatal(err)
		}
		return nc, sub
	}
	_, edge := subscribe(s.edge)
	core, far := subscribe(s.core[2])
	for range 3 {
		if _, err := far.NextMsg(30 * time.Second); err != nil {
			t.Fatalf("in the core: %v", err)
		}
	}
	n, _, err := edge.Pending()
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Errorf("%d measurements at the edge while 3 reached the core; the plugin does not reduce them", n)
	}
	if m, err := core.Request("devices.7.cmd", []byte("ping"), 10*time.Second); err != nil {
		t.Errorf("a question from the core: %v", err)
	} else {
		t.Logf("the device answers %q", m.Data)
	}
	rsp, err := http.Get("http://" + s.page + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	if b, err := io.ReadAll(rsp.Body); rsp.StatusCode != http.StatusOK || len(b) == 0 || err != nil {
		t.Errorf("the page: %s, %v", rsp.Status, err)
	}
}
