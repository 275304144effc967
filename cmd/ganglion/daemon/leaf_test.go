package daemon

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/coder/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"ganglion/cmd/ganglion/config"
	"ganglion/core/brokertest/natstest"
	"ganglion/core/conn"
	"ganglion/core/leaf"
	"ganglion/core/monitor"
)

// until waits until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(soon)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// at returns where the listener called name listens.
func (d *Daemon) at(name string) string {
	l, _ := d.set.Lookup(name)
	port, _ := portOf(l.Addr())
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func leafz(d *Daemon) *monitor.Leafz {
	return monitor.NewViews(d.broker).Leafz(monitor.LeafzOptions{Subscriptions: true})
}

// hubOf starts a server that takes leafs in every way, with the certificate
// hub.crt in dir.
func hubOf(t *testing.T, dir string) *Daemon {
	t.Helper()
	newCert(t, dir, "hub", 1)
	sub := filepath.Join(dir, "hub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	const pair = `cert_file: "DIR/../hub.crt", key_file: "DIR/../hub.key"`
	return launch(t, sub, `
		server_name: HUB, host: "127.0.0.1", port: -1
		accounts { A { users: [ { user: a, password: a } ] } }
		tls { `+pair+` }
		allow_non_tls: true
		leafnodes {
			listen: "127.0.0.1:-1", tls { `+pair+` }
			authorization { users: [ { user: leaf, password: pw, account: A } ] }
		}
		websocket { listen: "127.0.0.1:-1", tls { `+pair+` } }
		quic { listen: "127.0.0.1:-1", tls { `+pair+` } }
	`)
}

// edgeOf starts a server with the given remotes.
func edgeOf(t *testing.T, dir, remotes string) *Daemon {
	t.Helper()
	sub := filepath.Join(dir, "edge")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	return launch(t, sub, `server_name: EDGE, host: "127.0.0.1", port: -1, leafnodes { remotes: [ `+strings.ReplaceAll(remotes, `"CA"`, `"DIR/../hub.crt"`)+` ] }`)
}

func dialAt(t *testing.T, d *Daemon, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(d.ClientAddr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// TestLeafTransports has requests cross links of every transport, both ways.
func TestLeafTransports(t *testing.T) {
	for _, tt := range []struct{ name, scheme, listener, more, shown string }{
		{"tls", "nats-leaf", config.ListenerLeaf, "", config.ListenerLeaf},
		{"wss", "wss", config.ListenerWebSocket, "", config.ListenerWebSocket},
		{"wss uncompressed", "wss", config.ListenerWebSocket, ", compression: off", config.ListenerWebSocket},
		{"wss deflate", "wss", config.ListenerWebSocket, ", compression: off, ws_compression: true", config.ListenerWebSocket},
		{"quic", "quic", config.ListenerQUIC, "", config.ListenerLeafQUIC},
		{"quic uncompressed", "quic", config.ListenerQUIC, ", compression: off", config.ListenerLeafQUIC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			hub := hubOf(t, dir)
			edge := edgeOf(t, dir, fmt.Sprintf(`{ url: "%s://leaf:pw@%s", tls { ca_file: "CA" } %s }`, tt.scheme, hub.at(tt.listener), tt.more))
			until(t, "the link", func() bool { return leafz(edge).NumLeafs == 1 && leafz(hub).NumLeafs == 1 })
			l := leafz(hub).Leafs[0]
			if l.Listener != tt.shown || l.Name != "EDGE" || l.IP != "127.0.0.1" || l.Account != "A" || l.IsSpoke {
				t.Errorf("at the hub: %+v", l)
			}
			if l = leafz(edge).Leafs[0]; l.Name != "HUB" || l.IP != "127.0.0.1" || fmt.Sprintf("%s:%d", l.IP, l.Port) != hub.at(tt.listener) || !l.IsSpoke {
				t.Errorf("at the edge: %+v", l)
			}
			near, far := dialAt(t, edge), dialAt(t, hub, nats.UserInfo("a", "a"))
			payload := bytes.Repeat([]byte("x"), 200_000) // many frames
			for i, pair := range [][2]*nats.Conn{{near, far}, {far, near}} {
				asker, server := pair[0], pair[1]
				subj := fmt.Sprintf("svc.%d", i)
				if _, err := server.Subscribe(subj, func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
					t.Fatal(err)
				}
				server.Flush()
				var m *nats.Msg
				until(t, "an answer", func() (ok bool) {
					var err error
					m, err = asker.Request(subj, payload, soon)
					return err == nil
				})
				if !bytes.Equal(m.Data, payload) {
					t.Errorf("%d bytes came back, want %d", len(m.Data), len(payload))
				}
			}
			if z := leafz(edge).Remotes[0]; z.State != "connected" || z.Reconnects != 0 || z.URL != fmt.Sprintf("%s://%s", tt.scheme, hub.at(tt.listener)) {
				t.Errorf("the remote: %+v", z)
			}
		})
	}
}

// TestLeafRefused has every transport say why there is no link.
func TestLeafRefused(t *testing.T) {
	dir := t.TempDir()
	hub := hubOf(t, dir)
	plain := t.TempDir() // a server that takes no leafs
	newCert(t, plain, "s", 2)
	other := launch(t, plain, `host: "127.0.0.1", port: -1, websocket { listen: "127.0.0.1:-1", no_tls: true }, quic { listen: "127.0.0.1:-1", tls { cert_file: "DIR/s.crt", key_file: "DIR/s.key" } }`)
	const trust = `, tls { ca_file: "CA" } }`
	for _, tt := range []struct{ name, remote, want string }{
		{"password", `{ url: "nats-leaf://leaf:bad-secret@` + hub.at(config.ListenerLeaf) + `"` + trust, "Authorization Violation"},
		{"password over wss", `{ url: "wss://leaf:bad-secret@` + hub.at(config.ListenerWebSocket) + `"` + trust, "Authorization Violation"},
		{"password over quic", `{ url: "quic://leaf:bad-secret@` + hub.at(config.ListenerQUIC) + `"` + trust, "Authorization Violation"},
		{"certificate", `{ url: "nats-leaf://leaf:pw@` + hub.at(config.ListenerLeaf) + `" }`, "certificate"},
		{"certificate over wss", `{ url: "wss://leaf:pw@` + hub.at(config.ListenerWebSocket) + `" }`, "certificate"},
		{"certificate over quic", `{ url: "quic://leaf:pw@` + hub.at(config.ListenerQUIC) + `" }`, "certificate"},
		{"client port", `{ url: "nats-leaf://leaf:pw@` + hub.at(config.ListenerTCP) + `" }`, "wrong port"},
		{"websocket without leafs", `{ url: "ws://` + other.at(config.ListenerWebSocket) + `" }`, "404"},
		{"quic without leafs", `{ url: "quic://` + other.at(config.ListenerQUIC) + `", tls { insecure: true } }`, "no application protocol"},
		{"credentials", `{ url: "nats-leaf://` + hub.at(config.ListenerLeaf) + `", credentials: "DIR/none.creds"` + trust, "none.creds"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			edge := edgeOf(t, dir, tt.remote)
			until(t, "an error", func() bool { return leafz(edge).Remotes[0].LastError != "" })
			z := leafz(edge)
			if r := z.Remotes[0]; !strings.Contains(r.LastError, tt.want) || r.Attempts == 0 || z.NumLeafs != 0 {
				t.Errorf("the remote: %+v", r)
			}
			if s := fmt.Sprint(z); strings.Contains(s, "bad-secret") {
				t.Errorf("a secret is shown: %s", s)
			}
		})
	}
}

// TestLeafNKey has leafs prove who they are with a key, the seed in a file.
func TestLeafNKey(t *testing.T) {
	dir := t.TempDir()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, _ := kp.PublicKey()
	seed, _ := kp.Seed()
	if strings.Contains(string(seed), "DIR") { // which launch replaces
		t.Log("another seed is needed; once in a thousand")
		return
	}
	write(t, filepath.Join(dir, "seed.nk"), string(seed)+"\n")
	hub := launch(t, t.TempDir(), `host: "127.0.0.1", port: -1, leafnodes { listen: "127.0.0.1:-1", authorization { nkey: `+pub+` } }`)
	for name, nkey := range map[string]string{"file": `"DIR/../seed.nk"`, "seed": string(seed)} {
		t.Run(name, func(t *testing.T) {
			edge := edgeOf(t, dir, `{ url: "nats-leaf://`+hub.at(config.ListenerLeaf)+`", nkey: `+nkey+` }`)
			until(t, "the link", func() bool { return leafz(edge).NumLeafs == 1 })
		})
	}
}

// TestLeafPath has leafs and clients on one WebSocket port, behind one gate.
func TestLeafPath(t *testing.T) {
	d := launch(t, t.TempDir(), `host: "127.0.0.1", port: -1, websocket { listen: "127.0.0.1:-1", no_tls: true }, leafnodes { listen: "127.0.0.1:-1" }`)
	for _, path := range []string{"/", "/leafnode"} {
		c, _, err := ws.Dial(t.Context(), "ws://"+d.at(config.ListenerWebSocket)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, b, err := c.Read(t.Context())
		if isLeaf := bytes.Contains(b, []byte("leafnode_urls")); err != nil || isLeaf != (path == "/leafnode") {
			t.Errorf("%s: %s %v", path, b, err)
		}
		c.CloseNow()
	}
	l, _ := d.set.Lookup(config.ListenerWebSocket)
	until(t, "both to be gone", func() bool { return l.Gate.Stats().Open == 0 })
	if n := l.Gate.Stats().Accepted; n != 2 {
		t.Errorf("%d connections were counted, want 2", n)
	}
	r, err := http.Get("http://" + d.at(config.ListenerWebSocket) + "/leafnode")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("without an upgrade: %s", r.Status)
	}
}

// TestLeafCertificate has a hub renew its certificate by reload, while leafs stay.
func TestLeafCertificate(t *testing.T) {
	dir := t.TempDir()
	hub := hubOf(t, dir)
	edge := edgeOf(t, dir, `{ url: "tls://leaf:pw@`+hub.at(config.ListenerLeaf)+`", tls { ca_file: "CA" } }`)
	until(t, "the link", func() bool { return leafz(edge).NumLeafs == 1 })
	newCert(t, dir, "hub", 7)
	if err := hub.Reload(); err != nil {
		t.Fatal(err)
	}
	if l := leafz(edge); l.NumLeafs != 1 || l.Remotes[0].Reconnects != 0 {
		t.Errorf("after the reload: %+v", l)
	}
	edge2 := launch(t, t.TempDir(), `host: "127.0.0.1", port: -1, leafnodes { remotes: [ { url: "tls://leaf:pw@`+hub.at(config.ListenerLeaf)+`", tls { ca_file: "`+dir+`/hub.crt" } } ] }`)
	until(t, "a link under the new certificate", func() bool { return leafz(edge2).NumLeafs == 1 })
}

var (
	_ leaf.Framed = (*webConn)(nil)
	_ leaf.Framed = (*streamConn)(nil)
)

// TestLeafServer has nats-servers be our leafs, and our hub.
func TestLeafServer(t *testing.T) {
	dir := t.TempDir()
	hub := hubOf(t, dir)
	plain := launch(t, t.TempDir(), `
		host: "127.0.0.1", port: -1, accounts { A { users: [ { user: a, password: a } ] } }
		websocket { listen: "127.0.0.1:-1", no_tls: true, compression: true }
		leafnodes { listen: "127.0.0.1:-1", compression: s2_fast, authorization { user: leaf, password: pw, account: A } }
	`)
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	leafs, web := free(), free()
	_, webPort, _ := net.SplitHostPort(web)
	core := natstest.StartNATS(t, `server_name: CORE, leafnodes { listen: "`+leafs+`" }, websocket { host: "127.0.0.1", port: `+webPort+`, no_tls: true, compression: true }`)
	trust := `, tls { ca_file: "` + dir + `/hub.crt" }`
	for _, tt := range []struct {
		name string
		hub  *Daemon
		at   string // of plain or hub, for a nats-server; or nats-server's, for us
		more string
	}{
		{"tls", hub, "nats-leaf://leaf:pw@" + hub.at(config.ListenerLeaf), trust},
		{"wss", hub, "wss://leaf:pw@" + hub.at(config.ListenerWebSocket), trust},
		{"plain", plain, "nats-leaf://leaf:pw@" + plain.at(config.ListenerLeaf), ""},
		{"ws", plain, "ws://leaf:pw@" + plain.at(config.ListenerWebSocket), ""},
		{"ws unmasked", plain, "ws://leaf:pw@" + plain.at(config.ListenerWebSocket), ", ws_no_masking: true, compression: off"},
		{"ws deflate", plain, "ws://leaf:pw@" + plain.at(config.ListenerWebSocket), ", ws_compression: true"},
		{"to nats-server", nil, "nats-leaf://" + leafs, ""},
		{"to nats-server by ws", nil, "ws://" + web, ""},
		{"to nats-server by ws, deflate", nil, "ws://" + web, ", ws_compression: true, compression: off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remotes := `leafnodes { remotes: [ { url: "` + tt.at + `"` + tt.more + ` } ] }`
			var near, far string
			var opts []nats.Option
			if tt.hub != nil {
				near = natstest.StartNATS(t, "server_name: LEAF, "+remotes)
				far, opts = tt.hub.ClientAddr().String(), append(opts, nats.UserInfo("a", "a"))
				until(t, "the link", func() bool { return leafz(tt.hub).NumLeafs == 1 })
			} else {
				d := launch(t, t.TempDir(), `host: "127.0.0.1", port: -1, `+remotes)
				near, far = d.ClientAddr().String(), core
				until(t, "the link", func() bool { return leafz(d).NumLeafs == 1 })
			}
			at, err := nats.Connect(near)
			if err != nil {
				t.Fatal(err)
			}
			defer at.Close()
			beyond, err := nats.Connect(far, opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer beyond.Close()
			payload := bytes.Repeat([]byte("0123456789"), 10_000)
			for i, pair := range [][2]*nats.Conn{{at, beyond}, {beyond, at}} {
				subj := fmt.Sprintf("svc.%d", i)
				if _, err := pair[1].Subscribe(subj, func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
					t.Fatal(err)
				}
				pair[1].Flush()
				var m *nats.Msg
				until(t, "an answer", func() (ok bool) {
					var err error
					m, err = pair[0].Request(subj, payload, soon)
					return err == nil
				})
				if !bytes.Equal(m.Data, payload) {
					t.Errorf("%d bytes came back, want %d", len(m.Data), len(payload))
				}
			}
			at.Close()
			if tt.hub != nil {
				for _, l := range tt.hub.broker.Leafs().Links() {
					l.Close(conn.Shutdown)
				}
			}
		})
		if tt.hub != nil {
			until(t, "the link to be gone", func() bool { return leafz(tt.hub).NumLeafs == 0 })
		}
	}
}

// TestLeafProxy has a remote go through an HTTP proxy that wants a password.
func TestLeafProxy(t *testing.T) {
	dir := t.TempDir()
	hub := hubOf(t, dir)
	var asked atomic.Int32
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic dTpwdw==" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		asked.Add(1)
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		near, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { defer near.Close(); io.Copy(near, far) }()
		defer far.Close()
		io.Copy(far, near)
	}))
	defer p.Close()
	remote := func(pass, to string) string {
		return `{ url: "wss://leaf:pw@` + to + `", tls { ca_file: "CA" }, proxy { url: "` + p.URL + `", username: u, password: ` + pass + ` } }`
	}
	edge := edgeOf(t, dir, remote("pw", hub.at(config.ListenerWebSocket)))
	until(t, "the link", func() bool { return leafz(edge).NumLeafs == 1 })
	if asked.Load() != 1 {
		t.Errorf("the proxy was asked %d times", asked.Load())
	}
	for pass, want := range map[string]string{"bad-secret": "407", "pw": "502"} {
		edge := edgeOf(t, dir, remote(pass, "127.0.0.1:1"))
		until(t, "an error", func() bool { return leafz(edge).Remotes[0].LastError != "" })
		if e := leafz(edge).Remotes[0].LastError; !strings.Contains(e, want) || strings.Contains(e, "bad-secret") {
			t.Errorf("password %s: %s", pass, e)
		}
	}
}
