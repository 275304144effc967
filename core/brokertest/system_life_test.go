package brokertest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/broker"
	"ganglion/core/brokertest/natstest"
)

// TestSystemLast has both servers announce their end, and Ganglion its lame duck
// mode, which looks the same.
func TestSystemLast(t *testing.T) {
	t.Parallel()
	text := strings.Replace(systemConfig, `{ nkey: "{nkey}" }`, "{ user: dan, password: pw }", 1)
	told := make(chan *nats.Msg, 1000)
	watch := func(url string) {
		s := &systemSide{url: url, clients: map[string]*nats.Conn{}, cids: map[string]uint64{}}
		c := s.connect(t, "sys", "sys", "watch")
		for _, what := range []string{"SHUTDOWN", "LAMEDUCK"} {
			_, err := c.ChanSubscribe("$SYS.SERVER.*."+what, told)
			must(t, err)
		}
		must(t, c.Flush())
	}
	// The end of a subtest is that of its server.
	t.Run("nats-server", func(t *testing.T) { watch("nats://" + natstest.StartNATS(t, text)) })
	want := receive(t, told, "the event of a nats-server's end")
	t.Run("ganglion", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "server.conf")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		c := config.Default()
		must(t, c.Load(file))
		c.Broker.Host, c.Broker.Port, c.Broker.LameDuckGrace = "127.0.0.1", 0, time.Hour
		b := newBroker(t, c.Broker)
		watch("nats://" + serve(t, b, "127.0.0.1:0"))
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			b.LameDuck(ctx)
		}()
		duck := receive(t, told, "the event of lame duck mode")
		cancel()
		<-gone
		if !strings.HasSuffix(duck.Subject, ".LAMEDUCK") {
			t.Errorf("lame duck mode is told on %s", duck.Subject)
		}
		sameShape(t, duck.Subject, shapeOf(t, duck.Data), shapeOf(t, want.Data))
	})
	got := receive(t, told, "the event of Ganglion's end")
	if !strings.HasSuffix(got.Subject, ".SHUTDOWN") || !strings.HasSuffix(want.Subject, ".SHUTDOWN") {
		t.Errorf("the end is told on %s, want %s", got.Subject, want.Subject)
	}
	sameShape(t, got.Subject, shapeOf(t, got.Data), shapeOf(t, want.Data))
}

// TestSystemMoves has the system account order a reload that makes another one
// the system account.
func TestSystemMoves(t *testing.T) {
	t.Parallel()
	load := func(system string) broker.Options {
		text := strings.Replace(systemConfig, `{ nkey: "{nkey}" }`, "{ user: dan, password: pw }", 1)
		file := filepath.Join(t.TempDir(), "server.conf")
		must(t, os.WriteFile(file, []byte(strings.Replace(text, "system_account: SYS", "system_account: "+system, 1)), 0o600))
		c := config.Default()
		must(t, c.Load(file))
		c.Broker.Host, c.Broker.Port = "127.0.0.1", 0
		return c.Broker
	}
	var b *broker.Broker
	o := load("SYS")
	o.Reload = func() error {
		commit, _, err := b.Prepare(load("C"))
		if err == nil {
			commit()
		}
		return err
	}
	b = newBroker(t, o)
	url := "nats://" + serve(t, b, "127.0.0.1:0")
	connect := func(user string) *nats.Conn {
		c, err := nats.Connect(url, nats.UserInfo(user, "pw"))
		must(t, err)
		t.Cleanup(c.Close)
		return c
	}
	sys, cat := connect("sys"), connect("cat")
	if _, err := cat.Request("$SYS.REQ.SERVER.PING", nil, soon); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("an ordinary account asks the server: %v", err)
	}
	m, err := sys.Request("$SYS.REQ.SERVER."+b.ID()+".RELOAD", nil, soon)
	must(t, err)
	if strings.Contains(string(m.Data), "error") {
		t.Fatalf("reload: %s", m.Data)
	}
	if _, err = cat.Request("$SYS.REQ.SERVER.PING", nil, soon); err != nil {
		t.Errorf("the new system account asks the server: %v", err)
	}
	if _, err := sys.Request("$SYS.REQ.SERVER.PING", nil, soon); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("the old system account asks the server: %v", err)
	}
	for _, c := range []*nats.Conn{sys, cat} {
		if _, err = c.Request("$SYS.REQ.USER.INFO", nil, soon); err != nil {
			t.Errorf("who am I: %v", err)
		}
	}
}
