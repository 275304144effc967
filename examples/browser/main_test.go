package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const soon = 10 * time.Second

// start runs the program on a free port until the test's end.
func start(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func fetch(t *testing.T, url string) (status int, kind, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(b)
}

func TestPage(t *testing.T) {
	url := "http://" + start(t)
	for _, c := range []struct {
		path         string
		status       int
		kind, inside string
	}{
		{"/", 200, "text/html; charset=utf-8", `from "/nats.js"`},
		{"/nats.js", 200, "text/javascript; charset=utf-8", "as wsconnect"},
		{"/app.js", 404, "text/plain; charset=utf-8", "not found"},
	} {
		status, kind, body := fetch(t, url+c.path)
		if status != c.status || kind != c.kind || !strings.Contains(body, c.inside) {
			t.Errorf("%s: status %d, type %q, want %d, %q and %q inside", c.path, status, kind, c.status, c.kind, c.inside)
		}
		if strings.Contains(body, "https://cdn") || strings.Contains(body, `src="http`) {
			t.Errorf("%s loads something from elsewhere", c.path)
		}
	}
}

// A client that speaks WebSocket sees what the page would, and is seen.
func TestMessages(t *testing.T) {
	addr := start(t)
	nc, err := nats.Connect("ws://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	other, err := nats.Connect("ws://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()

	temperature, err := nc.SubscribeSync("temperature")
	if err != nil {
		t.Fatal(err)
	}
	chat, err := nc.SubscribeSync("chat")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	m, err := temperature.NextMsg(soon)
	if err != nil {
		t.Fatal(err)
	}
	var reading struct{ Celsius float64 }
	if err := json.Unmarshal(m.Data, &reading); err != nil || reading.Celsius < 19 || reading.Celsius > 23 {
		t.Errorf("got %s (%v)", m.Data, err)
	}
	if err := other.Publish("chat", []byte(`{"name":"Ada","text":"hello"}`)); err != nil {
		t.Fatal(err)
	}
	if m, err = chat.NextMsg(soon); err != nil || string(m.Data) != `{"name":"Ada","text":"hello"}` {
		t.Errorf("got %v (%v)", m, err)
	}
}

// Pages from elsewhere may not connect.
func TestOrigin(t *testing.T) {
	addr := start(t)
	for origin, ok := range map[string]bool{"http://" + addr: true, "http://evil.example": false} {
		nc, err := nats.Connect("ws://"+addr, nats.WebSocketConnectionHeaders(http.Header{"Origin": {origin}}))
		if (err == nil) != ok {
			t.Errorf("origin %s: %v", origin, err)
		}
		if err == nil {
			nc.Close()
		}
	}
}
