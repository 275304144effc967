package websocket_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	ws "github.com/coder/websocket"

	"ganglion/listeners"
	"ganglion/listeners/listenertest"
	"ganglion/listeners/websocket"
)

func open(t *testing.T, o websocket.Options) net.Listener {
	t.Helper()
	opener, err := websocket.Opener(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := opener(t.Context(), listeners.Config{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// dial connects with the library's own client.
func dial(ctx context.Context, ln net.Listener, mode ws.CompressionMode, h http.Header) (net.Conn, *http.Response, error) {
	c, resp, err := ws.Dial(ctx, "ws://"+ln.Addr().String()+"/any/path", &ws.DialOptions{CompressionMode: mode, HTTPHeader: h})
	if err != nil {
		return nil, resp, err
	}
	c.SetReadLimit(-1)
	return &named{ws.NetConn(context.Background(), c, ws.MessageBinary), ln}, resp, nil
}

// named gives the library's connection its addresses, which it does not know.
type named struct {
	net.Conn
	ln net.Listener
}

func TestConformance(t *testing.T) {
	server, client := listenertest.Identity(t)
	for _, c := range []struct {
		name   string
		o      websocket.Options
		secure *tls.Config
	}{
		{"ws", websocket.Options{}, nil},
		{"ws with compression", websocket.Options{Compression: true}, nil},
		{"wss", websocket.Options{Secure: func(nc net.Conn) net.Conn { return tls.Server(nc, server) }}, client},
	} {
		t.Run(c.name, func(t *testing.T) {
			listenertest.Run(t, func(t *testing.T) net.Listener { return open(t, c.o) }, func(ctx context.Context, ln net.Listener) (net.Conn, error) {
				return rawDial(ctx, ln, c.secure)
			})
		})
	}
}

// The library's client, with and without compression, and a server that answers
// plain frames to both.
func TestClients(t *testing.T) {
	for _, mode := range []ws.CompressionMode{ws.CompressionDisabled, ws.CompressionNoContextTakeover, ws.CompressionContextTakeover} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			ln := open(t, websocket.Options{Compression: true})
			go func() {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				io.Copy(c, c)
			}()
			c, resp, err := dial(t.Context(), ln, mode, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ext := resp.Header.Get("Sec-Websocket-Extensions")
			if mode == ws.CompressionDisabled && ext != "" || mode != ws.CompressionDisabled && ext != "permessage-deflate; client_no_context_takeover; server_no_context_takeover" {
				t.Errorf("extensions %q", ext)
			}
			for _, n := range []int{1, 200, 70000} {
				msg := strings.Repeat("0123456789", n/10+1)
				if _, err := io.WriteString(c, msg); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(msg))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != msg {
					t.Fatalf("echo of %d bytes: %v", len(msg), err)
				}
			}
		})
	}
}

const upgrade = "GET %s HTTP/1.1\r\nHost: edge.example:8080\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"

// ask sends a request and returns the answer's status and headers.
func ask(t *testing.T, ln net.Listener, request string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, request)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func drain(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

func TestHandshake(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page") })
	ln := open(t, websocket.Options{Headers: map[string]string{"X-Edge": "1"}, Handler: page})
	bare := open(t, websocket.Options{})
	go drain(ln)
	good := fmt.Sprintf(upgrade, "/", "")
	for _, c := range []struct {
		name, request string
		ln            net.Listener
		status        int
	}{
		{"upgrade", good, ln, 101},
		{"any path", fmt.Sprintf(upgrade, "/a/b?c", ""), ln, 101},
		{"leafnode", fmt.Sprintf(upgrade, "/leafnode", ""), ln, 404},
		{"mqtt", fmt.Sprintf(upgrade, "/mqtt", ""), ln, 404},
		{"page", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ln, 200},
		{"no page", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", bare, 400},
		{"post", strings.Replace(good, "GET", "POST", 1), ln, 405},
		{"no key", strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1), ln, 400},
		{"short key", strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "YWJj", 1), ln, 400},
		{"old version", strings.Replace(good, "Version: 13", "Version: 8", 1), ln, 400},
		{"no host", strings.Replace(good, "Host: edge.example:8080\r\n", "", 1), ln, 400},
		{"garbage", "\x16\x03\x01 what is this\r\n\r\n", ln, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp := ask(t, c.ln, c.request)
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, c.status)
			}
			if c.status == 101 && (resp.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || resp.Header.Get("X-Edge") != "1") {
				t.Fatalf("headers %v", resp.Header)
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       websocket.Options
		origin  string
		allowed bool
	}{
		{"none given", websocket.Options{SameOrigin: true, AllowedOrigins: []string{"https://a.example"}}, "", true},
		{"no rule", websocket.Options{}, "https://evil.example", true},
		{"same", websocket.Options{SameOrigin: true}, "http://edge.example:8080", true},
		{"same, other case", websocket.Options{SameOrigin: true}, "HTTP://EDGE.example:8080", true},
		{"same, other port", websocket.Options{SameOrigin: true}, "http://edge.example", false},
		{"same, other scheme", websocket.Options{SameOrigin: true}, "https://edge.example:8080", false},
		{"same, null", websocket.Options{SameOrigin: true}, "null", false},
		{"listed", websocket.Options{AllowedOrigins: []string{"http://ok.example:80"}}, "http://ok.example", true},
		{"listed, other scheme", websocket.Options{AllowedOrigins: []string{"http://ok.example"}}, "https://ok.example", false},
		{"not listed", websocket.Options{AllowedOrigins: []string{"http://ok.example"}}, "http://ok.example.evil", false},
		{"both rules", websocket.Options{SameOrigin: true, AllowedOrigins: []string{"http://ok.example"}}, "http://ok.example", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln := open(t, c.o)
			go drain(ln)
			h := ""
			if c.origin != "" {
				h = "Origin: " + c.origin + "\r\n"
			}
			want := 403
			if c.allowed {
				want = 101
			}
			if resp := ask(t, ln, fmt.Sprintf(upgrade, "/", h)); resp.StatusCode != want {
				t.Fatalf("status %d, want %d", resp.StatusCode, want)
			}
		})
	}
	if _, err := websocket.Opener(websocket.Options{AllowedOrigins: []string{"ok.example"}}); err == nil || !strings.Contains(err.Error(), `"ok.example" is no origin`) {
		t.Errorf("an origin without scheme: %v", err)
	}
	if _, err := websocket.Opener(websocket.Options{Headers: map[string]string{"upgrade": "x"}}); err == nil || !strings.Contains(err.Error(), "belongs to the handshake") {
		t.Errorf("a header of the handshake: %v", err)
	}
}

func TestForwardedFor(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name, header, want string
		from               []netip.Prefix
	}{
		{"trusted", "203.0.113.7", "203.0.113.7", loopback},
		{"the last that is no proxy", "1.2.3.4, 203.0.113.7, 10.1.1.1", "203.0.113.7", loopback},
		{"not trusted", "203.0.113.7", "127.0.0.1", nil},
		{"forged by who is not a proxy", "203.0.113.7", "127.0.0.1", loopback[1:]},
		{"garbage", "x", "127.0.0.1", loopback},
		{"none", "", "127.0.0.1", loopback},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln := open(t, websocket.Options{ForwardedFrom: c.from})
			addr := make(chan net.Addr, 1)
			go func() {
				if nc, err := ln.Accept(); err == nil {
					addr <- nc.RemoteAddr()
					nc.Close()
				}
			}()
			ask(t, ln, fmt.Sprintf(upgrade, "/", "X-Forwarded-For: "+c.header+"\r\n"))
			if got := (<-addr).(*net.TCPAddr).IP.String(); got != c.want {
				t.Fatalf("remote address %s, want %s", got, c.want)
			}
		})
	}
}

// What a client sends right behind its request is not lost, and the request's
// cookies are there once.
func TestEarlyFramesAndRequest(t *testing.T) {
	ln := open(t, websocket.Options{})
	type result struct {
		text, cookie string
		again        bool
	}
	got := make(chan result, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		c := nc.(*websocket.Conn)
		var r result
		if k, err := c.Request().Cookie("token"); err == nil {
			r.cookie = k.Value
		}
		r.again = c.Request() != nil
		b := make([]byte, 6)
		io.ReadFull(nc, b)
		r.text = string(b)
		got <- r
	}()
	early := "\x82\x86\x00\x00\x00\x00PING\r\n"
	if resp := ask(t, ln, fmt.Sprintf(upgrade, "/", "Cookie: token=abc\r\n")+early); resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	if r := <-got; r != (result{"PING\r\n", "abc", false}) {
		t.Fatalf("%+v", r)
	}
}

// Connections that never ask for anything are closed after the handshake timeout,
// and those above MaxHandshakes at once.
func TestSilentPeers(t *testing.T) {
	ln := open(t, websocket.Options{MaxHandshakes: 3, HandshakeTimeout: 300 * time.Millisecond})
	go drain(ln)
	var conns []net.Conn
	for range 6 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	if resp := ask(t, ln, fmt.Sprintf(upgrade, "/", "")); resp.StatusCode != 101 {
		t.Fatalf("afterwards: %s", resp.Status)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}
